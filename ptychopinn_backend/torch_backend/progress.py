"""What training remembers between epochs: history, the best weights, and why it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ptychopinn_backend.seam.training_run import FINISHED, BestEpoch


@dataclass
class TrainingProgress:
    """Everything a resumed run needs beside weights and optimiser; plain values and tensors only."""

    best: BestEpoch
    """Decides which epoch is the best."""
    history: dict[str, list[float]] = field(default_factory=dict)
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    """State of the model after the best epoch."""
    stop_reason: str = FINISHED

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history.get("loss", ()))

    def record(self, row: Mapping[str, float], weights: Mapping[str, Tensor]) -> None:
        """Append an epoch and keep its weights when it is the best so far.

        Args:
            row: value of every history key.
            weights: state of the model after the epoch; copied when kept.
        """
        for name, value in row.items():
            self.history.setdefault(name, []).append(value)
        if self.best.observe(self.epoch, row):
            self.best_weights = {name: tensor.detach().clone() for name, tensor in weights.items()}

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs to go on exactly here."""
        return {
            "history": self.history,
            "best": self.best.state,
            "best_weights": self.best_weights,
            "stop_reason": self.stop_reason,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a saved `state`."""
        self.history = {name: list(values) for name, values in state["history"].items()}
        self.best.restore(state["best"])
        self.best_weights = dict(state["best_weights"])
        self.stop_reason = state["stop_reason"]
