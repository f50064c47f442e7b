"""What a result was made of: every file with its size and hash, and the versions of the programs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ptychopinn_backend.archive import package_version
from ptychopinn_backend.config import find_archive
from ptychopinn_backend.config.reading import ASK_THE_FILE, Reading
from ptychopinn_backend.data.dataset.sources import list_sources
from ptychopinn_backend.data.readers.door import open_scan
from ptychopinn_backend.errors import PtychoPINNError
from ptychopinn_backend.files.atomic_file import atomic_file
from ptychopinn_backend.files.fingerprint import fingerprint

if TYPE_CHECKING:
    # A reconstruction names its inputs too, and loads nothing of a training.
    from ptychopinn_backend.runs.plan import RunPlan

INPUTS_NAME: Final = "inputs.json"


def inputs_of(scans: Iterable[Path], reading: Reading = ASK_THE_FILE) -> dict[str, Any]:
    """Return the files of scans with their sizes and hashes, as JSON values.

    Args:
        scans: files and folders of scans.
        reading: what the user states about them.

    Returns:
        'inputs': one entry a file, with name, size_bytes and sha256 (None for a file too large to be hashed again);
        'versions': of this package.
    """
    files: list[Path] = []
    for scan in scans:
        try:
            for source in list_sources(scan, reading):
                files += open_scan(source, reading).files
        except (PtychoPINNError, OSError):
            # It was read a moment ago; what became of it since is no reason to lose a result.
            files.append(scan)
    return input_files(files)


def input_files(files: Iterable[Path]) -> dict[str, Any]:
    """Return what `inputs_of` does for files that are known, which are not opened as scans again.

    Args:
        files: each is named once.

    Returns:
        'inputs' and 'versions', as JSON values.
    """
    found = [fingerprint(file.absolute()).as_json() for file in dict.fromkeys(files)]
    return {"inputs": found, "versions": {"ptychopinn-backend": package_version()}}


def model_files(archive: Path) -> tuple[Path, ...]:
    """Return the file of a model; nothing where it is named otherwise, by a run of MLflow for example.

    Args:
        archive: the file, or the folder it lies in.

    Returns:
        One file or none.
    """
    try:
        return (find_archive(archive),)
    except (PtychoPINNError, OSError, ValueError):
        return (archive,) if archive.is_file() else ()


def write_inputs(plan: RunPlan, folder: Path) -> Path | None:
    """Write what a training was made of beside its model.

    Args:
        plan: names the scans.
        folder: it exists.

    Returns:
        The file; None where the plan names no files.
    """
    given = plan.inputs
    scans = [*given.scans, *given.validation]
    if not scans:
        return None
    path = folder / INPUTS_NAME
    with atomic_file(path) as stream:
        stream.write((json.dumps(inputs_of(scans, given.how_to_read), indent=2) + "\n").encode())
    return path
