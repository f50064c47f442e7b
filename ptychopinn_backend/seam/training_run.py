"""What a training run is, in whichever framework: its fingerprint, its best epoch, its report."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.config import TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.errors import ConfigError, TrainingError, nearest_name
from ptychopinn_backend.groups import GroupSource
from ptychopinn_backend.physics.losses import loss_weights
from ptychopinn_backend.seam.interface import BackendSetup
from ptychopinn_backend.seam.schedule import last_phase_start, loss_changes, physics_weight

FINISHED: Final = "finished"
EARLY_STOPPING: Final = "early stopping"
STOPPED_ON_REQUEST: Final = "stopped on request"


_FREE_FIELDS: Final = ("model", "output_dir", "train_data_file", "test_data_file", "backend", "n_images")
_LENGTH_FIELDS: Final = ("nepochs", "stage_3_epochs")
_RUN_DEFINING_OPTIONS: Final = (
    "seed",
    "learning_rate",
    "precision",
    "accum_steps",
    "checkpoint_monitor_metric",
    "checkpoint_mode",
)


def monitored_key(metric: str, history_keys: Sequence[str]) -> str:
    """Return the history key that decides which epoch is the best.

    Args:
        metric: `checkpoint_monitor_metric`.
        history_keys: losses of this run; those of validation are missing when there is none.

    Returns:
        The metric, or without validation its training counterpart.

    Raises:
        ConfigError: no such key; names the valid ones.
    """
    for candidate in (metric, metric.removeprefix("val_")):
        if candidate in history_keys:
            return candidate
    raise ConfigError(
        f"checkpoint_monitor_metric = '{metric}' is not a loss of this run.{nearest_name(metric, history_keys)} "
        f"Use one of {', '.join(history_keys)}."
    )


def loss_keys(training: TrainingConfig, validated: bool) -> tuple[str, ...]:
    """Return the history keys of the losses of a run.

    Args:
        training: the configuration.
        validated: whether there are groups to validate on.

    Returns:
        Names of the terms and 'loss', and with validation the same with the prefix 'val_'.
    """
    names = loss_weights(training).names
    return (*names, *(f"val_{name}" for name in names)) if validated else names


class BestEpoch:
    """Which epoch is the best so far, and whether waiting for a better one still makes sense.

    Losses are compared only while the loss is the same function: where a stage changes it, the best starts anew.
    """

    def __init__(self, training: TrainingConfig, execution: ExecutionConfig, history_keys: Sequence[str]) -> None:
        """Start with no epoch seen.

        Args:
            training: gives the stages.
            execution: metric, its direction, and patience.
            history_keys: losses of this run; see `loss_keys`.
        """
        self._training = training
        self._patience = execution.early_stop_patience
        self._sign = 1.0 if execution.checkpoint_mode == "min" else -1.0
        self.monitor = monitored_key(execution.checkpoint_monitor_metric, history_keys)
        """History key that decides."""
        self.epoch: int | None = None
        """1-based epoch of the best value."""
        self._value = math.nan
        self._last = 0

    def observe(self, epoch: int, losses: Mapping[str, float]) -> bool:
        """Take note of an epoch.

        Args:
            epoch: 1-based epoch.
            losses: its losses.

        Returns:
            Whether it is the best so far.
        """
        value = losses[self.monitor]
        self._last = epoch
        starts_anew = self.epoch is None or loss_changes(self._training, epoch)
        if not starts_anew and not self._sign * value < self._sign * self._value:
            return False
        self.epoch, self._value = epoch, value
        return True

    def rank(self, value: float) -> float:
        """Return a number that is smaller for a better value of the monitored loss."""
        return self._sign * value

    @property
    def is_exhausted(self) -> bool:
        """Whether early_stop_patience epochs of the last phase have passed without improvement."""
        if self.epoch is None:
            return False
        since = max(self.epoch, last_phase_start(self._training) - 1)
        return self._last - since >= self._patience

    @property
    def state(self) -> dict[str, float | int | None]:
        """What `restore` needs."""
        return {"epoch": self.epoch, "value": self._value, "last": self._last}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a saved `state`."""
        self.epoch, self._value, self._last = state["epoch"], state["value"], state["last"]


