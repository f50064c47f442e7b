"""What a folder of results holds, and what can be measured on it beside the scan."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ptychopinn_backend.archive import read_metadata
from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.config import ARCHIVE_NAME
from ptychopinn_backend.errors import DataError, DataFileNotFoundError
from ptychopinn_backend.files.npz import read_npz
from ptychopinn_backend.runs.plan import PLAN_NAME
from ptychopinn_backend.runs.provenance import INPUTS_NAME
from ptychopinn_backend.seam.epoch_log import CSV_NAME
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

RECONSTRUCTION_NAME: Final = "reconstruction.npz"
_UNCERTAINTY: Final = ("uncertainty", "amplitude_uncertainty", "phase_uncertainty")
"""Arrays of the shape of the object that say how sure it is, where a file holds them."""


@dataclass(frozen=True, eq=False)
class Result:
    """A training, a reconstruction, or both."""

    path: Path
    """As it was named."""
    archive: Path | None
    """The model."""
    metadata: Mapping[str, Any] | None
    """What it says of itself."""
    history: Mapping[str, Sequence[float]]
    """One value per epoch for each name."""
    plan: str
    """Text of `run.yaml`; empty where there is none."""
    reconstruction: Reconstruction | None
    """The object."""
    uncertainty: Mapping[str, AnyArray]
    """Name -> (row, column)."""
    inputs: Mapping[str, Any]
    """What the training was made of, as `runs.provenance` writes it."""
    files: tuple[Path, ...]
    """What was read."""


def read_result(path: Path) -> Result:
    """Read what 'train' or 'infer' wrote.

    Args:
        path: their folder, an archive, or a reconstruction.npz.

    Returns:
        What is there.

    Raises:
        DataFileNotFoundError: nothing lies there.
        DataError: neither a model nor a reconstruction lies there, or one is damaged.
        ArchiveError: the archive cannot be used.
    """
    if not path.exists():
        raise DataFileNotFoundError(f"{path} does not exist. Name the folder that 'train' or 'infer' wrote.")
    folder = path if path.is_dir() else path.parent
    archive = _chosen(path, folder / ARCHIVE_NAME, ".zip")
    object_file = _chosen(path, folder / RECONSTRUCTION_NAME, ".npz")
    if archive is None and object_file is None:
        raise DataError(
            f"{path} holds neither {ARCHIVE_NAME} nor {RECONSTRUCTION_NAME}. Name the folder that 'train' or 'infer' "
            "wrote, or one of these files."
        )
    metadata = None if archive is None else read_metadata(archive)
    table, plan = folder / CSV_NAME, folder / PLAN_NAME
    history = {} if metadata is None else dict(metadata["history"])
    if archive is not None and table.is_file():
        history = _history(table) or history
    is_planned = archive is not None and plan.is_file()
    reconstruction = None if object_file is None else Reconstruction.load_npz(object_file)
    unsure = {} if object_file is None or reconstruction is None else read_npz(object_file, _UNCERTAINTY)
    shape = () if reconstruction is None else reconstruction.object.shape
    return Result(
        path=path,
        archive=archive,
        metadata=metadata,
        history=history,
        plan=plan.read_text(encoding="utf-8", errors="replace") if is_planned else "",
        reconstruction=reconstruction,
        uncertainty={name: values for name, values in unsure.items() if values.shape == shape},
        inputs=_described(folder / INPUTS_NAME) if archive is not None else {},
        files=tuple(file for file in (archive, object_file) if file is not None),
    )


def _chosen(named: Path, usual: Path, suffix: str) -> Path | None:
    """Return the file of a kind: the usual one of a folder, or the one that was named."""
    if named.is_dir():
        return usual if usual.is_file() else None
    return named if named.suffix == suffix else None


def _described(path: Path) -> dict[str, Any]:
    """Return the JSON object of a file; nothing where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _history(table: Path) -> dict[str, list[float]]:
    """Return a history from its CSV; what is no number is left out."""
    history: dict[str, list[float]] = {}
    try:
        with table.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                for name, value in row.items():
                    if name and name != "epoch" and value:
                        history.setdefault(name, []).append(float(value))
    except (OSError, ValueError, csv.Error):
        return {}
    return history
