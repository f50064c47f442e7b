"""`ptychopinn check`: what it says of a good scan and of one whose axes are exchanged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.cli import main
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from tests.data.findings.planted import members
from tests.data.readers.writers import make_scan, write_ptychodus_pair


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


@pytest.mark.parametrize("option", ["--mend", "-o"])
def test_the_scan_itself_is_not_written_over(
    option: str, raw: RawData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    raw.to_file("scan.npz")
    before = Path("scan.npz").read_bytes()
    assert main(["check", "scan.npz", option, str(tmp_path / "scan.npz"), "--no-orientation"]) == 2
    assert f"{option} {tmp_path / 'scan.npz'} is the scan itself, which would be lost" in capsys.readouterr().err
    assert Path("scan.npz").read_bytes() == before


def test_no_file_of_a_scan_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_ptychodus_pair(make_scan(), tmp_path)
    assert main(["check", str(path), "-o", str(tmp_path / "product.h5"), "--no-orientation"]) == 2
    assert "is the scan itself" in capsys.readouterr().err
    for command in ("convert", "calibrate"):
        np.savez(tmp_path / "scan.npz", **members())
        before = (tmp_path / "scan.npz").read_bytes()
        assert main([command, str(tmp_path / "scan.npz"), "-o", str(tmp_path / "scan.npz"), "-q"]) == 2
        assert "is the scan itself" in capsys.readouterr().err
        assert (tmp_path / "scan.npz").read_bytes() == before
