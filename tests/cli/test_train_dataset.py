"""`ptychopinn train` with a data set on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from ptychopinn_backend.cli import main
from ptychopinn_backend.data.dataset import open_dataset

TRAIN = [
    "--backend",
    "pytorch",
    "--preset",
    "legacy",
    "--epochs",
    "1",
    "--filters-scale",
    "1",
    "--seed",
    "1",
    "--quiet",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two scans and a model that was trained on them in memory."""
    folder = tmp_path_factory.mktemp("cli")
    for seed in ("1", "2"):
        scan = str(folder / "scans" / f"{seed}.npz")
        assert (
            main(["simulate", "-o", scan, "--size", "32", "--patterns", "24", "--photons", "1e5", "--seed", seed]) == 0
        )
    assert main(["train", str(folder / "scans"), "-o", str(folder / "memory"), *TRAIN, "--gridsize", "2"]) == 0
    return folder


def history(folder: Path) -> str:
    return (folder / "history.csv").read_text()


def test_trains_from_a_data_set_as_from_memory(folder: Path) -> None:
    stored = ["--dataset", str(folder / "set")]
    arguments = ["train", str(folder / "scans"), "-o", str(folder / "disk"), *TRAIN, "--gridsize", "2", *stored]
    assert main(arguments) == 0
    assert history(folder / "disk") == history(folder / "memory")
    assert open_dataset(folder / "set").n_groups == 48
    assert main(["train", "-o", str(folder / "again"), *TRAIN, *stored]) == 0
    assert history(folder / "again") == history(folder / "memory")


def test_validates_on_a_scan_beside_a_data_set(folder: Path) -> None:
    scan = str(folder / "scans" / "2.npz")
    stored = ["--dataset", str(folder / "one"), "--validation", scan]
    assert main(["train", str(folder / "scans" / "1.npz"), "-o", str(folder / "first"), *TRAIN, *stored]) == 0
    assert main(["train", "-o", str(folder / "second"), *TRAIN, *stored]) == 0
    assert "val_loss" in history(folder / "first")
    assert history(folder / "first") == history(folder / "second")


def test_scans_larger_than_part_of_the_memory_are_stored(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ptychopinn_backend.data.dataset.sources.MEMORY_PART", 1e-12)
    assert main(["train", str(folder / "scans"), "-o", str(tmp_path), *TRAIN, "--gridsize", "2"]) == 0
    assert open_dataset(tmp_path / "dataset").n_patterns == 48
    assert history(tmp_path) == history(folder / "memory")


def test_neither_scans_nor_data_set_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "-o", str(tmp_path / "model")]) == 2
    assert "No SCANS were given" in capsys.readouterr().err
    assert main(["train", "-o", str(tmp_path / "model"), "--dataset", str(tmp_path)]) != 0
    assert "holds no data set" in capsys.readouterr().err
