"""The cheap part of a check runs where a scan is trained on or reconstructed, in the same words."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.checking.check import check_scan_file
from ptychopinn_backend.checking.places import jumps
from ptychopinn_backend.checking.quick import faults_of, warn_of_faults
from ptychopinn_backend.checking.subject import Subject
from ptychopinn_backend.cli import main
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.config.reading import ASK_THE_FILE
from ptychopinn_backend.data.counted_scan import CountedScan
from ptychopinn_backend.data.dataset import create_dataset
from ptychopinn_backend.data.dataset.sources import read_scan_file
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.data.simulation.simulate import simulate
from ptychopinn_backend.errors import ScanWarning
from tests.data.findings.planted import members
from tests.data.findings.test_no_false_alarm import SPECS

from .faults import FAULTS, Fault

TOLD = (
    *("corner", "off-centre", "dead-pixels", "beam-stop", "repeated-patterns"),
    *("duplicate-positions", "collinear", "overlap", "jump", "parts", "wrapped-probe", "cut-probe", "pixel-size"),
)
SMALL = ("--quiet", "--backend", "pytorch", "--accelerator", "cpu")


@pytest.mark.parametrize(
    "fault", [item for item in FAULTS if item.name in TOLD], ids=lambda fault: f"{fault.name}: {fault.words}"
)
def test_the_words_are_those_of_the_check(fault: Fault, tmp_path: Path) -> None:
    scan = {name: np.array(values) for name, values in members().items()}
    fault.plant(scan)
    path = tmp_path / "scan.npz"
    np.savez(path, **{name: values for name, values in scan.items() if values is not None})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_faults(RawData.from_file(path))
    said = [str(item.message) for item in caught if issubclass(item.category, ScanWarning)]
    assert any(fault.words in words for words in said), said
    check = check_scan_file(path, ASK_THE_FILE, with_orientation=False)
    expected = {f"{path}: {item}" for item in check.findings if item.name == fault.name}
    if fault.name not in ("corner", "wrapped-probe", "dead-pixels", "beam-stop"):  # numbers of a sample differ a little
        assert expected <= set(said)


@pytest.mark.parametrize("spec", [spec for spec in SPECS if "step_px" not in spec], ids=str)
def test_simulated_scans_give_no_warning(spec: dict[str, Any]) -> None:
    scan = simulate(SimulationConfig(**{"size": 32, "patterns": 60, **spec}), 3).to_raw_data()
    for raw in (scan, replace(scan, probeGuess=None)):
        assert [str(item) for item in faults_of(raw)] == []


@pytest.mark.parametrize("name", ["rotavirus", "siemens_star"])
def test_measured_scans_give_no_warning(shared_folder: Path, name: str) -> None:
    raw = RawData.from_file(shared_folder / "data" / f"{name}.npz")
    started = perf_counter()
    assert [str(item) for item in faults_of(raw)] == []
    assert perf_counter() - started < 1


def test_numbers_beside_patterns_that_were_left_out(tmp_path: Path) -> None:
    scan = {name: np.array(values) for name, values in members().items()}
    scan["diffraction"][3] = 0
    scan["xcoords"][55:] += 30
    np.savez(tmp_path / "scan.npz", **scan)
    with pytest.warns(ScanWarning, match="Pattern 3 is without a photon"):
        raw = RawData.from_file(tmp_path / "scan.npz")
    with pytest.warns(ScanWarning, match="jump from 53 to 54 .* Numbers count the patterns that were not left out"):
        warn_of_faults(raw)


def test_scans_on_disk_are_told_by_positions_and_probe(tmp_path: Path) -> None:
    path = tmp_path / "scan.npz"
    raw = simulate_scan(SimulationConfig(size=32, patterns=64, scan="raster", photons=1e5), seed=1)
    raw.to_file(path)
    dataset = create_dataset(path, tmp_path / "good", ModelConfig(N=32))
    for scan in (read_scan_file(path), dataset, CountedScan.of(raw)):
        warn_of_faults(scan)
    replace(raw, ycoords=0 * raw.ycoords, objectGuess=None).to_file(path)
    dataset = create_dataset(path, tmp_path / "bad", ModelConfig(N=32))
    for scan in (read_scan_file(path), dataset):
        with pytest.warns(ScanWarning, match=r"scan\.npz: All positions lie on a line"):
            warn_of_faults(scan)


def test_training_and_reconstruction_say_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = simulate_scan(SimulationConfig(size=32, patterns=49, photons=1e5), seed=1)
    replace(raw, diff3d=np.roll(raw.diff3d, 3, axis=1)).to_file(tmp_path / "scan.npz")
    small = ("--preset", "legacy", "--filters-scale", "1", "--epochs", "1", "--calibrate", "never")
    assert main(["train", str(tmp_path / "scan.npz"), "-o", str(tmp_path / "model"), *small, *SMALL]) == 0
    assert capsys.readouterr().err.count("The centre of the patterns lies +2.9 rows") == 1
    reconstruct = ("infer", str(tmp_path / "model"), str(tmp_path / "scan.npz"), "-o", str(tmp_path / "out"))
    assert main([*reconstruct, *SMALL, "--polish", "0", "--calibrate", "never"]) == 0
    assert capsys.readouterr().err.count("The centre of the patterns lies +2.9 rows") == 1


def test_many_steps_that_are_the_same_take_no_time() -> None:
    rows, columns = np.divmod(np.arange(40_000), 200)
    x, y = 2.0 * columns, 2.0 * rows
    y[30_000:] += 30
    raw = RawData(x, y, np.broadcast_to(np.float32(0), (40_000, 32, 32)), np.zeros(40_000, np.int32))
    started = perf_counter()
    found = jumps(Subject(raw, np.arange(40_000))).findings
    assert [item.name for item in found] == ["jump"]
    assert perf_counter() - started < 2
