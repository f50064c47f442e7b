"""How long a training takes on this machine, and a plan that keeps to a time."""

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
"""Steps of an epoch that is timed; the first epoch compiles, the second one counts."""
_RESERVE: Final = 0.1
"""Part of the time that is kept for judging, writing and a machine that slows down."""


def within_minutes(run: PreparedRun, started_s: float) -> PreparedRun:
    """Return a run whose training fits into the minutes that were asked for.

    Some steps of the run are taken with other weights, and timed. A run that fits stays as it is; otherwise it gets
    fewer epochs, and epochs of fewer groups where not even one fits.

    Args:
        run: as it was planned; `plan.inputs.minutes` None returns it unchanged.
        started_s: when the command began, by `time.perf_counter`, seconds.

    Returns:
        The run with its plan, which repeats without measuring again.

    Raises:
        ConfigError: several processes train, or nothing of the time is left.
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
    """Return how long training takes for a group, on the device and with the options of a run.

    Args:
        run: its data and plan.

    Returns:
        Seconds, without what is needed once.
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
    """Return a training that visits at most so many groups.

    Args:
        training: as it was planned.
        n_groups: groups there are.
        most_visits: groups to visit, those of all epochs together, at least 1.

    Returns:
        The same with fewer epochs, and with epochs of fewer groups where not even one fits.

    Raises:
        ConfigError: it has stages or fine-tuning, whose epochs belong together, and does not fit.
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
