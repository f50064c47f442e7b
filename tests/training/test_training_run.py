"""What every run has in common, without a framework."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.config import TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.errors import ConfigError, TrainingError
from ptychopinn_backend.seam.interface import BackendSetup
from ptychopinn_backend.seam.training_run import (
    BestEpoch,
    history_row,
    loss_keys,
    monitored_key,
    remove_earlier_run,
    require_finite,
    require_same_run,
    run_fingerprint,
)
from tests.contract.array_source import simulated_source
from tests.contract.builders import split_options

KEYS = ("nll", "loss", "val_nll", "val_loss")


def best(training: TrainingConfig | None = None, **options: Any) -> BestEpoch:
    return BestEpoch(training or TrainingConfig(), ExecutionConfig(**options), KEYS)


def watched(decision: BestEpoch, losses: list[float]) -> list[int]:
    """Return the epochs that were the best when they ended."""
    found = enumerate(losses, start=1)
    return [epoch for epoch, loss in found if decision.observe(epoch, dict.fromkeys(KEYS, loss))]


def test_the_metric_falls_back_to_its_training_counterpart() -> None:
    assert monitored_key("val_loss", ("nll", "loss")) == "loss"
    assert monitored_key("val_loss", KEYS) == "val_loss"
    with pytest.raises(ConfigError, match=r"'val_los' is not a loss of this run. Did you mean 'val_loss'.*Use one of"):
        monitored_key("val_los", KEYS)


def test_losses_are_named_after_their_terms() -> None:
    assert loss_keys(TrainingConfig(mae_weight=0.5), validated=False) == ("nll", "mae", "loss")
    assert loss_keys(TrainingConfig(stage_1_epochs=1), validated=True) == (
        *("nll", "normalised", "loss"),
        *("val_nll", "val_normalised", "val_loss"),
    )


def test_the_smallest_or_the_largest_is_best() -> None:
    assert watched(best(), [3, 2, 2, 4, 1]) == [1, 2, 5]
    assert watched(best(checkpoint_mode="max"), [3, 2, 2, 4, 1]) == [1, 4]


def test_patience_ends_when_nothing_improves() -> None:
    decision = best(early_stop_patience=2)
    watched(decision, [3, 4])
    assert not decision.is_exhausted
    decision.observe(3, dict.fromkeys(KEYS, 4.0))
    assert decision.is_exhausted


def test_a_stage_with_another_loss_starts_anew_and_patience_waits_for_the_last() -> None:
    staged = TrainingConfig(stage_1_epochs=3, stage_2_epochs=1, stage_3_epochs=3)
    decision = best(staged, early_stop_patience=1)
    assert watched(decision, [1, 2, 3, 40, 50]) == [1, 4, 5]
    assert not decision.is_exhausted
    decision.observe(6, dict.fromkeys(KEYS, 60.0))
    assert decision.is_exhausted
    assert decision.epoch == 5


def test_a_restored_decision_is_the_same() -> None:
    one, other = best(), best()
    watched(one, [3, 1, 2])
    other.restore(one.state)
    assert other.state == one.state
    assert not other.observe(4, dict.fromkeys(KEYS, 1.5))
    assert other.epoch == 2


def test_the_history_tells_the_physics_weight_of_stages() -> None:
    row = history_row(TrainingConfig(stage_1_epochs=1, stage_3_epochs=1), 1, {"loss": 2.0}, 0.1, 0.0)
    assert row == {"loss": 2.0, "learning_rate": 0.1, "intensity_scale": 1.0, "physics_weight": 0.0}
    assert "physics_weight" not in history_row(TrainingConfig(), 1, {"loss": 2.0}, 0.1, 0.0)
    assert history_row(TrainingConfig(), 1, {}, 0.1, 1e3)["intensity_scale"] == np.inf


def test_a_loss_that_is_not_finite_is_refused() -> None:
    require_finite({"loss": 1.0}, 3, 1e-3)
    with pytest.raises(TrainingError, match=r"nll = nan in epoch 3.*Lower learning_rate \(now 0.001\)"):
        require_finite({"loss": 1.0, "nll": float("nan")}, 3, 1e-3)


def fingerprint(**options: Any) -> dict[str, Any]:
    model, training, execution = split_options(options)
    source = simulated_source(model, n_groups=3)
    return run_fingerprint(BackendSetup(model, training, execution, 10.0, source.probes), source, None)


def test_a_run_may_be_made_longer_where_nothing_depends_on_its_length() -> None:
    assert fingerprint(nepochs=2) == fingerprint(nepochs=5)
    stages = {"stage_1_epochs": 1, "stage_3_epochs": 1}
    assert fingerprint(**stages) == fingerprint(**{**stages, "stage_3_epochs": 4})
    for options in ({"scheduler": "WarmupCosine"}, {"epochs_fine_tune": 1}):
        assert fingerprint(nepochs=2, **options) != fingerprint(nepochs=5, **options)
    assert fingerprint(**stages) != fingerprint(**{**stages, "stage_1_epochs": 2})


def test_every_option_that_changes_the_weights_belongs_to_the_fingerprint() -> None:
    free = {
        "model",
        "output_dir",
        "train_data_file",
        "test_data_file",
        "backend",
        "n_images",
        "nepochs",
        "stage_3_epochs",
    }
    names = {item.name for item in dataclasses.fields(TrainingConfig)}
    assert names - free <= fingerprint().keys()


def test_all_that_differs_is_named() -> None:
    path = Path("last")
    require_same_run(path, {"seed": 1}, {"seed": 1})
    with pytest.raises(TrainingError, match=r"'last' belongs to another run: N is 64 there and 32 here; seed is 1 th"):
        require_same_run(path, {"seed": 1, "N": 64}, {"seed": 2, "N": 32})


def test_only_the_checkpoints_of_an_earlier_run_are_removed(tmp_path: Path) -> None:
    for name in ("last.npz", "best-epoch0003.npz", "history.csv"):
        (tmp_path / name).touch()
    remove_earlier_run(tmp_path, ("last.npz", "best*.npz"))
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]
    remove_earlier_run(tmp_path / "absent", ("last.npz",))
