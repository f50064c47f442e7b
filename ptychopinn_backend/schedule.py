"""What makes two backends train alike: the order of the groups and the learning rate of every epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from ptychopinn_backend.arrays import IntArray
from ptychopinn_backend.config import TrainingConfig
from ptychopinn_backend.errors import UnsupportedOptionError

EXPONENTIAL_GAMMA: Final = 0.95
"""Factor per epoch of the 'Exponential' schedule."""
AVAILABLE_SCHEDULES: Final = ("Default", "Exponential", "WarmupCosine", "ReduceLROnPlateau")


def epoch_order(n_groups: int, seed: int, epoch: int, limit: int | None = None) -> IntArray:
    """Return the order in which an epoch visits the groups; a function of seed and epoch alone, so resuming is exact.

    Args:
        n_groups: number of groups.
        seed: seed of the run.
        epoch: 1-based epoch.
        limit: most groups an epoch visits; None is all of them.

    Returns:
        (group,) permutation, or its beginning.
    """
    return np.random.default_rng([seed, epoch]).permutation(n_groups)[:limit]


@dataclass
class LearningRateSchedule:
    """Learning rate epoch by epoch; `state` is all that a checkpoint must keep."""

    training: TrainingConfig
    initial: float
    """Learning rate of the first epoch after any warm-up."""
    best_loss: float = math.inf
    epochs_without_improvement: int = 0
    plateau_rate: float | None = None

    def __post_init__(self) -> None:
        """Refuse a schedule that is not offered.

        Raises:
            UnsupportedOptionError: names the schedules that are.
        """
        if self.training.scheduler not in AVAILABLE_SCHEDULES:
            raise UnsupportedOptionError(
                f"scheduler = '{self.training.scheduler}' is not available. "
                f"Choose one of {', '.join(AVAILABLE_SCHEDULES)}."
            )

    def rate(self, epoch: int) -> float:
        """Return the learning rate of a 1-based epoch."""
        config = self.training
        if config.scheduler == "Exponential":
            return self.initial * EXPONENTIAL_GAMMA ** (epoch - 1)
        if config.scheduler == "WarmupCosine":
            if epoch <= config.lr_warmup_epochs:
                return self.initial * epoch / (config.lr_warmup_epochs + 1)
            span = max(1, config.nepochs - config.lr_warmup_epochs - 1)
            progress = min(1.0, (epoch - config.lr_warmup_epochs - 1) / span)
            floor = self.initial * config.lr_min_ratio
            return floor + (self.initial - floor) * (1 + math.cos(math.pi * progress)) / 2
        return self.initial if self.plateau_rate is None else self.plateau_rate

    def observe(self, loss: float) -> None:
        """Tell the schedule the loss of the epoch just ended; only ReduceLROnPlateau listens."""
        config = self.training
        if config.scheduler != "ReduceLROnPlateau":
            return
        margin = config.plateau_threshold * (abs(self.best_loss) if math.isfinite(self.best_loss) else 0.0)
        if loss < self.best_loss - margin:
            self.best_loss, self.epochs_without_improvement = loss, 0
            return
        self.epochs_without_improvement += 1
        if self.epochs_without_improvement > config.plateau_patience:
            present = self.initial if self.plateau_rate is None else self.plateau_rate
            self.plateau_rate = max(present * config.plateau_factor, min(config.plateau_min_lr, present))
            self.epochs_without_improvement = 0

    @property
    def state(self) -> dict[str, float | int | None]:
        """What `restore` needs to go on exactly here."""
        return {
            "best_loss": self.best_loss,
            "epochs_without_improvement": self.epochs_without_improvement,
            "plateau_rate": self.plateau_rate,
        }

    def restore(self, best_loss: float, epochs_without_improvement: int, plateau_rate: float | None) -> None:
        """Take up a saved `state`."""
        self.best_loss = best_loss
        self.epochs_without_improvement = epochs_without_improvement
        self.plateau_rate = plateau_rate
