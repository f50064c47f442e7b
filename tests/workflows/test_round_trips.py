"""A training does each of these once: reads its files, chooses a preset, sums the patterns, locks, keeps a history."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from ptychopinn_backend.archive import read_archive
from ptychopinn_backend.cli import main
from ptychopinn_backend.config.presets import fitted_preset
from ptychopinn_backend.config.yaml_file import load_yaml_config
from ptychopinn_backend.data.dataset.scan_dataset import open_dataset
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.scaling import count_photons
from ptychopinn_backend.data.simulation import SimulationConfig, simulate
from ptychopinn_backend.files.training_lock import LOCK_NAME

QUIET = ("--backend", "pytorch", "--accelerator", "cpu", "--quiet")
N_PATTERNS = 48

_opened: Counter[str] | None = None


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _opened is not None and event == "open" and isinstance(arguments[0], str):
        reads = arguments[1] is None or "r" in arguments[1]
        if reads:
            _opened[arguments[0]] += 1


sys.addaudithook(_note)


@contextmanager
def watched() -> Iterator[tuple[Counter[str], Counter[str]]]:
    """Count the files that are opened to be read, and the calls of some functions."""
    global _opened
    functions = (fitted_preset, load_yaml_config, open_dataset, read_archive)
    names = {function.__code__: function.__name__ for function in functions}
    calls: Counter[str] = Counter()

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event != "call":
            return
        if frame.f_code is count_photons.__code__ and len(frame.f_locals["amplitudes"]) == N_PATTERNS:
            calls["count_photons"] += 1
        elif frame.f_code in names:
            calls[names[frame.f_code]] += 1

    opened: Counter[str] = Counter()
    before, _opened = sys.getprofile(), opened
    sys.setprofile(profile)
    try:
        yield opened, calls
    finally:
        sys.setprofile(before)
        _opened = None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("round")
    simulate(SimulationConfig(size=32, patterns=N_PATTERNS, photons=1e5), 0).to_file(folder / "scan.npz")
    (folder / "run.yaml").write_text("nepochs: 1\nn_filters_scale: 1\nbatch_size: 16\nheld_out_fraction: 0.0\n")
    arguments = ("train", str(folder / "scan.npz"), "-o", str(folder / "start"), "--config", str(folder / "run.yaml"))
    assert main([*arguments, *QUIET, "--preset", "legacy", "--calibrate", "never"]) == 0
    return folder


def test_a_training_does_everything_once(folder: Path, tmp_path: Path) -> None:
    scan, config, start = (str(folder / name) for name in ("scan.npz", "run.yaml", "start/wts.h5.zip"))
    output = tmp_path / "out"
    arguments = ("train", scan, "-o", str(output), "--config", config, "--init", start, "--preset", "legacy")
    with watched() as (opened, calls):
        assert main([*arguments, *QUIET, "--calibrate", "never"]) == 0
    assert opened[config] == 1, "the configuration file is read once"
    assert opened[start] == 1, "the archive is opened once"
    assert calls == {"fitted_preset": 1, "load_yaml_config": 1, "read_archive": 1, "count_photons": 1}
    assert {path: n for path, n in opened.items() if LOCK_NAME in path} == {str(output / "checkpoints" / LOCK_NAME): 1}
    histories = sorted(path.name for path in output.rglob("*.csv"))
    assert histories == ["history.csv"]


def test_a_data_set_is_opened_once(folder: Path, tmp_path: Path) -> None:
    arguments = ("train", "-o", str(tmp_path / "out"), "--config", str(folder / "run.yaml"), "--preset", "legacy")
    dataset = tmp_path / "dataset"
    assert main(["convert", str(folder / "scan.npz"), "-o", str(dataset), "--quiet"]) == 0
    with watched() as (opened, calls):
        assert main([*arguments, *QUIET, "--dataset", str(dataset)]) == 0
    assert calls["open_dataset"] == 1
    assert opened[str(dataset / "dataset.json")] == 1


def test_the_watch_notices(folder: Path) -> None:
    with watched() as (opened, calls):
        for _ in range(2):
            count_photons(RawData.from_file(folder / "scan.npz").diff3d)
    assert opened[str(folder / "scan.npz")] >= 2
    assert calls["count_photons"] >= 2
