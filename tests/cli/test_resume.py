"""`ptychopinn train --resume` where there is nothing, something else, or enough already to go on from."""

from __future__ import annotations

import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ptychopinn_backend import PtychoModel
from ptychopinn_backend.archive import read_archive
from ptychopinn_backend.cli import main
from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.runs.train import train_scans
from ptychopinn_backend.seam.interface import EpochReport

QUICK = ("--architecture", "cnn", "--filters-scale", "1", "--accelerator", "cpu", "--seed", "1", "--quiet")


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small scan."""
    path = tmp_path_factory.mktemp("resume") / "scan.npz"
    assert main(["simulate", "-o", str(path), "--size", "32", "--patterns", "20", "--photons", "1e4"]) == 0
    return path


def train(scan: Path, folder: Path, epochs: int, *words: str, backend: str = "pytorch") -> int:
    options = ["--backend", backend, "--epochs", str(epochs), *QUICK, *words]
    return main(["train", str(scan), "-o", str(folder), *options])


@pytest.mark.parametrize(("backend", "other"), [("pytorch", "tensorflow"), ("tensorflow", "pytorch")])
def test_the_checkpoint_of_the_other_backend_is_refused_and_the_model_kept(
    backend: str, other: str, scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(scan, tmp_path, 1, backend=backend) == 0
    before = (tmp_path / "wts.h5.zip").read_bytes()
    assert train(scan, tmp_path, 2, "--resume", backend=other) == 2
    error = capsys.readouterr().err
    assert f"is a checkpoint of the backend {backend}, and this training computes with {other}." in error
    assert "Go on with that backend, or train without resuming." in error
    assert (tmp_path / "wts.h5.zip").read_bytes() == before


@pytest.mark.filterwarnings("default")
def test_without_a_checkpoint_it_says_that_it_starts_anew(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(scan, tmp_path, 1, "--resume") == 0
    words = (
        f"Warning: '{tmp_path / 'checkpoints'}' holds no checkpoint to go on from: training starts at epoch 1. "
        "Check the folder if there should be one.\n"
    )
    assert words in capsys.readouterr().err


@pytest.mark.filterwarnings("default")
def test_with_fewer_epochs_it_says_that_nothing_was_trained(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(scan, tmp_path, 2) == 0
    assert train(scan, tmp_path, 1, "--resume") == 0
    words = "holds 2 epochs, and 1 are asked for: nothing was trained. Ask for more than 2 to go on."
    assert words in capsys.readouterr().err
    assert len(read_archive(tmp_path).history["loss"]) == 2


@pytest.mark.filterwarnings("default")
def test_after_early_stopping_it_says_why_nothing_was_trained(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    patience = ("--set", "early_stop_patience=1", "--learning-rate", "1e-30", "--set", "validation_fraction=0")
    assert train(scan, tmp_path, 9, *patience) == 0
    assert 1 < len(read_archive(tmp_path).history["loss"]) < 9
    assert train(scan, tmp_path, 9, *patience, "--resume") == 0
    assert "of 9 epochs, after which it had ended (early stopping): nothing was trained." in capsys.readouterr().err


@pytest.mark.parametrize("backend", ["pytorch", "tensorflow"])
def test_a_resumed_training_goes_on_after_its_last_epoch_and_keeps_the_better_model_of_an_earlier_one(
    backend: str, scan: Path, tmp_path: Path
) -> None:
    best = tmp_path / "best.zip"

    def run(epochs: int, *, resume: bool) -> list[int]:
        config = TrainingConfig(model=ModelConfig(N=32, n_filters_scale=1), nepochs=epochs, batch_size=4, n_groups=20)
        # The largest loss counts as the best one, so that the first epoch stays the best.
        execution = ExecutionConfig(accelerator="cpu", seed=1, checkpoint_mode="max")
        seen: list[int] = []
        train_scans(
            [RawData.from_file(scan)],
            config,
            execution,
            backend=backend,
            on_epoch=lambda report: seen.append(report.epoch),
            checkpoint_folder=tmp_path / "checkpoints",
            best_archive=best,
            resume=resume,
        )
        return seen

    assert run(2, resume=False) == [1, 2]
    first = best.read_bytes()
    assert run(3, resume=True) == [3]
    assert best.read_bytes() == first


def trained_until(scan: Path, backend: str, *, last: int | None = None, **options: Any) -> list[int]:
    """Train for five epochs, or until an interrupt in one of them, and return the epochs that were told of."""
    seen: list[int] = []

    def on_epoch(report: EpochReport) -> None:
        seen.append(report.epoch)
        if report.epoch == last:
            raise KeyboardInterrupt

    config = TrainingConfig(model=ModelConfig(N=32, n_filters_scale=1), nepochs=5, batch_size=4, n_groups=20)
    with suppress(KeyboardInterrupt):
        train_scans(
            [RawData.from_file(scan)],
            config,
            ExecutionConfig(accelerator="cpu", seed=1),
            backend=backend,
            on_epoch=on_epoch,
            **options,
        )
    return seen


@pytest.mark.parametrize("backend", ["pytorch", "tensorflow"])
def test_what_an_interrupted_training_kept_is_moved_aside_with_a_warning_and_can_be_resumed(
    backend: str, scan: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "checkpoints"
    aside = folder / "earlier"
    assert trained_until(scan, backend, last=3, checkpoint_folder=folder) == [1, 2, 3]
    words = (
        rf"'{folder}' holds 3 of 5 epochs of a training that was interrupted\. This one starts at epoch 1, and their "
        rf"checkpoints are moved to '{aside}'\. To go on from these, move them back and resume \(--resume\)\."
    )
    with pytest.warns(UserWarning, match=words):
        assert trained_until(scan, backend, last=2, checkpoint_folder=folder) == [1, 2]
    with pytest.warns(UserWarning, match=r"moved to '.*earlier-2'"):
        assert trained_until(scan, backend, checkpoint_folder=folder) == [1, 2, 3, 4, 5]
    for path in aside.iterdir():
        path.replace(folder / path.name)
    resumed = trained_until(scan, backend, checkpoint_folder=folder, resume=True)
    assert resumed in ([3, 4, 5], [4, 5])


@pytest.mark.parametrize("backend", ["pytorch", "tensorflow"])
def test_a_training_that_came_to_its_end_is_followed_by_another_without_a_word(
    backend: str, scan: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        assert trained_until(scan, backend, checkpoint_folder=tmp_path) == [1, 2, 3, 4, 5]
    assert not (tmp_path / "earlier").exists()


@pytest.mark.filterwarnings("default")
def test_a_model_that_will_be_replaced_is_named_though_nothing_else_is_shown(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (
        f"Warning: '{tmp_path / 'wts.h5.zip'}' of an earlier training will be replaced when this one ends. Choose "
        "another output folder to keep both.\n"
    )
    assert train(scan, tmp_path, 1) == 0
    assert capsys.readouterr().err == ""
    assert train(scan, tmp_path, 1) == 0
    assert capsys.readouterr().err == words
    assert train(scan, tmp_path, 2, "--resume") == 0
    assert capsys.readouterr().err == ""
    shutil.rmtree(tmp_path / "checkpoints")
    assert train(scan, tmp_path, 2, "--resume") == 0
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("train_it", ["train_scans", "PtychoModel"])
def test_resuming_without_a_folder_is_refused(train_it: str, scan: Path) -> None:
    words = r"resume = True goes on from a checkpoint, and no folder .* Give checkpoint_folder"
    model = PtychoModel(N=32, backend="pytorch")
    resumed = model.train if train_it == "PtychoModel" else partial(trained_until, backend="pytorch")
    with pytest.raises(ConfigError, match=words):
        resumed(scan, resume=True)


def test_the_flags_of_the_original_resume_too(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--train_data_file", str(scan), "--output_dir", str(tmp_path), "--backend", "pytorch", "--quiet"]
    small = ["--n_filters_scale", "1", "--torch-accelerator", "cpu"]
    assert main(["ptycho-train", *flags, *small, "--nepochs", "1"]) == 0
    assert main(["ptycho-train", *flags, *small, "--nepochs", "2", "--resume"]) == 0
    assert capsys.readouterr().err == ""
    assert len(read_archive(tmp_path).history["loss"]) == 2
