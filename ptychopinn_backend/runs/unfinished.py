"""A training that did not come to its end leaves checkpoints that are newer than the model beside them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Final

from ptychopinn_backend.seam.training_run import LAST_CHECKPOINTS

CHECKPOINT_FOLDER: Final = "checkpoints"
_TOLERANCE_S: Final = 1.0
"""Files that are copied together get the times of the copy, in any order."""


def last_checkpoint(folder: Path) -> Path | None:
    """Return the last state of a training in whichever backend; None where there is none.

    Args:
        folder: of the checkpoints.

    Returns:
        The newest of the files.
    """
    found = [path for name in LAST_CHECKPOINTS.values() if (path := folder / name).is_file()]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def warn_of_newer_checkpoints(archive: Path) -> None:
    """Warn where a later training in the same folder was interrupted, so that the model is that of an earlier one.

    Args:
        archive: file of the model.
    """
    last = last_checkpoint(archive.parent / CHECKPOINT_FOLDER)
    if last is not None and last.stat().st_mtime > archive.stat().st_mtime + _TOLERANCE_S:
        warnings.warn(
            f"The checkpoints in '{last.parent}' are newer than the model '{archive}': a later training there was "
            "interrupted, or still runs. The earlier model is used. Go on with that training by --resume, or delete "
            "the checkpoints.",
            UserWarning,
            stacklevel=3,
        )
