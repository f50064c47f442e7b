"""Training time on this machine, and a plan that fits into a given time."""

from __future__ import annotations

import logging
from dataclasses import replace
from time import perf_counter
from typing import Final

import numpy as np

from ptychopinn_backend.config import TrainingConfig
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.groups import SelectedGroups
from ptychopinn_backend.runs.plan import Decision, RunPlan
from ptychopinn_backend.runs.planning import PreparedRun
from ptychopinn_backend.runs.train import untrained_backend
from ptychopinn_backend.seam.interface import EpochReport
from ptychopinn_backend.seam.process_rank import is_distributed

logger = logging.getLogger(__name__)

_STEPS: Final = 4
"""Number of steps in a timed epoch. The first epoch compiles, and only the second one counts."""
_RESERVE: Final = 0.1
"""Part of the time that is reserved for judging, for writing, and for a machine that slows down."""


def within_minutes(run: PreparedRun, started_s: float) -> PreparedRun:
    """Return a run whose training fits into the minutes that the user asked for.

    The function takes and times some steps of the run with other weights. A run that fits stays as it is. Otherwise it
    gets fewer epochs. If not even one epoch fits, the epoch gets fewer groups.

    Args:
        run: the planned run; it is returned unchanged if `plan.inputs.minutes` is None.
        started_s: time at which the command began, by `time.perf_counter`, seconds.

    Returns:
        The run with its plan. The plan can be repeated without another measurement.

    Raises:
        ConfigError: several processes train, no time is left, or stages that belong together do not fit.
    """
    minutes = run.plan.inputs.minutes
    if minutes is None:
        return run
    if is_distributed(run.plan.execution):
        raise ConfigError(
            f"minutes = {minutes:g} is for a training in one process. Set nepochs instead, or train on one device."
        )
    group_s = seconds_per_group(run)
    left_s = (1 - _RESERVE) * (60 * minutes - (perf_counter() - started_s))
    if not left_s > group_s:
        raise ConfigError(
            f"minutes = {minutes:g} is over before the first step: reading the scan and measuring the pace took "
            f"{perf_counter() - started_s:.0f} s, and a group takes {group_s:.2g} s here. Give more minutes."
        )
    training = fitted_to_visits(run.plan.training, run.training.n_groups, int(left_s / group_s))
    epoch = training.groups_per_epoch or run.training.n_groups
    logger.info("A group takes %.3g s here: %d epochs of %d groups.", group_s, training.total_epochs, epoch)
    plan = _with(run.plan, training, f"{minutes:g} minutes, {group_s:.2g} s per group here")
    if plan.training != run.plan.training:
        logger.info("Plan of this run, within %g minutes:\n%s", minutes, plan.table())
    return run._replace(plan=plan)


def seconds_per_group(run: PreparedRun) -> float:
    """Return the training time per group, on the device and with the options of a run.

    Args:
        run: a run with its data and plan.

    Returns:
        Seconds per group, without the work that is needed only once.
    """
    training = run.plan.training
    count = min(run.training.n_groups, _STEPS * training.batch_size)
    config = replace(
        training, nepochs=2, groups_per_epoch=None, lr_warmup_epochs=0, target_photon_fraction=0.0, epochs_fine_tune=0
    )
    if training.is_staged:
        config = replace(config, nepochs=2, stage_1_epochs=2, stage_2_epochs=0, stage_3_epochs=0)
    ended: list[float] = []

    def on_epoch(_: EpochReport) -> None:
        ended.append(perf_counter())

    groups = SelectedGroups(run.training, np.arange(count))
    untrained_backend(groups, config, run.plan.execution).fit(groups, on_epoch=on_epoch)
    return (ended[-1] - ended[0]) / count


def fitted_to_visits(training: TrainingConfig, n_groups: int, most_visits: int) -> TrainingConfig:
    """Return a training that visits at most a given number of groups.

    Args:
        training: the planned training.
        n_groups: number of groups to train on.
        most_visits: largest number of groups to visit in all epochs together, at least 1.

    Returns:
        The training, with fewer epochs if necessary. If not even one epoch fits, the epoch has fewer groups.

    Raises:
        ConfigError: the training does not fit, and it has stages or fine-tuning, whose epochs belong together.
    """
    epoch = training.groups_per_epoch or n_groups
    if training.total_epochs * epoch <= most_visits:
        return training
    if training.is_staged or training.epochs_fine_tune:
        raise ConfigError(
            f"minutes allow {most_visits} groups, and the stages of this training visit "
            f"{training.total_epochs * epoch}. Give more minutes, or fewer epochs of stages and fine-tuning."
        )
    nepochs = max(1, most_visits // epoch)
    warmup = min(round(training.lr_warmup_epochs * nepochs / training.nepochs), nepochs - 1)
    shorter = max(1, min(epoch, most_visits))
    return replace(
        training,
        nepochs=nepochs,
        lr_warmup_epochs=warmup,
        groups_per_epoch=training.groups_per_epoch if shorter == epoch else shorter,
    )


def _with(plan: RunPlan, training: TrainingConfig, why: str) -> RunPlan:
    changed = {
        name
        for name in ("nepochs", "lr_warmup_epochs", "groups_per_epoch")
        if getattr(training, name) != getattr(plan.training, name)
    }
    decisions = tuple(
        Decision(item.name, getattr(training, item.name), "minutes", why) if item.name in changed else item
        for item in plan.decisions
        if item.name != "minutes"
    )
    return replace(plan, training=training, decisions=decisions, inputs=replace(plan.inputs, minutes=None))
