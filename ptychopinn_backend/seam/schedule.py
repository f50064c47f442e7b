"""What makes two backends train alike: order of the groups, stages, physics weight and learning rate of every epoch.

Training runs through phases: up to three stages that lead from a loss without intensity scale to the physics, and
fine-tuning with a frozen encoder. All of it is a function of the epoch, so that a run can be resumed anywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from ptychopinn_backend.arrays import IntArray
from ptychopinn_backend.config import TrainingConfig

EXPONENTIAL_GAMMA: Final = 0.95
"""Factor per epoch of the schedule 'Exponential'."""
EXPONENTIAL_RAMP: Final = 3.0
"""Exponent e of the 'exponential' physics weight (exp(e t) - 1) / (exp(e) - 1): slow at first, then fast."""

ADAM_EPSILON: Final = 1e-7
"""Added to the square root of Adam's bias-corrected second moment."""
AGC_MINIMUM_NORM: Final = 1e-3
"""Smallest norm of weights that adaptive clipping compares a gradient with, so that zero weights can start to move."""
CLIPPED_NORM_EPSILON: Final = 1e-6
"""Added to the common norm of all gradients where clipping divides by it, as PyTorch does."""


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


def stage(training: TrainingConfig, epoch: int) -> int:
    """Return the stage (1, 2 or 3) of a 1-based epoch; 3, the configured loss, in a training without stages.

    Fine-tuning goes on in the stage the main epochs end with.
    """
    epoch = min(epoch, training.nepochs)
    if not training.is_staged or epoch > training.stage_1_epochs + training.stage_2_epochs:
        return 3
    return 1 if epoch <= training.stage_1_epochs else 2


def physics_weight(training: TrainingConfig, epoch: int) -> float:
    """Return the weight of the configured loss in a 1-based epoch; the rest is on the normalised amplitude error.

    0 in stage 1 and 1 in stage 3. Epoch k of the n in stage 2 has t = k / (n + 1), strictly between, so that no epoch
    repeats one of its neighbour stages; the weight is t (linear), (1 - cos(pi t)) / 2 (cosine) or
    (exp(3 t) - 1) / (exp(3) - 1) (exponential).

    Args:
        training: the configuration.
        epoch: 1-based epoch.

    Returns:
        Weight in [0, 1].
    """
    present = stage(training, epoch)
    if present != 2:
        return 1.0 if present == 3 else 0.0
    t = (min(epoch, training.nepochs) - training.stage_1_epochs) / (training.stage_2_epochs + 1)
    if training.physics_weight_schedule == "cosine":
        return (1 - math.cos(math.pi * t)) / 2
    if training.physics_weight_schedule == "exponential":
        return math.expm1(EXPONENTIAL_RAMP * t) / math.expm1(EXPONENTIAL_RAMP)
    return t


def loss_changes(training: TrainingConfig, epoch: int) -> bool:
    """Return whether the loss of an epoch is another function than that of the epoch before."""
    return epoch > 1 and physics_weight(training, epoch) != physics_weight(training, epoch - 1)


def is_fine_tuning(training: TrainingConfig, epoch: int) -> bool:
    """Return whether the encoder is frozen in a 1-based epoch."""
    return epoch > training.nepochs


def last_phase_start(training: TrainingConfig) -> int:
    """Return the first epoch of the last phase; before it early stopping waits, so that every phase is reached."""
    if training.epochs_fine_tune > 0:
        return training.nepochs + 1
    changes = [epoch for epoch in range(2, training.nepochs + 1) if loss_changes(training, epoch)]
    return changes[-1] if changes else 1


def rate_for_processes(learning_rate: float, n_processes: int) -> float:
    """Return the learning rate for processes whose batches add up to one: it grows with the root of their number."""
    return learning_rate * math.sqrt(n_processes)


def groups_of_step(position: int, n_groups: int, batch_size: int, accum_steps: int) -> int:
    """Return the groups of the optimiser step a batch takes part in.

    The gradient of a step is the sum over its batches of their mean gradient times their share of its groups, so that
    accumulated steps equal those of larger batches, the last ones of an epoch included.

    Args:
        position: 0-based place of the batch in the epoch.
        n_groups: groups the epoch visits.
        batch_size: groups per batch, of all processes together; the last one may be smaller.
        accum_steps: batches per step; the last step of an epoch may have fewer.

    Returns:
        Groups of all batches of the step.
    """
    first = position - position % accum_steps
    return min(n_groups, (first + accum_steps) * batch_size) - min(n_groups, first * batch_size)


@dataclass
class LearningRateSchedule:
    """Learning rate epoch by epoch; `state` is all that a checkpoint must keep."""

    training: TrainingConfig
    initial: float
    """Learning rate of the first epoch after any warm-up."""
    best_loss: float = math.inf
    epochs_without_improvement: int = 0
    plateau_rate: float | None = None

    def rate(self, epoch: int) -> float:
        """Return the learning rate of a 1-based epoch; fine-tuning scales the rate the main epochs end with."""
        if is_fine_tuning(self.training, epoch):
            return self.training.fine_tune_gamma * self._main_rate(self.training.nepochs)
        return self._main_rate(epoch)

    def _main_rate(self, epoch: int) -> float:
        config = self.training
        if config.scheduler == "Exponential":
            return self.initial * EXPONENTIAL_GAMMA ** (epoch - 1)
        if config.scheduler == "WarmupCosine":
            return self._warmup_cosine(epoch)
        if config.scheduler == "MultiStage":
            return self.initial * (config.stage_3_lr_factor if stage(config, epoch) == 3 else 1.0)
        if config.scheduler == "Adaptive":
            return self.initial * (1 - (1 - config.stage_3_lr_factor) * physics_weight(config, epoch))
        return self.initial if self.plateau_rate is None else self.plateau_rate

    def _warmup_cosine(self, epoch: int) -> float:
        config = self.training
        if epoch <= config.lr_warmup_epochs:
            return self.initial * epoch / (config.lr_warmup_epochs + 1)
        span = max(1, config.nepochs - config.lr_warmup_epochs - 1)
        progress = min(1.0, (epoch - config.lr_warmup_epochs - 1) / span)
        floor = self.initial * config.lr_min_ratio
        return floor + (self.initial - floor) * (1 + math.cos(math.pi * progress)) / 2

    def observe(self, epoch: int, loss: float) -> None:
        """Tell the schedule the loss of the epoch just ended; only ReduceLROnPlateau listens, and not in fine-tuning.

        Args:
            epoch: 1-based epoch.
            loss: its validation loss, or its training loss without validation.
        """
        config = self.training
        if config.scheduler != "ReduceLROnPlateau" or is_fine_tuning(config, epoch):
            return
        if loss_changes(config, epoch):
            self.best_loss, self.epochs_without_improvement = math.inf, 0
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
