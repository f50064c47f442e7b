"""Names of what training leaves in a folder, and tidying up after one that was ended from outside."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from ptychopinn_backend.errors import OutputError, TrainingError
from ptychopinn_backend.files.training_lock import training_lock

CHECKPOINT_FOLDER: Final = "checkpoints"
BEST_MODEL_FILE: Final = "best.zip"
"""The best model so far, among the checkpoints; in use from the first epoch on, should training be stopped."""
MODEL_FILE: Final = "model.zip"
"""What a batch run looks for in its input folder."""


def results_folder(model: Path) -> Path:
    """Return the folder that a training left its results in, where refined probes and positions are kept.

    Args:
        model: its archive, the last one or the best one among the checkpoints.

    Returns:
        The folder.
    """
    folder = model.parent
    return folder.parent if folder.name == CHECKPOINT_FOLDER else folder


def best_model_time_ns(folder: Path) -> int | None:
    """Return when the best model of a training was last written, in nanoseconds; None where there is none.

    Args:
        folder: output folder of a training.

    Returns:
        Time since 1970.
    """
    try:
        return (folder / CHECKPOINT_FOLDER / BEST_MODEL_FILE).stat().st_mtime_ns
    except OSError:
        return None


def remove_temporary_files(folder: Path) -> None:
    """Remove what a child that was killed or stopped left half-written, unless another training is in the folder.

    Args:
        folder: output folder of a training.
    """
    checkpoints = folder / CHECKPOINT_FOLDER
    if not checkpoints.is_dir():
        return
    with suppress(TrainingError, OutputError), training_lock(checkpoints, folder):
        pass
