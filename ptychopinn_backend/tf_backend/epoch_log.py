"""What a run leaves beside its weights: one row of numbers an epoch, as CSV or for TensorBoard."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from ptychopinn_backend.atomic_file import atomic_file
from ptychopinn_backend.tf_backend.framework import tf

CSV_NAME = "metrics.csv"
TENSORBOARD_FOLDER = "tensorboard"


class EpochLog(Protocol):
    """Takes note of every epoch."""

    def record(self, history: Mapping[str, Sequence[float]]) -> None:
        """Write the epoch that `history` ends with."""


class CsvLog:
    """The whole history as a table; rewritten every epoch, so that a resumed run continues it without gaps."""

    def __init__(self, folder: Path) -> None:
        """Choose the file.

        Args:
            folder: where `metrics.csv` goes.
        """
        self._path = folder / CSV_NAME

    def record(self, history: Mapping[str, Sequence[float]]) -> None:
        """Write the table."""
        with atomic_file(self._path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("epoch", *history))
            for epoch, row in enumerate(zip(*history.values(), strict=True), start=1):
                writer.writerow((epoch, *row))


class TensorBoardLog:
    """Scalars for TensorBoard."""

    def __init__(self, folder: Path) -> None:
        """Open an event file.

        Args:
            folder: its parent folder.
        """
        self._writer = tf.summary.create_file_writer(str(folder / TENSORBOARD_FOLDER))

    def record(self, history: Mapping[str, Sequence[float]]) -> None:
        """Write the last value of every series."""
        with self._writer.as_default():
            for name, values in history.items():
                tf.summary.scalar(name, values[-1], step=len(values))
        self._writer.flush()


class NoLog:
    """Keeps nothing."""

    def record(self, history: Mapping[str, Sequence[float]]) -> None:
        """Do nothing."""


def open_log(logger_backend: str, folder: Path | None) -> EpochLog:
    """Return the log that `logger_backend` names; without a folder nothing is written anywhere."""
    if folder is None or logger_backend == "none":
        return NoLog()
    return TensorBoardLog(folder) if logger_backend == "tensorboard" else CsvLog(folder)
