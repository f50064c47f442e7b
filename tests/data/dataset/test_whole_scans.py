"""Scans of a data set as whole scans: written as NPZ, and reconstructed straight from the data set."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.cli import main
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.data.dataset import DatasetOptions, create_dataset, open_dataset
from ptychopinn_backend.data.dataset.scan_files import named_paths, read_scan, scan_files_of
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.model_api import PtychoModel
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

MODEL = ModelConfig(N=32, n_filters_scale=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scans, a data set of each alone and of both, and a model."""
    folder = tmp_path_factory.mktemp("whole")
    spec = SimulationConfig(size=32, patterns=40, photons=1e5, bad_pixel_fraction=0.01)
    for seed, name in enumerate("ab"):
        simulate(spec, seed).to_file(folder / "scans" / f"{name}.npz")
    create_dataset(folder / "scans" / "a.npz", folder / "one", MODEL, DatasetOptions(with_labels=True))
    create_dataset(folder / "scans", folder / "both", MODEL)
    train = ["--backend", "pytorch", "--preset", "legacy", "--epochs", "1", "--filters-scale", "1", "--quiet"]
    assert main(["train", str(folder / "scans" / "a.npz"), "-o", str(folder / "model"), *train]) == 0
    return folder


def same(found: RawData, expected: RawData) -> None:
    for name in ("diff3d", "xcoords", "ycoords", "probeGuess", "objectGuess", "bad_pixels", "scan_index"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    assert found.measured_as_counts == expected.measured_as_counts
    assert found.metadata == expected.metadata


def test_a_scan_of_a_data_set_is_the_scan_it_was_made_from(folder: Path) -> None:
    same(open_dataset(folder / "both").scan(1), RawData.from_file(folder / "scans" / "b.npz"))
    labelled = open_dataset(folder / "one").scan(0)
    assert labelled.Y is not None
    assert labelled.Y.shape == (40, 32, 32)
    with pytest.raises(DataError, match=r"Scan 2 is asked for; the data set .* holds 2, counted from 0"):
        open_dataset(folder / "both").scan(2)


def test_amplitudes_keep_that_they_were_counted(folder: Path, tmp_path: Path) -> None:
    RawData.from_file(folder / "scans" / "a.npz").to_file(tmp_path / "a.npz")
    create_dataset(tmp_path / "a.npz", tmp_path / "dataset", MODEL)
    same(open_dataset(tmp_path / "dataset").scan(0), RawData.from_file(tmp_path / "a.npz"))


def test_a_data_set_of_an_earlier_version_opens_without_what_it_lacks(folder: Path, tmp_path: Path) -> None:
    create_dataset(folder / "scans" / "a.npz", tmp_path / "dataset", MODEL)
    path = next((tmp_path / "dataset").glob("patterns-*/scan-00000.npz"))
    with np.load(path) as stored:
        members = {name: stored[name] for name in stored.files if name != "objectGuess"}
    described = json.loads(str(members["_metadata"]))
    del described["metadata"]
    np.savez(path, **{**members, "_metadata": np.array(json.dumps(described))})
    found = open_dataset(tmp_path / "dataset").scan(0)
    assert (found.objectGuess, found.metadata, found.point_index) == (None, {}, None)
    np.testing.assert_array_equal(found.diff3d, RawData.from_file(folder / "scans" / "a.npz").diff3d)


def test_a_large_scan_lies_in_a_temporary_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ptychopinn_backend.data.dataset.whole_scan.MEMORY_PART", 0.0)
    large = open_dataset(folder / "one").scan(0)
    assert isinstance(large.diff3d, np.memmap)
    same(large, RawData.from_file(folder / "scans" / "a.npz"))


def test_a_data_set_becomes_npz_files(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(folder / "one"), "-o", str(tmp_path / "a.npz"), "--shift", "0.5"]) == 0
    moved = RawData.from_file(tmp_path / "a.npz")
    expected = RawData.from_file(folder / "scans" / "a.npz")
    np.testing.assert_allclose(moved.xcoords - 0.5, expected.xcoords)
    np.testing.assert_array_equal(moved.objectGuess, expected.objectGuess)
    assert moved.measured_as_counts
    assert main(["convert", str(folder / "both"), "-o", str(tmp_path / "all")]) == 0
    said = capsys.readouterr().out
    for name in "ab":
        written = tmp_path / "again" / f"{name}.npz"
        RawData.from_file(folder / "scans" / f"{name}.npz").to_file(written)
        same(RawData.from_file(tmp_path / "all" / f"{name}.npz"), RawData.from_file(written))
        assert f"Wrote {tmp_path / 'all' / name}.npz: 40 patterns" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["both", "-o", "x.npz"], "the data set both holds 2. Name a folder, which gets an NPZ for each"),
        (["one", "-o", "x.npz", "--gridsize", "2"], "gridsize concern how one is made"),
        (["one", "scans/b.npz", "-o", "x"], "2 sources are given, and one is a data set"),
        (["one", "-o", "x.npz", "--negate-x"], "which was settled when the data set was made"),
    ],
)
def test_what_a_data_set_cannot_become_is_refused(
    folder: Path, arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert main(["convert", *arguments]) == 2
    assert words in " ".join(capsys.readouterr().err.split())


def infer(folder: Path, output: Path, *arguments: str) -> int:
    return main(["infer", str(folder / "model"), "-o", str(output), "--accelerator", "cpu", "--quiet", *arguments])


def test_a_data_set_is_reconstructed_as_its_scans_are(folder: Path, tmp_path: Path) -> None:
    assert infer(folder, tmp_path / "file", str(folder / "scans" / "a.npz")) == 0
    assert infer(folder, tmp_path / "one", str(folder / "one")) == 0
    assert infer(folder, tmp_path / "both", str(folder / "both")) == 0
    found = {
        name: Reconstruction.load_npz(tmp_path / name / "reconstruction.npz").object
        for name in ("file", "one", "both/a")
    }
    for name in ("one", "both/a"):
        np.testing.assert_array_equal(found[name], found["file"])
    assert (tmp_path / "both" / "b" / "reconstruction.png").is_file()


def test_python_takes_a_data_set_with_one_scan(folder: Path) -> None:
    model = PtychoModel.load(folder / "model")
    of_file = model.infer(folder / "scans" / "a.npz", polish_steps=0).object
    for given in (folder / "one", open_dataset(folder / "one")):
        np.testing.assert_array_equal(model.infer(given, polish_steps=0).object, of_file)
    with pytest.raises(DataError, match=r"holds 2 scans, and one is expected.*scan-00000\.npz"):
        model.infer(folder / "both")


def test_scans_of_one_name_are_told_apart(folder: Path, tmp_path: Path) -> None:
    for part in ("x", "y"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "s.npz").write_bytes((folder / "scans" / "a.npz").read_bytes())
    create_dataset([tmp_path / "x" / "s.npz", tmp_path / "y" / "s.npz"], tmp_path / "dataset", MODEL)
    files = scan_files_of([tmp_path / "dataset", folder / "scans" / "a.npz"])
    assert [path.name for path in named_paths(files)] == ["a.npz", "s-0.npz", "s-1.npz"]
    assert read_scan(files[0]).n_patterns == read_scan(files[1]).n_patterns == 40


def test_every_command_reads_a_data_set_of_one_scan(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert infer(folder, tmp_path / "result", str(folder / "one")) == 0
    result, page = str(tmp_path / "result"), tmp_path / "page.html"
    for scan in ("one", "scans/a.npz"):
        given = str(folder / scan)
        assert main(["check", given, "-o", str(page)]) == 0
        assert "40 patterns of 32 x 32 pixels, read as counts" in capsys.readouterr().out
        assert main(["evaluate", f"{result}/reconstruction.npz", given, "--truth", given, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["n_patterns"] == 40
        assert main(["report", result, "--scan", given, "--truth", given, "-o", str(page), "-q"]) == 0
    assert main(["check", str(folder / "one"), "--mend", str(tmp_path / "mended.npz"), "--no-orientation"]) == 0
    mended, stored = RawData.from_file(tmp_path / "mended.npz"), open_dataset(folder / "one").scan(0)
    np.testing.assert_array_equal(mended.diff3d, stored.diff3d)
    np.testing.assert_array_equal(mended.positions_xy, stored.positions_xy)
    assert mended.measured_as_counts == stored.measured_as_counts


def test_one_scan_of_several_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = folder / "both"
    assert main(["check", str(both), "--no-orientation"]) == 2
    assert "holds 2 scans, and one is expected" in capsys.readouterr().err
    second = next(both.glob("patterns-*/scan-00001.npz"))
    assert main(["check", str(second), "--no-orientation"]) == 0
    assert main(["check", str(second), "--no-orientation", "--swap-xy"]) == 2
    assert "is a data set: swap_xy concern how a scan file is read" in capsys.readouterr().err
    with pytest.raises(
        DataError, match=r"both is a data set made from scans, .* 'ptychopinn convert .*both -o FOLDER'"
    ):
        RawData.from_file(both)
