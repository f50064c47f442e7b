"""Checkpoints of a training that did not finish: to resume from, or newer than the model."""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ptychopinn_backend.config import ARCHIVE_NAME
from ptychopinn_backend.errors import ConfigError, TrainingError
from ptychopinn_backend.files.atomic_file import atomic_file, writing
from ptychopinn_backend.seam.interface import LAST_CHECKPOINTS

CHECKPOINT_FOLDER: Final = "checkpoints"
_RECORD: Final = "epochs.json"
"""Beside the checkpoints: epochs done, epochs asked for, and why the training ended, empty before it has."""
_ASIDE: Final = "earlier"
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


def note_epochs(folder: Path, done: int, n_epochs: int, ended: str = "") -> None:
    """Keep beside the checkpoints how far their training came.

    Args:
        folder: of the checkpoints.
        done: epochs that have ended.
        n_epochs: epochs asked for.
        ended: why the training ended; empty where it goes on.
    """
    with atomic_file(folder / _RECORD, "w") as file:
        json.dump({"epochs": done, "of": n_epochs, "ended": ended}, file)


def set_unfinished_aside(folder: Path) -> None:
    """Move what an interrupted training has left out of the way of a new one, and warn.

    Args:
        folder: of the checkpoints.

    Raises:
        OutputError: they cannot be moved.
    """
    last = last_checkpoint(folder)
    if last is None or _came_to_its_end(folder, last):
        # What it says is not of the training to come.
        (folder / _RECORD).unlink(missing_ok=True)
        return
    record = _record(folder)
    aside = next(path for path in _places_aside(folder) if not path.exists())
    suffixes = [Path(name).suffix for name in LAST_CHECKPOINTS.values()]
    names = [_RECORD, *(f"{kind}*{suffix}" for kind in ("last", "best") for suffix in suffixes)]
    with writing(aside):
        aside.mkdir()
        for path in [path for name in names for path in folder.glob(name)]:
            path.replace(aside / path.name)
    kept = f"{record['epochs']} of {record['of']} epochs" if record else "epochs"
    warnings.warn(
        f"'{folder}' holds {kept} of a training that was interrupted. This one starts at epoch 1, and their "
        f"checkpoints are moved to '{aside}'. To go on from these, move them back and resume (--resume).",
        UserWarning,
        stacklevel=3,
    )


def _places_aside(folder: Path) -> Iterator[Path]:
    yield folder / _ASIDE
    yield from (folder / f"{_ASIDE}-{number}" for number in itertools.count(2))


def _record(folder: Path) -> dict[str, Any]:
    """Return what `note_epochs` wrote; empty where it did not, or the file is damaged."""
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) and {"epochs", "of", "ended"} <= record.keys() else {}


def _came_to_its_end(folder: Path, last: Path) -> bool:
    """Return whether a training ended by itself; without a record, whether a model was written after it."""
    record = _record(folder)
    if record:
        return bool(record["ended"])
    model = folder.parent / ARCHIVE_NAME
    return model.is_file() and model.stat().st_mtime + _TOLERANCE_S > last.stat().st_mtime


def folder_to_resume(folder: Path | None) -> Path:
    """Return the folder of the checkpoints to go on from.

    Args:
        folder: as it was given, or None.

    Returns:
        The folder.

    Raises:
        ConfigError: none was given.
    """
    if folder is None:
        raise ConfigError(
            "resume = True goes on from a checkpoint, and no folder of checkpoints is given. Give checkpoint_folder."
        )
    return folder


def warn_of_replaced(archive: Path) -> None:
    """Warn where a training will write its model in the place of an earlier one.

    Args:
        archive: file of the model.
    """
    if archive.is_file():
        warnings.warn(
            f"'{archive}' of an earlier training will be replaced when this one ends. Choose another output folder to "
            "keep both.",
            UserWarning,
            stacklevel=3,
        )


def require_resumable(folder: Path | None, backend: str, start: Path | None) -> None:
    """Refuse to go on from what another backend has left, and warn where there is nothing to go on from.

    Args:
        folder: of the checkpoints, or None.
        backend: 'tensorflow' or 'pytorch'.
        start: archive to start from, or None; a checkpoint wins over it, and a warning says so.

    Raises:
        ConfigError: there is no folder.
        TrainingError: the other backend's checkpoint lies there, and none of this one.
    """
    folder = folder_to_resume(folder)
    if (folder / LAST_CHECKPOINTS[backend]).is_file():
        if start is not None:
            _warn_of_unused_start(folder, start)
        return
    for other, name in LAST_CHECKPOINTS.items():
        if (folder / name).is_file():
            raise TrainingError(
                f"'{folder / name}' is a checkpoint of the backend {other}, and this training computes with {backend}. "
                f"Go on with that backend, or train without resuming."
            )
    aside = folder / _ASIDE
    hint = f"Those moved aside lie in '{aside}'." if aside.is_dir() else "Check the folder if there should be one."
    warnings.warn(
        f"'{folder}' holds no checkpoint to go on from: training starts at epoch 1. {hint}", UserWarning, stacklevel=3
    )


def _warn_of_unused_start(folder: Path, start: Path) -> None:
    warnings.warn(
        f"The weights of '{start}' (init) are not used: training goes on from the checkpoint in '{folder}'. Train "
        "without resuming to start from them.",
        UserWarning,
        stacklevel=4,
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
