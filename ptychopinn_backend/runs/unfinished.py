"""Checkpoints of a training that did not finish: to resume from, or newer than the model."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Final

from ptychopinn_backend.errors import TrainingError
from ptychopinn_backend.seam.interface import LAST_CHECKPOINTS

CHECKPOINT_FOLDER: Final = "checkpoints"
_TOLERANCE_S: Final = 1.0
"""Largest difference of times that does not count: files that are copied together get new times in any order."""


def last_checkpoint(folder: Path) -> Path | None:
    """Return the last state of a training in either backend, or None if there is none.

    Args:
        folder: folder of the checkpoints.

    Returns:
        The newest checkpoint file.
    """
    found = [path for name in LAST_CHECKPOINTS.values() if (path := folder / name).is_file()]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def require_resumable(folder: Path, backend: str) -> None:
    """Refuse to resume from the checkpoint of another backend, and warn if there is no checkpoint.

    Args:
        folder: folder of the checkpoints.
        backend: 'tensorflow' or 'pytorch'.

    Raises:
        TrainingError: the folder holds a checkpoint of the other backend, and none of this one.
    """
    if (folder / LAST_CHECKPOINTS[backend]).is_file():
        return
    for other, name in LAST_CHECKPOINTS.items():
        if (folder / name).is_file():
            raise TrainingError(
                f"'{folder / name}' is a checkpoint of the backend {other}, and this training computes with {backend}. "
                f"Go on with that backend, or train without resuming."
            )
    warnings.warn(
        f"'{folder}' holds no checkpoint to go on from: training starts at epoch 1.", UserWarning, stacklevel=3
    )


def warn_of_nothing_to_train(folder: Path, n_epochs: int, done: int, stop_reason: str) -> None:
    """Warn that a resumed training had already ended.

    Args:
        folder: folder of the checkpoints.
        n_epochs: number of epochs that are asked for.
        done: number of epochs in the checkpoint.
        stop_reason: why the training ended.
    """
    if done < n_epochs:
        end = f"{done} of {n_epochs} epochs, after which it had ended ({stop_reason})"
        remedy = "Train without resuming for a longer one."
    else:
        end, remedy = f"{done} epochs, and {n_epochs} are asked for", f"Ask for more than {done} to go on."
    warnings.warn(f"The checkpoint in '{folder}' holds {end}: nothing was trained. {remedy}", UserWarning, stacklevel=3)


def warn_of_newer_checkpoints(archive: Path) -> None:
    """Warn if a later training in the same folder was interrupted, so that the model is from an earlier training.

    Args:
        archive: file of the model.
    """
    last = last_checkpoint(archive.parent / CHECKPOINT_FOLDER)
    if last is not None and last.stat().st_mtime > archive.stat().st_mtime + _TOLERANCE_S:
        warnings.warn(
            f"The checkpoints in '{last.parent}' are newer than the model '{archive}': a later training there was "
            "interrupted, or still runs. The earlier model is used. Resume that training, or delete "
            "the checkpoints.",
            UserWarning,
            stacklevel=3,
        )
