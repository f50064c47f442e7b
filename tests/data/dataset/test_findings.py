"""What is wrong with a scan is told of a data set as of its file: where it is made, and on each use of it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ptychopinn_backend import PtychoModel
from ptychopinn_backend.cli import main
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.data.dataset import DatasetOptions, create_dataset, open_dataset
from ptychopinn_backend.data.grouping import GroupingOptions
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig
from ptychopinn_backend.data.simulation.simulate import simulate
from ptychopinn_backend.errors import DataError, ScanWarning
from tests.data.dataset.conftest import write_training_hdf5
from tests.workflows.test_half_turn import turned

MODEL = ModelConfig(N=32, n_filters_scale=1)
QUICK = ("--backend", "pytorch", "--preset", "legacy", "--epochs", "1", "--filters-scale", "1", "--accelerator", "cpu")
DARK = "Patterns 0, 1 and 20 are without"


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan with three dark patterns."""
    path = tmp_path_factory.mktemp("faulty") / "scan.npz"
    scan = simulate(SimulationConfig(size=32, patterns=40, photons=1e5), 2)
    counts = scan.counts.copy()
    counts[[0, 1, 20]] = 0
    x, y = scan.positions_xy.T
    np.savez(path, diffraction=counts, xcoords=x, ycoords=y, probeGuess=scan.probe)
    return path


def told_by(call: Any) -> list[str]:
    """The warnings of a call."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(item.message) for item in caught]


def test_every_use_of_a_data_set_tells_what_was_found(faulty: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (first,) = told_by(lambda: create_dataset(faulty, folder, MODEL))
    assert first.startswith(f"{faulty}: {DARK}")
    expected = [first.replace(str(faulty), str(folder / "scan.npz"))]
    other_groups = DatasetOptions(grouping=GroupingOptions(n_groups=8))
    assert told_by(lambda: create_dataset(faulty, folder, MODEL)) == expected
    assert told_by(lambda: create_dataset(faulty, folder, MODEL, other_groups)) == expected
    assert told_by(lambda: open_dataset(folder)) == expected
    with pytest.warns(ScanWarning, match=DARK):
        (found,) = open_dataset(folder).scan(0).findings
    with pytest.warns(ScanWarning, match=DARK):
        (read,) = RawData.from_file(faulty).findings
    assert (str(found), found.name, found.severity) == (str(read), read.name, read.severity)


@pytest.mark.filterwarnings("default")
def test_train_and_infer_from_a_data_set_tell_it(
    faulty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = ["--dataset", str(tmp_path / "set"), "--quiet"]
    for scans in ([str(faulty)], [], [str(faulty)]):
        assert main(["train", *scans, "-o", str(tmp_path / f"model{len(scans)}"), *QUICK, *stored]) == 0
        assert capsys.readouterr().err.count(DARK) == 1
    infer = ["infer", str(tmp_path / "model0"), str(tmp_path / "set"), "-o", str(tmp_path / "out"), "--polish", "0"]
    assert main([*infer, "--calibrate", "never", "--quiet"]) == 0
    assert capsys.readouterr().err.count(f"Warning: {tmp_path / 'set' / 'scan.npz'}: {DARK}") == 1


def test_an_unclear_cube_is_told_of_a_data_set_too(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).poisson(5.0, (32, 32, 32))
    scan = simulate(SimulationConfig(size=32, patterns=32), 2)
    x, y = scan.positions_xy.T
    np.savez(tmp_path / "cube.npz", diff3d=noise, xcoords=x, ycoords=y, probeGuess=scan.probe)
    told = [text for text in told_by(lambda: RawData.from_file(tmp_path / "cube.npz")) if "pattern_axis" in text]
    assert len(told) == 1
    assert told[0] in told_by(lambda: create_dataset(tmp_path / "cube.npz", tmp_path / "set", MODEL))


def test_a_scan_without_faults_is_used_without_a_word(tmp_path: Path) -> None:
    simulate(SimulationConfig(size=32, patterns=64), 2).to_file(tmp_path / "scan.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        create_dataset(tmp_path / "scan.npz", tmp_path / "set", MODEL)
        assert open_dataset(tmp_path / "set").scan(0).findings == ()
        PtychoModel(N=32, n_filters_scale=1, backend="pytorch").train(tmp_path / "set", nepochs=1)


@pytest.mark.filterwarnings("default")
def test_both_axes_negated_are_told_of_a_data_set_and_to_a_script(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "The patterns fit the positions better with both x and y negated"
    simulate(SimulationConfig(size=32, patterns=64, photons=1e5), 2).to_file(tmp_path / "right.npz")
    turned(RawData.from_file(tmp_path / "right.npz")).to_file(tmp_path / "scan.npz")
    for scans in ([str(tmp_path / "scan.npz")], []):
        stored = ["--dataset", str(tmp_path / "set"), "--quiet"]
        assert main(["train", *scans, "-o", str(tmp_path / f"model{len(scans)}"), *QUICK, *stored]) == 0
        assert f"Warning: {tmp_path / 'set' / 'scan.npz'}: {words}" in capsys.readouterr().err
    with pytest.warns(ScanWarning, match=words):
        PtychoModel.load(tmp_path / "model0").infer(tmp_path / "scan.npz", polish_steps=0)


def changed_hdf5(path: Path, **changes: Any) -> Path:
    """Training data of Ptychodus of which some arrays are others."""
    scan = simulate(SimulationConfig(size=32, patterns=24, photons=1e5), 2)
    x, y = scan.positions_xy.T
    members = {"diffraction": scan.counts, "xcoords": x, "ycoords": y, "probeGuess": scan.probe}
    write_training_hdf5(path, members | {"objectGuess": scan.object})
    with h5py.File(path, "r+") as file:
        for name, change in changes.items():
            values = change(file[name][()]) if callable(change) else change
            del file[name]
            if values is not None:
                file[name] = values
    return path


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"object": np.ones((2, 40, 40), np.complex64)}, r"object has shape \(2, 40, 40\); expected \(H, W\)"),
        ({"probe": np.abs}, "probe is real"),
    ],
)
def test_warnings_use_the_names_of_the_file(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = changed_hdf5(tmp_path / "scan.h5", **changes)
    for call in (
        lambda: RawData.from_file(path),
        lambda: create_dataset(path, tmp_path / "set", MODEL),
        lambda: open_dataset(tmp_path / "set"),
    ):
        with pytest.warns(ScanWarning, match=words) as caught:
            call()
        assert not any(name in str(item.message) for item in caught for name in ("Guess", "diffraction", "xcoords"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"patterns": lambda old: np.where(old > 0, -1.0, 0.0)}, "patterns holds -1.0 in pattern 0"),
        ({"probe_position_x_px": lambda old: old[:-1]}, "probe_position_y_px has 24 values for 23 scan points"),
        ({"probe": np.ones((64, 64), np.complex64)}, r"probe has shape \(64, 64\) for patterns of 32 x 32"),
        ({"probe": None}, r"has no probe; .* Add probe \(mode, N, N\)"),
    ],
)
def test_refusals_use_the_names_of_the_file(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = changed_hdf5(tmp_path / "scan.h5", **changes)
    with pytest.raises(DataError, match=words) as caught:
        create_dataset(path, tmp_path / "set", MODEL)
    assert not any(name in str(caught.value) for name in ("Guess", "diffraction", "xcoords", "ycoords"))
