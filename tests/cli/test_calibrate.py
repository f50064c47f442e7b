"""`ptychopinn calibrate` writes a scan with refined probe and positions, and says whether to believe it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.cli.main import main
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

SIMULATE = ["--size", "32", "--patterns", "64", "--probe", "zone_plate", "--step", "3", "--position-error", "0.7"]
FEW = ["--modes", "1", "--sweeps", "12"]


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("calibrate") / "scan.npz"
    assert main(["simulate", "-o", str(file), *SIMULATE]) == 0
    return file


def test_a_scan_with_errors_of_position(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, object_file = tmp_path / "new" / "calibrated.npz", tmp_path / "object.npz"
    assert main(["calibrate", str(scan), "-o", str(output), *FEW, "--reconstruction", str(object_file)]) == 0
    said = capsys.readouterr().out
    assert "3 of 64 patterns held out" in said
    assert "better explained: R-free" in said
    assert f"Wrote {output} with refined probe and positions." in said
    given, written = RawData.from_file(scan), RawData.from_file(output)
    np.testing.assert_array_equal(written.xcoords_start, given.xcoords)
    assert np.hypot(*(written.positions_xy - given.positions_xy).T).max() > 0.5
    assert written.metadata["calibration"]["believed"] is True
    assert Reconstruction.load_npz(object_file).positions_xy is not None


def test_a_calibration_not_believed_leaves_the_scan(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = RawData.from_file(scan)
    noise = np.random.default_rng(0).poisson(2.0, given.diff3d.shape)
    np.savez(
        tmp_path / "noise.npz",
        diffraction=noise,
        xcoords=given.xcoords,
        ycoords=given.ycoords,
        probeGuess=given.probeGuess,
    )
    command = ["calibrate", str(tmp_path / "noise.npz"), "-o", str(tmp_path / "out.npz"), "--modes", "1"]
    assert main([*command, "--sweeps", "4"]) == 0
    assert "with the probe and positions it had" in capsys.readouterr().out
    np.testing.assert_array_equal(RawData.from_file(tmp_path / "out.npz").xcoords, given.xcoords)
    assert main([*command, "--sweeps", "4", "--force", "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert (RawData.from_file(tmp_path / "out.npz").xcoords != given.xcoords).any()


def test_json(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["calibrate", str(scan), "-o", str(tmp_path / "out.npz"), *FEW, "--no-positions", "--json"]
    assert main(command) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["r_free_after"] == pytest.approx(told["r_factor"], rel=0.5)
    assert told["position_spread_px"] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "out.h5"], "must end in '.npz'"),
        (["-o", "out.npz", "--modes", "0"], "modes = 0"),
        (["-o", "out.npz", "--probe", "guess"], "'guess' is not one of"),
        ([], "Missing option"),
    ],
)
def test_wrong_input(scan: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", str(scan), *arguments]) == 2
    assert words in capsys.readouterr().err
