"""`ptychopinn evaluate` from files to a table or JSON."""

import json
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.cli.main import main
from ptychopinn_backend.physics.scan_model import scan_intensities
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

N, SIDE = 32, 96


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with scan.npz (truth inside), measured.npz (counts only) and recon.npz (slightly wrong)."""
    folder = tmp_path_factory.mktemp("evaluate")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    obj = ((1 + 0.1 * np.sin(30 * x)) * np.exp(0.5j * np.cos(25 * y + 10 * x))).astype(np.complex64)
    row, column = np.mgrid[:N, :N] - N / 2 + 0.5
    probe = (50 * np.exp(-(row**2 + column**2) / 60 + 0.02j * (row**2 + column**2))).astype(np.complex64)[None]
    positions = rng.uniform(20, SIDE - 20, (80, 2))
    counts = rng.poisson(scan_intensities(obj, (0, 0), probe, positions))
    scan = {"diff3d": counts, "xcoords": positions[:, 0], "ycoords": positions[:, 1], "probeGuess": probe}
    np.savez(folder / "scan.npz", objectGuess=obj, **scan)
    np.savez(folder / "measured.npz", **scan)
    noisy = (obj + 0.02 * rng.normal(size=obj.shape)).astype(np.complex64)
    Reconstruction(noisy, (0.0, 0.0), probe, None, "tensorflow", positions).save_npz(folder / "recon.npz")
    return folder


def test_table(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["evaluate", f"{files}/recon.npz", f"{files}/scan.npz", "--truth", f"{files}/scan.npz"])
    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    assert lines[0].startswith("80 patterns, made by the tensorflow backend, compared with the truth on ")
    assert any(line.split()[:2] == ["phase", "correlation"] for line in lines)
    assert all(len(line) < 100 for line in lines)


def test_json_without_comparison(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", f"{files}/recon.npz", f"{files}/measured.npz", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["r_factor"] == pytest.approx(report["poisson_floor_r_factor"], rel=0.2)
    assert 0 < report["deviance"] < 1
    fit = {"r_factor", "poisson_floor_r_factor", "deviance", "poisson_deviance"}
    assert set(report) == {"backend", "n_patterns", "interpolation", *fit}


def test_json_with_reference(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["evaluate", f"{files}/recon.npz", f"{files}/measured.npz", "--reference", f"{files}/recon.npz"]
    assert main([*arguments, "--json", "--interpolation", "fourier"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["compared_with"] == "reference"
    assert report["interpolation"] == "fourier"
    assert report["phase_correlation"] == pytest.approx(1)
    assert report["frc_half_bit_px"] == 1


@pytest.mark.filterwarnings("default")
def test_a_truth_of_another_scan_is_told_of(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with np.load(files / "scan.npz") as scan:
        arrays = dict(scan)
    rng = np.random.default_rng(5)
    arrays |= {"xcoords": rng.uniform(20, 70, 80), "objectGuess": np.roll(arrays["objectGuess"], 40, axis=(0, 1)).T}
    np.savez(files / "other.npz", **arrays)
    assert main(["evaluate", f"{files}/recon.npz", f"{files}/scan.npz", "--truth", f"{files}/other.npz"]) == 0
    said = capsys.readouterr().err
    assert f"{files}/other.npz is of another scan: its 80 positions are not those of the reconstruction" in said
    assert "Reconstruction and truth have little in common: their amplitudes correlate to " in said


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--truth", "measured.npz"], "has no objectGuess; --truth needs a scan file"),
        (["--truth", "scan.npz", "--reference", "recon.npz"], "--truth and --reference are both given"),
        (["--reference", "nowhere.npz"], "nowhere.npz does not exist"),
        (["--reference", "scan.npz"], "has no 'object'; a reconstruction holds"),
    ],
)
def test_bad_input_is_one_clear_line(
    extra: list[str], message: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [f"{files}/{word}" if word.endswith(".npz") else word for word in extra]
    assert main(["evaluate", f"{files}/recon.npz", f"{files}/measured.npz", *paths]) == 2
    assert message in capsys.readouterr().err