def history_row(
    training: TrainingConfig, epoch: int, losses: Mapping[str, float], learning_rate: float, log_scale: float
) -> dict[str, float]:
    """Return what the history keeps of an epoch.

    Args:
        training: the configuration.
        epoch: 1-based epoch.
        losses: its losses.
        learning_rate: of the epoch.
        log_scale: logarithm of the intensity scale at its end.

    Returns:
        History key -> value.
    """
    with np.errstate(over="ignore"):
        # A training that diverges is stopped for its loss, one epoch later.
        row = {**losses, "learning_rate": learning_rate, "intensity_scale": float(np.exp(np.float32(log_scale)))}
    if training.is_staged:
        row["physics_weight"] = physics_weight(training, epoch)
    return row


def require_finite(losses: Mapping[str, float], epoch: int, learning_rate: float) -> None:
    """Refuse to go on with a loss that is not a number.

    Args:
        losses: means of the epoch.
        epoch: 1-based epoch.
        learning_rate: of the epoch.

    Raises:
        TrainingError: names the term, the epoch and the remedies.
    """
    for name, value in losses.items():
        if not math.isfinite(value):
            raise TrainingError(
                f"{name} = {value} in epoch {epoch}: the loss must be finite. The best checkpoint of earlier epochs is "
                f"kept. Lower learning_rate (now {learning_rate:g}), set gradient_clip_val (for example 1.0), or check "
                "the patterns and the probe."
            )


def run_fingerprint(setup: BackendSetup, training: GroupSource, validation: GroupSource | None) -> dict[str, Any]:
    """Return what must agree for a run to be resumed; its length only where earlier epochs depend on it.

    Args:
        setup: the configuration.
        training: groups to train on.
        validation: groups to validate on, or None.

    Returns:
        Name -> value that JSON keeps exactly.
    """
    config = setup.training
    values: dict[str, Any] = {f"model.{name}": value for name, value in asdict(setup.model).items()}
    values |= {name: value for name, value in asdict(config).items() if name not in _FREE_FIELDS}
    values |= {name: getattr(setup.execution, name) for name in _RUN_DEFINING_OPTIONS}
    values["intensity_scale"] = float(setup.intensity_scale)
    values["number of training groups"] = training.n_groups
    values["number of validation groups"] = 0 if validation is None else validation.n_groups
    values["probes"] = _digest(training.probes)
    values["first training group"] = _digest(training.batch(np.arange(1)).X)
    if config.scheduler != "WarmupCosine" and config.epochs_fine_tune == 0:
        for name in _LENGTH_FIELDS:
            del values[name]
    return cast(dict[str, Any], json.loads(json.dumps(values)))


def _digest(array: AnyArray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def require_same_run(path: Path, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Raise unless a checkpoint belongs to this configuration.

    Args:
        path: the checkpoint.
        found: fingerprint in the checkpoint.
        expected: fingerprint of this run.

    Raises:
        TrainingError: names all that differs.
    """
    names = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
    if names:
        differing = "; ".join(f"{name} is {found.get(name)} there and {expected.get(name)} here" for name in names)
        raise TrainingError(
            f"The checkpoint '{path}' belongs to another run: {differing}. "
            "Use the same configuration and data, or train without resuming."
        )


def unreadable_checkpoint(path: Path) -> TrainingError:
    """Return the error of a file that is no checkpoint of this package, whatever the framework said."""
    return TrainingError(
        f"'{path}' is no checkpoint of this package: it is damaged, of another version, or holds more than numbers and "
        "text. Delete it, or train without resuming."
    )


def remove_earlier_run(folder: Path, patterns: Sequence[str]) -> None:
    """Delete the checkpoints of an earlier run, so that a new one can neither be taken for it nor resumed from it.

    Args:
        folder: of the run; may not exist.
        patterns: file names of checkpoints, with wildcards.
    """
    for pattern in patterns:
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)
