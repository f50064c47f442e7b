"""Checkpoints: plain arrays and a JSON record in one NPZ file, written atomically and read without pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.files.atomic_file import atomic_file
from ptychopinn_backend.files.npz import member_names, read_npz
from ptychopinn_backend.seam.interface import LAST_CHECKPOINTS, BackendSetup
from ptychopinn_backend.seam.schedule import loss_changes
from ptychopinn_backend.seam.training_run import BestEpoch, unreadable_checkpoint

LAST_NAME: Final = LAST_CHECKPOINTS["tensorflow"]
_RECORD: Final = "record"
CHECKPOINT_PATTERNS: Final = (LAST_NAME, "best-epoch*.npz")
"""Names of the files of a run."""


@dataclass(frozen=True)
class Checkpoint:
    """Arrays by name and a record of numbers and texts."""

    arrays: Mapping[str, AnyArray]
    record: Mapping[str, Any]

    def write(self, path: Path) -> None:
        """Write the file; it is there as a whole or not at all.

        Args:
            path: where.
        """
        arrays: dict[str, Any] = dict(self.arrays)
        arrays[_RECORD] = np.frombuffer(json.dumps(self.record).encode(), np.uint8)
        with atomic_file(path) as file:
            np.savez(file, **arrays)

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """Read what `write` wrote.

        Args:
            path: the file.

        Returns:
            The checkpoint.

        Raises:
            TrainingError: the file is damaged or not a checkpoint.
        """
        try:
            arrays = read_npz(path, member_names(path))
            record = json.loads(arrays.pop(_RECORD).tobytes())
            record["fingerprint"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise unreadable_checkpoint(path) from error
        return cls(arrays, record)

    def group(self, prefix: str) -> dict[str, AnyArray]:
        """Return the arrays of one prefix, without it."""
        start = f"{prefix}/"
        return {name[len(start) :]: array for name, array in self.arrays.items() if name.startswith(start)}


def with_prefix(prefix: str, arrays: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    """Return the arrays under a prefix, for `Checkpoint.group`."""
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


class BestFiles:
    """The files of as many of the best epochs as asked for."""

    def __init__(self, folder: Path, setup: BackendSetup, best: BestEpoch) -> None:
        """Start with no file written.

        Args:
            folder: where the files go.
            setup: how many files to keep, and the stages.
            best: decides which epoch is better.
        """
        self._folder, self._setup, self._best = folder, setup, best
        self.ranking: list[tuple[float, int]] = []
        """Rank and 1-based epoch of every file that is there, the best first."""

    def observe(self, epoch: int, losses: Mapping[str, float], weights: Mapping[str, AnyArray]) -> None:
        """Write the file of an epoch that belongs to the best, and delete those that no longer do.

        Args:
            epoch: 1-based epoch.
            losses: its losses.
            weights: canonical weights after it.
        """
        ranked = self._best.rank(losses[self._best.monitor]), epoch
        comparable = [] if loss_changes(self._setup.training, epoch) else self.ranking
        kept = sorted([*comparable, ranked])[: self._setup.execution.checkpoint_save_top_k]
        if ranked in kept:
            Checkpoint(with_prefix("weights", weights), {"epoch": epoch}).write(self._path(epoch))
        for _, dropped in set(self.ranking) - set(kept):
            self._path(dropped).unlink(missing_ok=True)
        self.ranking = kept

    def _path(self, epoch: int) -> Path:
        return self._folder / f"best-epoch{epoch:04d}.npz"
