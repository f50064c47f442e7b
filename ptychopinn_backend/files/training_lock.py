"""One training per folder: the operating system lets the lock go when the process ends, however it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from ptychopinn_backend.errors import TrainingError
from ptychopinn_backend.files.atomic_file import TEMPORARY_PATTERN, writing

LOCK_NAME: Final = ".training.lock"
"""The file stays; whether it is locked is known to the operating system only."""


@contextmanager
def training_lock(folder: Path | None, *beside: Path) -> Iterator[None]:
    """Hold a folder for one training, and clear it of what a killed one left half-written.

    Args:
        folder: of the checkpoints, made when missing; None locks nothing, as in all but the first process of a
            distributed training.
        *beside: further folders this training alone writes to; they are cleared too.

    Yields:
        Nothing.

    Raises:
        TrainingError: another training holds the folder.
        OutputError: the folder cannot be made or written.
    """
    if folder is None:
        yield
        return
    lock = FileLock(folder / LOCK_NAME)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise TrainingError(
                f"'{folder}' is in use by another training. Wait until that one ends, or choose another output folder."
            ) from error
    try:
        for place in (folder, *beside):
            for left in place.glob(TEMPORARY_PATTERN):
                left.unlink(missing_ok=True)
        yield
    finally:
        lock.release()
