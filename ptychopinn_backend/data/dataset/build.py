"""Making a data set: by one process at a time, and so that no reader ever takes half of one for the whole.

`dataset.json` is written last and names all else by digest of what it was made from: a folder of patterns, which is
renamed into place when it is complete, and a file of groups, which is written atomically.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from filelock import FileLock, Timeout

from ptychopinn_backend.arrays import IntArray
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.data.dataset.options import DatasetOptions
from ptychopinn_backend.data.dataset.scan_dataset import (
    FORMAT,
    VERSION,
    Description,
    ScanDataset,
    assemble,
    open_dataset,
    read_description,
)
from ptychopinn_backend.data.dataset.sources import (
    DESCRIPTION_NAME,
    ScanFile,
    Sources,
    bytes_to_store,
    fingerprint,
    list_sources,
    read_scan_file,
)
from ptychopinn_backend.data.dataset.stored_scan import StoredScan, open_stored_scan, store_scan
from ptychopinn_backend.data.findings import EXAMINATION
from ptychopinn_backend.data.grouping import group_positions
from ptychopinn_backend.data.pattern_size import misfit
from ptychopinn_backend.data.raw_data import subsampled_points
from ptychopinn_backend.errors import DataError, DataFileNotFoundError, warnings_about
from ptychopinn_backend.files.atomic_file import TEMPORARY_PATTERN, atomic_file
from ptychopinn_backend.files.npz import write_npz

logger = logging.getLogger(__name__)

LOCK_NAME: Final = ".lock"
_KEPT: Final = "with object, metadata and findings"
"""What data sets hold of a scan file; another text has those of an earlier version made again."""
_BUILDING: Final = "building-"
_OURS: Final = (_BUILDING, "patterns-", "groups-", ".")


def create_dataset(
    sources: Sources, folder: str | Path, model: ModelConfig, options: DatasetOptions | None = None
) -> ScanDataset:
    """Make one data set of many scans, or open the one in `folder` where it was made from the same in the same way.

    Any number of processes may call this at once with the same arguments: one builds, the others wait for it.

    Args:
        sources: scan files of any known format, folders of them, or both.
        folder: where the data set lies; new, empty, or holding a data set, which is replaced when it differs.
        model: decides N, gridsize and how probes are normalised.
        options: how groups are drawn and normalised; None takes the defaults.

    Returns:
        The data set. Where only groups differ from the one that was there, its patterns are kept.

    Raises:
        DataError: a source is malformed or has another N, the disk is too small, or `folder` holds something else.
        OSError: the folder cannot be written.
    """
    folder = Path(folder)
    options = (options or DatasetOptions()).for_model(model)
    files = list_sources(sources, options.reading)
    wanted = _describe(files, model, options)
    found = _open_if_same(folder, wanted, model)
    if found is not None:
        return found
    _require_ours(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        found = _open_if_same(folder, wanted, model)
        return found if found is not None else _build(folder, files, wanted, model, options)


def _describe(files: Sequence[Path], model: ModelConfig, options: DatasetOptions) -> Description:
    content = [fingerprint(path, options.reading) for path in files]
    stated, all_options = options.reading.stated(), asdict(options)
    del all_options["reading"]
    patterns = _digest(
        [FORMAT, VERSION, _KEPT, EXAMINATION, content, model.N, options.measurement, options.with_labels, stated]
    )
    groups = _digest([patterns, all_options])
    return Description(
        patterns,
        groups,
        len(files),
        options.normalize,
        options.probe_normalize,
        options.phase_subtraction,
        asdict(model),
    )


def _digest(values: list[Any]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:32]


def _open_if_same(folder: Path, wanted: Description, model: ModelConfig) -> ScanDataset | None:
    try:
        found = read_description(folder)
        if (found.patterns, found.groups) != (wanted.patterns, wanted.groups):
            logger.info("The data set %s was made from other files or options and is rebuilt.", folder)
            return None
        dataset = open_dataset(folder, model)
    except DataFileNotFoundError:
        return None
    except DataError as error:
        logger.warning("The data set %s is rebuilt: %s", folder, error)
        return None
    logger.info("The data set %s is used as it is.", folder)
    return dataset


def _require_ours(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise DataError(f"{folder} is a file; a data set is a folder. Name a new or empty folder.")
    names = (item.name for item in folder.iterdir())
    foreign = [name for name in names if not name.startswith(_OURS) and name != DESCRIPTION_NAME]
    if foreign:
        raise DataError(
            f"The folder {folder} holds '{sorted(foreign)[0]}', which is no part of a data set. "
            "Name a new or empty folder."
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / LOCK_NAME)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.info("Another process builds the data set %s; waiting for it.", folder)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _build(
    folder: Path, files: Sequence[Path], wanted: Description, model: ModelConfig, options: DatasetOptions
) -> ScanDataset:
    for leftover in folder.glob(f"{_BUILDING}*"):
        shutil.rmtree(leftover)
    for leftover in folder.glob(TEMPORARY_PATTERN):
        leftover.unlink()
    patterns, groups = wanted.patterns_folder(folder), wanted.groups_file(folder)
    stored = _stored_scans(patterns, len(files))
    if stored is None:
        _store_patterns(folder, files, wanted, options)
        stored = [open_stored_scan(patterns, index) for index in range(len(files))]
    else:
        for scan in stored:
            scan.tell()
    rows = [_draw(scan, options) for scan in stored]
    # What cannot be assembled must not be described as whole.
    dataset = assemble(folder, stored, rows, model, wanted)
    index = np.repeat(np.arange(len(rows), dtype=np.int32), [len(part) for part in rows])
    write_npz(groups, {"scan_index": index, "pattern_rows": np.concatenate(rows)})
    with atomic_file(folder / DESCRIPTION_NAME, "w") as stream:
        stream.write(wanted.as_json())
    for item in folder.iterdir():
        if item.name.startswith("patterns-") and item != patterns:
            shutil.rmtree(item)
        elif item.name.startswith("groups-") and item != groups:
            item.unlink()
    logger.info("Built the data set %s: %d groups of %d scan(s).", folder, len(index), len(files))
    return dataset


def _stored_scans(patterns: Path, n_scans: int) -> list[StoredScan] | None:
    """Open the scans of a complete folder of patterns; None, and no folder, where there is none or it is damaged."""
    if not patterns.exists():
        return None
    try:
        return [open_stored_scan(patterns, index) for index in range(n_scans)]
    except DataError as error:
        logger.warning("The patterns of a data set are stored again: %s", error)
        shutil.rmtree(patterns)
        return None


def _store_patterns(folder: Path, files: Sequence[Path], wanted: Description, options: DatasetOptions) -> None:
    N = wanted.model["N"]
    scans = [read_scan_file(path, options.reading) for path in files]
    for scan in scans:
        _require_usable(scan, N)
    needed, free = sum(bytes_to_store(scan, options.with_labels) for scan in scans), shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"The data set needs {needed / 2**30:.3g} GiB of disk; {folder} has {free / 2**30:.3g} GiB left. "
            "Make room, or name a folder on another disk."
        )
    building = folder / f"{_BUILDING}{wanted.patterns}"
    building.mkdir()
    try:
        for index, scan in enumerate(scans):
            with warnings_about(scan.path):
                store_scan(scan, building, index, options)
        now = _describe(files, ModelConfig(**wanted.model), options)
        if now.patterns != wanted.patterns:
            raise DataError("A scan file changed while it was read. Create the data set when its files are complete.")
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    building.rename(wanted.patterns_folder(folder))


def _require_usable(scan: ScanFile, N: int) -> None:
    if scan.N != N:
        raise misfit(scan.N, N, f"{scan.path}: the patterns")
    if scan.facts["probeGuess"] is None:
        remedy = scan.opened.in_its_words("Add probeGuess (mode, N, N) to the scan.")
        raise DataError(f"{scan.path} has no probe; the physics needs one. {remedy}")


def _draw(scan: StoredScan, options: DatasetOptions) -> IntArray:
    points: IntArray = np.arange(len(scan.xcoords))
    if options.n_subsample is not None and options.n_subsample < len(points):
        points = subsampled_points(len(points), options.n_subsample, options.subsample_seed)
    try:
        groups = group_positions(
            scan.xcoords[points], scan.ycoords[points], options.grouping, scan_index=scan.scan_index[points]
        )
    except DataError as error:
        raise DataError(f"{scan.name}: {error}") from error
    return points[groups.nn_indices].astype(np.int32)
