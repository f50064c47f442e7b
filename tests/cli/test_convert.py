"""`ptychopinn convert`: what is read comes out as an NPZ or a data set, and means the same."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from ptychopinn_backend.cli import main
from ptychopinn_backend.data.dataset import open_dataset
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulatedScan, SimulationConfig, simulate


@pytest.fixture
def scan() -> SimulatedScan:
    return simulate(SimulationConfig(size=32, patterns=25, photons=1e5, bad_pixel_fraction=0.01), 3)


def hdf5(scan: SimulatedScan, path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file["patterns"] = scan.counts
        file["probe_position_x_px"] = scan.positions_xy[:, 0] - 0.5
        file["probe_position_y_px"] = scan.positions_xy[:, 1] - 0.5
        file["probe"] = scan.probe
        file["object"] = scan.object
        file["bad_pixels"] = scan.bad_pixels
    return path


def same(found: RawData, expected: RawData) -> None:
    for name in ("diff3d", "xcoords", "ycoords", "probeGuess", "objectGuess", "bad_pixels", "scan_index"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-6, err_msg=name)


def test_every_kind_of_file_becomes_the_same_scan(
    scan: SimulatedScan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = scan.to_raw_data()
    x, y = scan.positions_xy.T
    facts = {"probeGuess": scan.probe, "objectGuess": scan.object, "bad_pixels": scan.bad_pixels}
    np.savez(tmp_path / "last.npz", xcoords=x, ycoords=y, diff3d=np.moveaxis(scan.counts, 0, 2), **facts)
    np.savez(tmp_path / "root.npz", xcoords=x, ycoords=y, diffraction=np.sqrt(scan.counts), **facts)
    np.savez(tmp_path / "off.npz", xcoords=x - 0.5, ycoords=y - 0.5, diff3d=scan.counts, **facts)
    hdf5(scan, tmp_path / "training.h5")
    for name, options in {
        "last.npz": [],
        "root.npz": ["--measurement", "amplitudes"],
        "off.npz": ["--shift", "0.5"],
        "training.h5": [],
    }.items():
        assert main(["convert", str(tmp_path / name), "-o", str(tmp_path / "out.npz"), *options]) == 0
        same(RawData.from_file(tmp_path / "out.npz"), expected)
        assert "25 patterns of 32 x 32 pixels" in capsys.readouterr().out
    # What the file says of itself needs no option any more.
    assert main(["convert", str(tmp_path / "out.npz"), "-o", str(tmp_path / "again.npz"), "--quiet"]) == 0
    same(RawData.from_file(tmp_path / "again.npz"), expected)
    assert capsys.readouterr().out == ""


def test_many_scans_become_a_data_set(scan: SimulatedScan, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan.to_file(tmp_path / "scans" / "a.npz")
    hdf5(scan, tmp_path / "scans" / "b.h5")
    options = ["--gridsize", "2", "--groups", "10", "--normalize", "Group", "--labels", "--neighbor-function"]
    arguments = ["convert", str(tmp_path / "scans"), "-o", str(tmp_path / "set"), *options, "4_quadrant"]
    assert main(arguments) == 0
    assert "20 groups of 50 patterns from 2 scan(s)" in capsys.readouterr().out
    dataset = open_dataset(tmp_path / "set")
    assert (dataset.n_groups, dataset.channels, dataset.names) == (20, 4, ("a.npz", "b.h5"))
    assert dataset.has_labels
    np.testing.assert_allclose(np.square(dataset.X, dtype=float).sum(axis=(1, 2)).mean(axis=1), 16**2, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a.npz", "b.npz", "-o", "out.npz"], "names one scan, and 2 are given"),
        (["a.npz", "-o", "out.npz", "--gridsize", "2"], "gridsize concern data sets"),
        (["a.npz", "-o", "set", "--shift", "0.5"], "--shift 0.5 is for one NPZ"),
        (["absent.npz", "-o", "out.npz"], "absent.npz does not exist"),
        (["a.npz", "-o", "set", "--normalize", "Max"], "normalize = 'Max'"),
        (["-o", "set"], "Missing argument"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: list[str],
    words: str,
    scan: SimulatedScan,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.npz", "b.npz"):
        scan.to_file(tmp_path / name)
    assert main(["convert", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def test_patterns_of_another_size(scan: SimulatedScan, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan.to_file(tmp_path / "scan.npz")
    for size in ("64", "32"):
        assert main(["convert", str(tmp_path / "scan.npz"), "-o", str(tmp_path / "new.npz"), "--size", size]) == 0
        assert f"patterns of {size} x {size} pixels" in capsys.readouterr().out
        assert int(size) == RawData.from_file(tmp_path / "new.npz").N
