"""`ptychopinn check`: what it says of a good scan and of one whose axes are exchanged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ptychopinn_backend.cli import main
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan


@pytest.fixture(scope="module")
def raw() -> RawData:
    return simulate_scan(SimulationConfig(size=32, patterns=64, photons=1e5), seed=2)


def test_a_good_scan(raw: RawData, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "scan.npz"
    raw.to_file(path)
    before = path.read_bytes()
    assert main(["check", str(path)]) == 0
    said = capsys.readouterr().out
    for words in (
        "64 patterns of 32 x 32 pixels",
        "photons per pattern",
        "'auto' takes",
        "Positions run as the patterns do",
    ):
        assert words in said
    assert said.count(" R 0.") >= 8
    assert path.read_bytes() == before


def test_exchanged_axes_are_named_with_the_options(
    raw: RawData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "scan.npz"
    turned = replace(raw, xcoords=raw.ycoords, ycoords=raw.xcoords.max() - raw.xcoords, objectGuess=None)
    turned.to_file(path)
    assert main(["check", str(path), "--json"]) == 1
    found = {item["name"]: item for item in json.loads(capsys.readouterr().out)["findings"]}
    assert found["orientation"]["severity"] == "warning"
    assert "Give --swap-xy --negate-x to every command" in found["orientation"]["remedy"]
    assert main(["check", str(path), "--swap-xy", "--negate-x"]) == 0
    assert "Positions run as the patterns do" in capsys.readouterr().out
    # Told on top of what is given already.
    assert main(["check", str(path), "--swap-xy"]) == 1
    assert "Give --swap-xy --negate-x to every command" in capsys.readouterr().out
    raw.to_file(path)
    assert main(["check", str(path), "--negate-x"]) == 1
    assert "Leave out --rotate, --swap-xy, --negate-x and --negate-y" in capsys.readouterr().out


def test_a_scan_without_a_probe(raw: RawData, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    replace(raw, probeGuess=None).to_file(tmp_path / "scan.npz")
    assert main(["check", str(tmp_path / "scan.npz")]) == 1
    said = capsys.readouterr().out
    assert "! no-probe" in said
    assert "The scan has no probe" in said
    assert main(["check", str(tmp_path / "scan.npz"), "--no-orientation"]) == 1


def test_a_scan_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path / "absent.npz")]) == 2
    assert "does not exist" in capsys.readouterr().err
