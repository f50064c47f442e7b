"""Both axes of the positions negated, which nothing in the reading of a scan shows, is told by train and infer."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.cli import main
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.errors import ScanWarning
from ptychopinn_backend.runs.half_turn import HALF_TURN, half_turn_search, warn_of_half_turns
from ptychopinn_backend.runs.orientation import AS_GIVEN
from ptychopinn_backend.runs.scan_input import scan_input
from tests.data.findings.test_no_false_alarm import SPECS

WORDS = "The patterns fit the positions better with both x and y negated"


def turned(raw: RawData) -> RawData:
    x, y = (values.min() + values.max() - values for values in (raw.xcoords, raw.ycoords))
    return replace(raw, xcoords=x, ycoords=y)


@pytest.fixture(scope="module")
def raw() -> RawData:
    return simulate_scan(SimulationConfig(size=32, patterns=64, photons=1e5), seed=2)


def test_a_training_says_it(raw: RawData, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.warns(ScanWarning, match=WORDS):
        scan_input(turned(raw))
    turned(raw).to_file(tmp_path / "scan.npz")
    tiny = (
        "--preset",
        "legacy",
        "--epochs",
        "1",
        "--groups",
        "8",
        "--filters-scale",
        "1",
        "--calibrate",
        "never",
        "-q",
    )
    folder = str(tmp_path / "model")
    assert main(["train", str(tmp_path / "scan.npz"), "-o", folder, "--backend", "pytorch", *tiny]) == 0
    assert WORDS in capsys.readouterr().err
    words = [str(tmp_path / "scan.npz"), "-o", str(tmp_path / "result"), "--polish", "0", "--calibrate", "never", "-q"]
    assert main(["infer", folder, *words]) == 0
    assert WORDS in capsys.readouterr().err


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_a_scan_without_faults_gives_no_warning(spec: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_half_turns([simulate_scan(SimulationConfig(**{"size": 32, "patterns": 60, **spec}), 3)])


@pytest.mark.parametrize("name", ["rotavirus", "siemens_star"])
def test_a_measured_scan_gives_no_warning(shared_folder: Path, name: str) -> None:
    raw = RawData.from_file(shared_folder / "data" / f"{name}.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_half_turns([raw])


def test_few_patterns_settle_a_scan_that_runs_right_and_no_other(raw: RawData) -> None:
    right, wrong = half_turn_search(raw), half_turn_search(turned(raw))
    assert (right.best, right.n_patterns) == (AS_GIVEN, 36)
    assert (wrong.best, wrong.n_patterns) == (HALF_TURN, 64)


def test_what_cannot_be_told_is_not_said(raw: RawData) -> None:
    few = turned(raw).select(np.arange(5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_half_turns([few, replace(turned(raw), probeGuess=None)])
