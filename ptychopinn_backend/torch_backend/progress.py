"""What training remembers between epochs: history, the best weights, and why it ended."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ptychopinn_backend.errors import ConfigError, nearest_name

EARLY_STOPPING = "early stopping"
STOPPED_ON_REQUEST = "stopped on request"


@dataclass
class TrainingProgress:
    """Everything a resumed run needs beside weights and optimiser; plain values and tensors only."""

    monitor: str
    """History key that decides which epoch is the best."""
    mode: str
    """'min' or 'max'."""
    history: dict[str, list[float]] = field(default_factory=dict)
    best_epoch: int | None = None
    best_value: float = math.nan
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    """State of the model after the best epoch."""
    stop_reason: str = "finished"

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history.get("loss", ()))

    @property
    def epochs_since_best(self) -> int:
        """Epochs without improvement."""
        return self.epoch - (self.best_epoch or 0)

    def record(self, row: Mapping[str, float], weights: Mapping[str, Tensor]) -> None:
        """Append an epoch and keep its weights when it is the best so far.

        Args:
            row: value of every history key.
            weights: state of the model after the epoch; copied when kept.
        """
        for name, value in row.items():
            self.history.setdefault(name, []).append(value)
        value = row[self.monitor]
        better = value < self.best_value if self.mode == "min" else value > self.best_value
        if self.best_epoch is None or better:
            self.best_epoch, self.best_value = self.epoch, value
            self.best_weights = {name: tensor.detach().clone() for name, tensor in weights.items()}

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs to go on exactly here."""
        return {
            "history": self.history,
            "best_epoch": self.best_epoch,
            "best_value": self.best_value,
            "best_weights": self.best_weights,
            "stop_reason": self.stop_reason,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a saved `state`."""
        self.history = {name: list(values) for name, values in state["history"].items()}
        self.best_epoch, self.best_value = state["best_epoch"], state["best_value"]
        self.best_weights = dict(state["best_weights"])
        self.stop_reason = state["stop_reason"]


def monitored_key(metric: str, history_keys: tuple[str, ...]) -> str:
    """Return the history key that decides which epoch is the best.

    Args:
        metric: `checkpoint_monitor_metric`.
        history_keys: keys of this run; those of validation are missing when there is none.

    Returns:
        The metric, or without validation its training counterpart.

    Raises:
        ConfigError: no such key; names the valid ones.
    """
    if metric in history_keys:
        return metric
    counterpart = metric.removeprefix("val_")
    if counterpart in history_keys:
        return counterpart
    raise ConfigError(
        f"checkpoint_monitor_metric = '{metric}' is not a history key of this run."
        f"{nearest_name(metric, history_keys)} Use one of {', '.join(history_keys)}."
    )
