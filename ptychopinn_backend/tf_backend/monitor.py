"""Which epochs were the best, and whether waiting for a better one still makes sense."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.errors import ConfigError, nearest_name
from ptychopinn_backend.execution import ExecutionConfig
from ptychopinn_backend.tf_backend.checkpoints import Checkpoint, best_name, with_prefix


class BestEpochs:
    """The monitored metric: keeps the best weights, the files of the best epochs, and counts epochs in vain."""

    def __init__(self, execution: ExecutionConfig, names: Sequence[str], folder: Path | None) -> None:
        """Start with no epoch seen.

        Args:
            execution: metric, its direction, patience, and how many files to keep.
            names: loss terms of this run.
            folder: where the files go; None writes none.
        """
        self._execution = execution
        self._name = monitored_name(execution.checkpoint_monitor_metric, names)
        self._folder = folder
        self._ranking: list[tuple[float, int]] = []
        self._epochs_in_vain = 0
        self.epoch: int | None = None
        """1-based epoch of the best value."""
        self.weights: dict[str, AnyArray] | None = None
        """Canonical weights of that epoch."""
        self._value: float | None = None

    @property
    def is_exhausted(self) -> bool:
        """Whether early_stop_patience epochs have passed without improvement."""
        return self._epochs_in_vain >= self._execution.early_stop_patience

    @property
    def state(self) -> dict[str, Any]:
        """What `restore` needs beside the weights."""
        return {
            "epoch": self.epoch,
            "value": self._value,
            "epochs_in_vain": self._epochs_in_vain,
            "ranking": self._ranking,
        }

    def restore(self, state: Mapping[str, Any], weights: dict[str, AnyArray]) -> None:
        """Take up a saved `state`.

        Args:
            state: as returned by `state`.
            weights: weights of the best epoch.
        """
        self.epoch, self._value = state["epoch"], state["value"]
        self._epochs_in_vain = state["epochs_in_vain"]
        self._ranking = [(value, epoch) for value, epoch in state["ranking"]]
        self.weights = weights

    def observe(self, epoch: int, losses: Mapping[str, float], weights: dict[str, AnyArray]) -> None:
        """Take note of an epoch.

        Args:
            epoch: 1-based epoch.
            losses: its loss terms.
            weights: canonical weights after it.
        """
        value = losses[self._name]
        sign = 1.0 if self._execution.checkpoint_mode == "min" else -1.0
        if self._value is None or sign * value < sign * self._value:
            self.epoch, self._value, self.weights, self._epochs_in_vain = epoch, value, weights, 0
        else:
            self._epochs_in_vain += 1
        self._keep_files(sign * value, epoch, weights)

    def _keep_files(self, rank: float, epoch: int, weights: dict[str, AnyArray]) -> None:
        if self._folder is None:
            return
        kept = sorted([*self._ranking, (rank, epoch)])[: self._execution.checkpoint_save_top_k]
        if (rank, epoch) in kept:
            path = self._folder / best_name(epoch)
            Checkpoint(with_prefix("weights", weights), {"epoch": epoch}).write(path)
        for _, dropped in set(self._ranking) - set(kept):
            (self._folder / best_name(dropped)).unlink(missing_ok=True)
        self._ranking = kept


def monitored_name(metric: str, names: Sequence[str]) -> str:
    """Return the loss term that decides which epoch is the best.

    Args:
        metric: `checkpoint_monitor_metric`.
        names: terms of this run; those of validation are missing when there is none.

    Returns:
        The metric, or without validation its training counterpart.

    Raises:
        ConfigError: no such term; names the valid ones.
    """
    for candidate in (metric, metric.removeprefix("val_")):
        if candidate in names:
            return candidate
    raise ConfigError(
        f"checkpoint_monitor_metric = '{metric}' is not a loss of this run.{nearest_name(metric, names)} "
        f"Use one of {', '.join(names)}."
    )
