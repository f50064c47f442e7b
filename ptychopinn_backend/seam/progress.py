"""What training remembers between epochs, and how an epoch ends, in whichever framework."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from ptychopinn_backend.seam.interface import BackendSetup, EpochCallback, EpochReport, TrainingResult
from ptychopinn_backend.seam.schedule import LearningRateSchedule, physics_weight
from ptychopinn_backend.seam.training_run import (
    EARLY_STOPPING,
    FINISHED,
    STOPPED_ON_REQUEST,
    BestEpoch,
    history_row,
    loss_keys,
    require_finite,
    unreadable_checkpoint,
)

Weight = TypeVar("Weight")


class TrainingProgress(Generic[Weight]):
    """History, best weights, learning rate and why training ended."""

    def __init__(self, setup: BackendSetup, validated: bool) -> None:
        """Start with no epoch done.

        Args:
            setup: stages, schedule, patience and what decides which epoch is the best.
            validated: whether there are groups to validate on.
        """
        self._setup = setup
        self._started_s = time.monotonic()
        self.best = BestEpoch(setup.training, setup.execution, loss_keys(setup.training, validated))
        """Decides which epoch is the best."""
        self.schedule = LearningRateSchedule(setup.training, setup.execution.learning_rate)
        self.history: dict[str, list[float]] = {}
        self.best_weights: dict[str, Weight] = {}
        """Weights after the best epoch; empty before the first."""
        self.stop_reason = FINISHED

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history.get("loss", ()))

    @property
    def is_over(self) -> bool:
        """Whether no further epoch follows."""
        return self.epoch >= self._setup.training.total_epochs or self.stop_reason != FINISHED

    @property
    def learning_rate(self) -> float:
        """Learning rate of the epoch to come, or under way."""
        return self.schedule.rate(self.epoch + 1)

    @property
    def physics_weight(self) -> float:
        """Weight of the configured loss in the epoch to come, or under way."""
        return physics_weight(self._setup.training, self.epoch + 1)

    @property
    def result(self) -> TrainingResult:
        """What a training that ends here leaves."""
        return TrainingResult(self.history, self.best.epoch, self.stop_reason)

    def close_epoch(
        self, losses: Mapping[str, float], log_scale: float, copy_weights: Callable[[], dict[str, Weight]]
    ) -> EpochReport:
        """Take note of an epoch: history, best weights, schedule, early stopping.

        Args:
            losses: means of the epoch; those of validation with the prefix 'val_'.
            log_scale: logarithm of the intensity scale at its end.
            copy_weights: gives the weights at its end; called only where they are the best.

        Returns:
            What `on_epoch` is told.

        Raises:
            TrainingError: a mean is not finite.
        """
        config, epoch, rate = self._setup.training, self.epoch + 1, self.learning_rate
        require_finite(losses, epoch, rate)
        for name, value in history_row(config, epoch, losses, rate, log_scale).items():
            self.history.setdefault(name, []).append(value)
        if self.best.observe(epoch, losses):
            self.best_weights = copy_weights()
        self.schedule.observe(epoch, losses.get("val_loss", losses["loss"]))
        self._stop_early()
        history = {name: list(values) for name, values in self.history.items()}
        return EpochReport(epoch, config.total_epochs, losses, rate, time.monotonic() - self._started_s, history)

    def tell(self, on_epoch: EpochCallback | None, report: EpochReport) -> bool:
        """Call the callback of an epoch.

        Args:
            on_epoch: the callback, if any.
            report: what it is told.

        Returns:
            Whether it asked to stop before the last epoch.
        """
        return on_epoch is not None and bool(on_epoch(report)) and report.epoch < report.n_epochs

    def stop_on_request(self) -> None:
        """End training after the present epoch."""
        self.stop_reason = STOPPED_ON_REQUEST

    @property
    def state(self) -> dict[str, Any]:
        """What `restore` needs beside the best weights to go on exactly here; plain values only."""
        return {"history": self.history, "best": self.best.state, "schedule": self.schedule.state}

    def restore(self, path: Path, state: Any, best_weights: Any) -> None:
        """Take up a saved `state`.

        Args:
            path: where it was read.
            state: as `state` gave it.
            best_weights: the weights of the best epoch.

        Raises:
            TrainingError: it is not what `state` gives.
        """
        try:
            self.history = {name: list(values) for name, values in state["history"].items()}
            self.best.restore(state["best"])
            self.schedule.restore(**state["schedule"])
            self.best_weights = dict(best_weights)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise unreadable_checkpoint(path) from error
        self._stop_early()

    def _stop_early(self) -> None:
        if self.best.is_exhausted:
            self.stop_reason = EARLY_STOPPING
