"""Record of the inputs of a result: each file with its size and hash, and the version of the package."""

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
    # A reconstruction names its inputs too, but must not load the code of trainings.
    from ptychopinn_backend.runs.plan import RunPlan

INPUTS_NAME: Final = "inputs.json"


def inputs_of(scans: Iterable[Path], reading: Reading = ASK_THE_FILE) -> dict[str, Any]:
    """Return the files of scans with their sizes and hashes, as JSON values.

    Args:
        scans: files or folders of scans.
        reading: what the user states about the files.

    Returns:
        'inputs' has one entry per file, with name, size_bytes and sha256 (None for a file that is too large to be
        hashed again). 'versions' has the version of this package.
    """
    files: list[Path] = []
    for scan in scans:
        try:
            for source in list_sources(scan, reading):
                files += open_scan(source, reading).files
        except (PtychoPINNError, OSError):
            # The scan could be read a moment ago. If its files have changed since, the result must not be lost.
            files.append(scan)
    return input_files(files)


def input_files(files: Iterable[Path]) -> dict[str, Any]:
    """Return the same as `inputs_of` for known files, without opening them as scans.

    Args:
        files: the files; a file that is given twice is listed once.

    Returns:
        'inputs' and 'versions', as JSON values.
    """
    found = [fingerprint(file.absolute()).as_json() for file in dict.fromkeys(files)]
    return {"inputs": found, "versions": {"ptychopinn-backend": package_version()}}


def model_files(archive: Path) -> tuple[Path, ...]:
    """Return the file of a model, or nothing if no such file is found.

    A model that is named by a run of MLflow, for example, has no file here.

    Args:
        archive: the file, or its folder.

    Returns:
        A tuple of one file, or an empty one.
    """
    try:
        return (find_archive(archive),)
    except (PtychoPINNError, OSError, ValueError):
        return (archive,) if archive.is_file() else ()


def write_inputs(plan: RunPlan, folder: Path) -> Path | None:
    """Write the inputs of a training to a file beside its model.

    Args:
        plan: the plan, which names the scans.
        folder: existing folder of the model.

    Returns:
        Path of the file; None if the plan names no files.
    """
    given = plan.inputs
    scans = [*given.scans, *given.validation]
    if not scans:
        return None
    path = folder / INPUTS_NAME
    with atomic_file(path) as stream:
        stream.write((json.dumps(inputs_of(scans, given.how_to_read), indent=2) + "\n").encode())
    return path
