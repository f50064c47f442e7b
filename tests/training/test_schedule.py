"""Stages, physics weight, learning rate and the groups of a step, epoch by epoch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.config import SCHEDULERS, TrainingConfig
from ptychopinn_backend.seam.schedule import (
    LearningRateSchedule,
    epoch_order,
    groups_of_step,
    is_fine_tuning,
    last_phase_start,
    loss_changes,
    physics_weight,
    rate_for_processes,
    stage,
)

RATE = 0.01
STAGES: dict[str, Any] = {"stage_1_epochs": 2, "stage_2_epochs": 3, "stage_3_epochs": 2}


def rates(**options: Any) -> list[float]:
    training = TrainingConfig(**options)
    schedule = LearningRateSchedule(training, RATE)
    return [schedule.rate(epoch) for epoch in range(1, training.total_epochs + 1)]


def weights(**options: Any) -> list[float]:
    training = TrainingConfig(**options)
    return [physics_weight(training, epoch) for epoch in range(1, training.total_epochs + 1)]


def test_stages_follow_one_another() -> None:
    training = TrainingConfig(**STAGES, epochs_fine_tune=1)
    assert [stage(training, epoch) for epoch in range(1, 9)] == [1, 1, 2, 2, 2, 3, 3, 3]
    assert [is_fine_tuning(training, epoch) for epoch in range(1, 9)] == [False] * 7 + [True]
    assert {stage(TrainingConfig(nepochs=3), epoch) for epoch in (1, 2, 3)} == {3}


@pytest.mark.parametrize(
    ("ramp", "between"),
    [
        ("linear", [0.25, 0.5, 0.75]),
        ("cosine", [(1 - math.sqrt(0.5)) / 2, 0.5, (1 + math.sqrt(0.5)) / 2]),
        ("exponential", [(math.exp(3 * t) - 1) / (math.exp(3) - 1) for t in (0.25, 0.5, 0.75)]),
    ],
)
def test_the_physics_weight_rises_from_nothing_to_all(ramp: str, between: list[float]) -> None:
    found = weights(**STAGES, physics_weight_schedule=ramp)
    assert found == pytest.approx([0, 0, *between, 1, 1])
    assert found == sorted(found)


def test_without_stages_physics_is_all() -> None:
    assert weights(nepochs=3, epochs_fine_tune=1) == [1, 1, 1, 1]


def test_fine_tuning_keeps_the_loss_the_stages_end_with() -> None:
    assert weights(stage_1_epochs=1, stage_2_epochs=1, physics_weight_schedule="linear", epochs_fine_tune=2) == (
        [0, 0.5, 0.5, 0.5]
    )


def test_the_loss_changes_where_its_weight_does() -> None:
    training = TrainingConfig(**STAGES, epochs_fine_tune=1)
    assert [epoch for epoch in range(1, 9) if loss_changes(training, epoch)] == [3, 4, 5, 6]
    assert last_phase_start(training) == 8
    assert last_phase_start(TrainingConfig(**STAGES)) == 6
    assert last_phase_start(TrainingConfig(nepochs=4)) == 1
    assert last_phase_start(TrainingConfig(nepochs=4, epochs_fine_tune=1)) == 5


def test_default_keeps_the_rate_and_exponential_lowers_it() -> None:
    assert rates(nepochs=3) == [RATE] * 3
    assert rates(nepochs=3, scheduler="Exponential") == pytest.approx([RATE, 0.95 * RATE, 0.9025 * RATE])


def test_warm_up_rises_and_a_half_cosine_falls_to_its_floor() -> None:
    found = rates(nepochs=7, scheduler="WarmupCosine", lr_warmup_epochs=2, lr_min_ratio=0.2)
    assert found == pytest.approx([RATE * part for part in (1 / 3, 2 / 3, 1, 0.882843, 0.6, 0.317157, 0.2)], rel=1e-5)


def test_multi_stage_lowers_the_rate_in_the_last_stage() -> None:
    assert rates(**STAGES, scheduler="MultiStage", stage_3_lr_factor=0.2) == pytest.approx(
        [RATE] * 5 + [0.2 * RATE] * 2
    )


def test_adaptive_follows_the_physics_weight() -> None:
    options = {**STAGES, "physics_weight_schedule": "linear"}
    expected = [RATE * (1 - 0.8 * weight) for weight in weights(**options)]
    assert rates(**options, scheduler="Adaptive", stage_3_lr_factor=0.2) == pytest.approx(expected)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_fine_tuning_scales_the_last_rate(scheduler: str) -> None:
    found = rates(**STAGES, scheduler=scheduler, epochs_fine_tune=2, fine_tune_gamma=0.3)
    assert found[7:] == pytest.approx([0.3 * found[6]] * 2)


def observed(schedule: LearningRateSchedule, losses: list[float]) -> list[float]:
    found = []
    for epoch, loss in enumerate(losses, start=1):
        found.append(schedule.rate(epoch))
        schedule.observe(epoch, loss)
    return found


def test_a_plateau_lowers_the_rate_down_to_its_limit() -> None:
    training = TrainingConfig(
        nepochs=9, scheduler="ReduceLROnPlateau", plateau_patience=1, plateau_factor=0.5, plateau_min_lr=0.004
    )
    found = observed(LearningRateSchedule(training, RATE), [5, 4, 4, 4, 3, 3, 3, 3, 3])
    assert found == pytest.approx([RATE] * 4 + [0.005] * 3 + [0.004] * 2)


def test_a_plateau_is_one_of_the_same_loss_and_not_looked_for_in_fine_tuning() -> None:
    training = TrainingConfig(
        stage_1_epochs=2, stage_3_epochs=3, scheduler="ReduceLROnPlateau", plateau_patience=0, epochs_fine_tune=2
    )
    # The loss of stage 3 is larger than that of stage 1; that alone is no plateau.
    found = observed(LearningRateSchedule(training, RATE), [2, 1, 30, 20, 20, 99, 99])
    assert found == pytest.approx([RATE] * 5 + [0.0005] * 2)


def test_a_restored_schedule_goes_on_where_it_was() -> None:
    training = TrainingConfig(nepochs=6, scheduler="ReduceLROnPlateau", plateau_patience=1)
    one, other = (LearningRateSchedule(training, RATE) for _ in range(2))
    losses = [3.0, 3.0, 3.0, 3.0, 2.0, 2.0]
    whole = observed(one, losses)
    observed(other, losses[:3])
    resumed = LearningRateSchedule(training, RATE)
    resumed.restore(**other.state)  # type: ignore[arg-type]
    found = []
    for epoch in (4, 5, 6):
        found.append(resumed.rate(epoch))
        resumed.observe(epoch, losses[epoch - 1])
    assert found == whole[3:]


def test_the_rate_grows_with_the_root_of_the_number_of_processes() -> None:
    assert rate_for_processes(RATE, 1) == RATE
    assert rate_for_processes(RATE, 4) == pytest.approx(2 * RATE)


@pytest.mark.parametrize(("n_groups", "batch_size", "accum_steps"), [(22, 4, 2), (16, 4, 3), (5, 4, 1), (3, 4, 4)])
def test_the_batches_of_a_step_share_its_groups(n_groups: int, batch_size: int, accum_steps: int) -> None:
    sizes = [len(part) for part in np.array_split(range(n_groups), range(batch_size, n_groups, batch_size))]
    for position in range(len(sizes)):
        first = position // accum_steps * accum_steps
        found = groups_of_step(position, n_groups, batch_size, accum_steps)
        assert found == sum(sizes[first : first + accum_steps])


def test_the_order_of_an_epoch_is_a_function_of_seed_and_epoch() -> None:
    np.testing.assert_array_equal(epoch_order(9, 3, 2), epoch_order(9, 3, 2))
    assert sorted(epoch_order(9, 3, 2)) == list(range(9))
    assert epoch_order(9, 3, 2).tolist() != epoch_order(9, 3, 1).tolist()
    np.testing.assert_array_equal(epoch_order(9, 3, 2, limit=4), epoch_order(9, 3, 2)[:4])
