"""Files of scans, those of data sets among them, and how they are read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ptychopinn_backend.config.reading import ASK_THE_FILE, Reading
from ptychopinn_backend.data.dataset.scan_dataset import read_description
from ptychopinn_backend.data.dataset.sources import DESCRIPTION_NAME, list_sources
from ptychopinn_backend.data.dataset.stored_scan import StoredScan, facts_path, open_stored_scan
from ptychopinn_backend.data.dataset.whole_scan import whole_scan
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import ConfigError, DataError

_STORED: Final = re.compile(r"scan-(\d{5})\.npz")


def is_dataset(path: Path) -> bool:
    """Return whether a folder holds a data set."""
    return (path / DESCRIPTION_NAME).is_file()


def stored_scan_files(folder: Path) -> list[Path]:
    """Return a file for each scan of a data set, which `read_scan` reads.

    Args:
        folder: of the data set.

    Returns:
        The files, in the order of the scans.

    Raises:
        DataError: no data set lies there, or its description is damaged.
    """
    description = read_description(folder)
    return [facts_path(description.patterns_folder(folder), index) for index in range(description.n_scans)]


def stored_scans(folder: Path) -> list[StoredScan]:
    """Return the scans of a data set.

    Args:
        folder: of the data set.

    Returns:
        The scans; patterns stay on disk.

    Raises:
        DataError: no data set lies there, or it is damaged.
    """
    description = read_description(folder)
    patterns = description.patterns_folder(folder)
    return [open_stored_scan(patterns, index) for index in range(description.n_scans)]


def scan_files_of(sources: Iterable[Path], reading: Reading = ASK_THE_FILE) -> list[Path]:
    """Return the files of scans, those of data sets among them.

    Args:
        sources: scan files, folders of them, and folders of data sets.
        reading: what the user states about the files.

    Returns:
        Files that `read_scan` reads: those of data sets last.

    Raises:
        DataError: a source holds no scan.
        ConfigError: something is stated about how a data set is read.
    """
    given = list(sources)
    datasets = [path for path in given if is_dataset(path)]
    files = [path for path in given if path not in datasets]
    if datasets:
        _require_nothing_stated(datasets[0], reading)
    stored = [file for path in datasets for file in stored_scan_files(path)]
    return [*(list_sources(files, reading) if files else []), *stored]


def shown_path(path: Path) -> Path:
    """Return the path by which messages name a scan.

    Args:
        path: as `scan_files_of` gives it.

    Returns:
        Of a scan in a data set the name of the file it came from, in that folder.

    Raises:
        DataError: the data set is damaged.
    """
    index = _index_of(path)
    return path if index is None else open_stored_scan(path.parent, index).shown_path


def named_paths(files: Iterable[Path]) -> list[Path]:
    """Return the paths by which results are named.

    Args:
        files: as `scan_files_of` gives them.

    Returns:
        Whole paths: of a file its own, of a scan in a data set the name of the file it came from in that folder, with
        its number where several came from files of one name.
    """
    given = list(files)
    found = []
    for path in given:
        index = _index_of(path)
        name = "" if index is None else open_stored_scan(path.parent, index).name
        found.append(path.resolve() if index is None else path.parent.parent.resolve() / name)
    doubled = {path for path in found if found.count(path) > 1}
    for number, path in enumerate(given):
        index, whole = _index_of(path), found[number]
        if index is not None and whole in doubled:
            found[number] = whole.with_name(f"{whole.stem}-{index}{whole.suffix}")
    return found


def read_scan(path: Path, reading: Reading = ASK_THE_FILE) -> RawData:
    """Read a scan file, or a scan of a data set.

    Args:
        path: as `scan_files_of` gives it.
        reading: what the user states about a scan file; what a data set holds was settled when it was made.

    Returns:
        The scan. Patterns of a data set that need much of the memory lie in a temporary file.

    Raises:
        DataError: the scan cannot be used.
    """
    index = _index_of(path)
    if index is None:
        return RawData.from_file(path, reading=reading)
    return whole_scan(open_stored_scan(path.parent, index))


def only_scan(folder: Path) -> RawData:
    """Return the scan of a data set that holds one.

    Args:
        folder: of the data set.

    Returns:
        The scan.

    Raises:
        DataError: no data set lies there, or it holds several scans.
    """
    files = stored_scan_files(folder)
    if len(files) > 1:
        raise DataError(
            f"The data set {folder} holds {len(files)} scans, and one is expected. Name one of them, {files[0]} and so "
            "on; 'ptychopinn infer' reconstructs all."
        )
    return read_scan(files[0])


def read_one_scan(path: Path, reading: Reading = ASK_THE_FILE) -> RawData:
    """Read one scan, whatever holds it.

    Args:
        path: a scan file, a folder with one scan, a data set that holds one, or a file of a scan in a data set.
        reading: what the user states about a scan file.

    Returns:
        The scan.

    Raises:
        DataError: the scan cannot be used, or there are several.
        ConfigError: something is stated about how a data set is read.
    """
    if is_stored(path):
        _require_nothing_stated(path, reading)
        return only_scan(path) if is_dataset(path) else read_scan(path)
    return RawData.from_file(path, reading=reading)


def is_stored(path: Path) -> bool:
    """Return whether a path is that of a data set, or of a scan in one."""
    return is_dataset(path) or _index_of(path) is not None


def _require_nothing_stated(path: Path, reading: Reading) -> None:
    if reading.stated():
        raise ConfigError(
            f"{path} is a data set: {', '.join(reading.stated())} concern how a scan file is read, which was "
            "settled when the data set was made. Leave them out, or name the scans it was made from."
        )


def _index_of(path: Path) -> int | None:
    match = _STORED.fullmatch(path.name)
    stored = match is not None and path.parent.name.startswith("patterns-") and is_dataset(path.parent.parent)
    return int(match[1]) if match is not None and stored else None
