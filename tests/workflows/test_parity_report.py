"""The parity report, small: both backends agree on a CI-sized scan, and a difference is noticed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ptychopinn_backend.cli import main
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.runs.parity_report import THRESHOLDS, ParityReport, as_markdown, split_scan


def test_the_command_writes_table_numbers_and_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--training-groups", "64", "--test-groups", "40", "--epochs", "2", "--size", "32"]
    assert main(["parity-report", "-o", str(tmp_path), *sizes]) == 0
    assert "Every difference is below its limit" in capsys.readouterr().out
    found = json.loads((tmp_path / "parity_report.json").read_text())
    assert found["passed"] is True
    assert found["settings"]["training groups"] == 64
    assert set(found["results"]) == {"tensorflow", "pytorch"}
    assert set(found["differences"]) == set(THRESHOLDS)
    assert (tmp_path / "parity_report.png").stat().st_size > 0
    page = (tmp_path / "parity_report.md").read_text()
    assert all(f"| {name} |" in page for name in ("amplitude PSNR (dB)", "deviance per pixel"))
    assert "| deviance of photon noise alone |" in page


def test_a_difference_beyond_its_limit_fails_the_report() -> None:
    same = dict.fromkeys(THRESHOLDS, 1.0)
    report = ParityReport({"tensorflow": same, "pytorch": same}, {}, {})
    assert report.passed
    for key, limit in THRESHOLDS.items():
        nudged = replace(report, results={"tensorflow": same, "pytorch": {**same, key: 1.0 + 1.01 * limit}})
        assert not nudged.passed
        assert "exceeds its limit" in as_markdown(nudged)


def test_training_and_test_points_are_apart(scan: RawData) -> None:
    training, test = split_scan(scan, 30, 18, seed=0)
    points = {tuple(point) for point in training.positions_xy} & {tuple(point) for point in test.positions_xy}
    assert (training.n_patterns, test.n_patterns, points) == (30, 18, set())


def test_too_small_a_scan_is_refused(scan: RawData) -> None:
    with pytest.raises(DataError, match="48 points; 40 for training and 20 for the test need 60"):
        split_scan(scan, 40, 20, seed=0)
