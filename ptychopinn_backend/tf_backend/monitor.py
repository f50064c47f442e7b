"""The best epochs of a run: their weights, and their files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.seam.interface import BackendSetup
from ptychopinn_backend.seam.schedule import loss_changes
from ptychopinn_backend.seam.training_run import BestEpoch, loss_keys
from ptychopinn_backend.tf_backend.checkpoints import Checkpoint, best_name, with_prefix


class BestEpochs:
    """Keeps the weights of the best epoch, and the files of as many of the best as asked for."""

    def __init__(self, setup: BackendSetup, validated: bool, folder: Path | None) -> None:
        """Start with no epoch seen.

        Args:
            setup: metric, its direction, patience, and how many files to keep.
            validated: whether there are groups to validate on.
            folder: where the files go; None writes none.
        """
        self.decision = BestEpoch(setup.training, setup.execution, loss_keys(setup.training, validated))
        """Which epoch is the best."""
        self._training, self._folder = setup.training, folder
        self._n_files = setup.execution.checkpoint_save_top_k
        self._ranking: list[tuple[float, int]] = []
        self.weights: dict[str, AnyArray] | None = None
        """Canonical weights of the best epoch."""

    @property
    def state(self) -> dict[str, Any]:
        """What `restore` needs beside the weights."""
        return {**self.decision.state, "ranking": self._ranking}

    def restore(self, state: Mapping[str, Any], weights: dict[str, AnyArray]) -> None:
        """Take up a saved `state`.

        Args:
            state: as returned by `state`.
            weights: weights of the best epoch.
        """
        self.decision.restore(state)
        self._ranking = [(value, epoch) for value, epoch in state["ranking"]]
        self.weights = weights

    def observe(self, epoch: int, losses: Mapping[str, float], weights: dict[str, AnyArray]) -> None:
        """Take note of an epoch.

        Args:
            epoch: 1-based epoch.
            losses: its loss terms.
            weights: canonical weights after it.
        """
        if self.decision.observe(epoch, losses):
            self.weights = weights
        if self._folder is not None:
            self._keep_files(self._folder, (self.decision.rank(losses[self.decision.monitor]), epoch), weights)

    def _keep_files(self, folder: Path, ranked: tuple[float, int], weights: dict[str, AnyArray]) -> None:
        comparable = [] if loss_changes(self._training, ranked[1]) else self._ranking
        kept = sorted([*comparable, ranked])[: self._n_files]
        if ranked in kept:
            Checkpoint(with_prefix("weights", weights), {"epoch": ranked[1]}).write(folder / best_name(ranked[1]))
        for _, dropped in set(self._ranking) - set(kept):
            (folder / best_name(dropped)).unlink(missing_ok=True)
        self._ranking = kept
