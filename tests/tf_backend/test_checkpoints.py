"""What lies in the checkpoint folder, and what a run takes up from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.arrays import IntArray
from ptychopinn_backend.errors import TrainingError
from ptychopinn_backend.groups import GroupBatch
from tests.contract.array_source import ArraySource
from tests.contract.builders import backend_for, source_for
from tests.tf_backend.runs import fitted


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_last_and_best_are_plain_arrays_under_canonical_names(tmp_path: Path) -> None:
    backend, result = fitted(tmp_path, probe_trainable=True)
    assert files(tmp_path) == [f"best-epoch{result.best_epoch:04d}.npz", "history.csv", "last.npz"]
    with np.load(tmp_path / "last.npz", allow_pickle=False) as archive:
        assert all(archive[name].dtype.kind in "fciu" for name in archive.files)
    weights = backend.dump_weights()
    with np.load(tmp_path / f"best-epoch{result.best_epoch:04d}.npz", allow_pickle=False) as archive:
        assert set(archive.files) == {"record", *(f"weights/{name}" for name in weights)}
        for name, array in weights.items():
            np.testing.assert_array_equal(archive[f"weights/{name}"], array)


def test_as_many_of_the_best_epochs_are_kept_as_asked_for(tmp_path: Path) -> None:
    # Looking for the largest loss while the loss falls, the first epochs stay the best.
    options: dict[str, Any] = {"checkpoint_monitor_metric": "loss", "checkpoint_mode": "max", "nepochs": 4}
    _, result = fitted(tmp_path, checkpoint_save_top_k=2, **options)
    ranked = np.argsort(result.history["loss"])[::-1][:2] + 1
    assert {name for name in files(tmp_path) if name.startswith("best")} == {f"best-epoch{n:04d}.npz" for n in ranked}


def test_without_best_files_the_model_still_ends_with_the_best_weights(tmp_path: Path) -> None:
    options: dict[str, Any] = {"checkpoint_monitor_metric": "loss", "checkpoint_mode": "max"}
    backend, result = fitted(tmp_path, checkpoint_save_top_k=0, nepochs=3, **options)
    assert files(tmp_path) == ["history.csv", "last.npz"]
    assert result.best_epoch == 1
    resumed, _ = fitted(tmp_path, checkpoint_save_top_k=0, nepochs=3, resume=True, **options)
    for name, array in backend.dump_weights().items():
        np.testing.assert_array_equal(resumed.dump_weights()[name], array)


def test_checkpoints_can_be_switched_off(tmp_path: Path) -> None:
    fitted(tmp_path, enable_checkpointing=False)
    assert files(tmp_path) == ["history.csv"]


def test_a_finished_run_goes_on_when_more_epochs_are_asked_for(tmp_path: Path) -> None:
    fitted(tmp_path / "resumed", nepochs=1)
    _, longer = fitted(tmp_path / "resumed", nepochs=3, resume=True)
    _, straight = fitted(tmp_path / "straight", nepochs=3)
    assert longer.history == straight.history


def test_not_when_the_schedule_depends_on_their_number(tmp_path: Path) -> None:
    fitted(tmp_path, nepochs=1, scheduler="WarmupCosine")
    with pytest.raises(TrainingError, match=r"another run: nepochs is 1 there and 2 here"):
        fitted(tmp_path, nepochs=2, scheduler="WarmupCosine", resume=True)


def test_all_that_differs_is_named(tmp_path: Path) -> None:
    fitted(tmp_path, nepochs=1)
    with pytest.raises(TrainingError, match=r"batch_size is 4 there and 2 here; gradient_clip_val is None .* seed is"):
        fitted(tmp_path, nepochs=1, batch_size=2, seed=1, gradient_clip_val=1.0, resume=True)


def test_an_early_stopped_run_does_not_go_on(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "checkpoint_monitor_metric": "loss",
        "checkpoint_mode": "max",
        "early_stop_patience": 1,
        "nepochs": 5,
    }
    _, stopped = fitted(tmp_path, **options)
    _, resumed = fitted(tmp_path, resume=True, **options)
    assert stopped.stop_reason == resumed.stop_reason == "early stopping"
    assert resumed.history == stopped.history


class BreakingSource(ArraySource):
    """Fails in the middle of the second epoch, as a killed process does."""

    batches_left = 4  # one to recognise the data by, two of the first epoch, one of the second

    def batch(self, indices: IntArray) -> GroupBatch:
        if self.batches_left == 0:
            raise KeyboardInterrupt
        self.batches_left -= 1
        return super().batch(indices)


def test_a_run_killed_within_an_epoch_resumes_from_the_end_of_the_one_before(tmp_path: Path) -> None:
    options: dict[str, Any] = {"gridsize": 2, "nepochs": 3}
    source = source_for(options, n_groups=8)
    with pytest.raises(KeyboardInterrupt):
        backend_for("tensorflow", source, **options).fit(BreakingSource(**vars(source)), checkpoint_folder=tmp_path)
    resumed, result = fitted(tmp_path, resume=True, **options)
    straight, expected = fitted(**options)
    assert result.history == expected.history
    for name, array in straight.dump_weights().items():
        np.testing.assert_array_equal(resumed.dump_weights()[name], array)


def test_an_interrupted_model_holds_the_best_weights_so_far() -> None:
    source = source_for({}, n_groups=8)
    backend = backend_for("tensorflow", source, nepochs=3)
    with pytest.raises(KeyboardInterrupt):
        backend.fit(BreakingSource(**vars(source)))
    after_one_epoch, _ = fitted(nepochs=1)
    for name, array in after_one_epoch.dump_weights().items():
        np.testing.assert_array_equal(backend.dump_weights()[name], array)
