"""Scan files a data set is made from: what they hold, without reading their patterns, and their patterns in pieces."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from ptychopinn_backend.arrays import Complex64Array, Float64Array, IntArray
from ptychopinn_backend.config.reading import ASK_THE_FILE, Reading
from ptychopinn_backend.data.findings.layout import is_axis_open, unclear_axis
from ptychopinn_backend.data.readers.array_source import stand_in
from ptychopinn_backend.data.readers.door import open_scan
from ptychopinn_backend.data.readers.halves import DATASET_DESCRIPTION, SUFFIXES, named_by_patterns, scan_files
from ptychopinn_backend.data.readers.parts import OpenedScan
from ptychopinn_backend.data.scan_checks import check_scan_facts
from ptychopinn_backend.data.training_hdf5 import is_hdf5
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.files.npz import directory_entries, machine_memory_bytes, require_file

DESCRIPTION_NAME: Final = DATASET_DESCRIPTION
"""The file that makes a folder a data set."""
MEMORY_PART: Final = 1 / 4
"""Scans whose patterns together need more than this part of the machine's memory are trained on from disk."""
_PATTERNS: Final = "diffraction"


Sources = str | Path | Sequence[str | Path]


@dataclass(frozen=True, eq=False)
class ScanFile:
    """All of a scan file but its patterns and labels."""

    opened: OpenedScan
    """What is read piece by piece."""
    facts: dict[str, Any]
    """Fields of `RawData` that do not depend on the values of patterns."""
    n_patterns: int
    """Scan points."""
    N: int
    """Pattern side in pixels."""

    @property
    def path(self) -> Path:
        """The file that names the scan."""
        return self.opened.path

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the patterns in the file."""
        return self.opened.patterns.dtype

    @property
    def probeGuess(self) -> Complex64Array | None:
        """Probe (mode, N, N) or (N, N), or None."""
        probe: Complex64Array | None = self.facts["probeGuess"]
        return probe

    @property
    def positions_xy(self) -> Float64Array:
        """Scan positions (pattern, 2), axis 1 = (x, y), object pixels."""
        return np.stack([self.facts["xcoords"], self.facts["ycoords"]], axis=1)

    @property
    def object_of_position(self) -> IntArray:
        """Object every position belongs to (pattern,)."""
        index: IntArray = self.facts["scan_index"]
        return index

    @property
    def mean_photons(self) -> None:
        """Not known before the patterns are read."""
        return None

    @property
    def counts_in_light(self) -> None:
        """Not known before the patterns are read."""
        return None

    @property
    def amplitude_bytes(self) -> int:
        """Memory its patterns need as float32 amplitudes."""
        return self.n_patterns * self.N**2 * 4


def list_sources(sources: Sources, reading: Reading = ASK_THE_FILE) -> list[Path]:
    """Return the scan files that are meant.

    Args:
        sources: a file, a folder (all its scan files, by name; neighbour caches left out), or several of both. The two
            halves of a scan count as one, named by its patterns.
        reading: what the user states about them.

    Returns:
        The files, in the order given.

    Raises:
        DataFileNotFoundError: one does not exist.
        DataError: a folder holds none, a half of a scan lacks the other, or nothing was given.
    """
    given = [sources] if isinstance(sources, str | Path) else list(sources)
    files: list[Path] = []
    for path in map(Path, given):
        if (path / DESCRIPTION_NAME).is_file():
            raise DataError(f"The folder {path} is a data set made from scans. Name the scans it was made from.")
        if path.is_dir():
            found = scan_files(path)
            if not found:
                raise DataError(f"The folder {path} holds no scan file ({', '.join(SUFFIXES)}). Name another one.")
            files += found
        else:
            require_file(path)
            files.append(path)
    if not files:
        raise DataError("No scan was given. Name at least one file or folder.")
    return files if len(files) == 1 else named_by_patterns(files, reading)


def fingerprint(path: Path, reading: Reading = ASK_THE_FILE) -> str:
    """Return a digest that changes when the scan in a file changes, without reading the patterns.

    Of an NPZ file it covers name, size and CRC-32 of every array, so all of its content; a copy has the same. HDF5
    keeps no checksums: it covers all but the patterns, and size and modification time of every file that is read.

    Args:
        path: the file.
        reading: what the user states about it.

    Returns:
        SHA-256 in hexadecimal.

    Raises:
        DataError: the file cannot be read.
    """
    digest = hashlib.sha256()
    opened = open_scan(path, reading)
    are_npz = [not is_hdf5(file) for file in opened.files]
    for file, is_npz in zip(opened.files, are_npz, strict=True):
        status = file.stat()
        if is_npz:
            digest.update(json.dumps(["npz", status.st_size, directory_entries(file)]).encode())
        else:
            digest.update(f"hdf5 {status.st_size} {status.st_mtime_ns}".encode())
    if not all(are_npz):
        for name, values in sorted(opened.members.items()):
            digest.update(f"{name} {values.dtype} {values.shape}".encode())
            digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def read_scan_file(path: Path, reading: Reading = ASK_THE_FILE) -> ScanFile:
    """Read and check all of a scan file but the values of its patterns and labels.

    Args:
        path: a file of any format of `ptychopinn formats`.
        reading: what the user states about it.

    Returns:
        What it holds.

    Raises:
        DataFileNotFoundError: no file lies there.
        DataError: it breaks the contract of specs/data.md.
    """
    opened = open_scan(path, reading)
    metadata = opened.pattern_first()
    try:
        facts, patterns = check_scan_facts({**opened.members, _PATTERNS: stand_in(opened.patterns)}, metadata)
    except DataError as error:
        raise DataError(f"{opened.path}: {opened.in_its_words(str(error))}") from error
    facts["metadata"] = dict(opened.metadata)
    found = facts["findings"]
    if is_axis_open(opened.patterns.shape, len(patterns), metadata):
        # Its reader has looked at the light, which does not tell.
        found = (*found, unclear_axis(_PATTERNS, opened.patterns.shape))
    facts["findings"] = opened.findings_in_its_words(found)
    return ScanFile(opened, facts, len(patterns), patterns.shape[1])


def exceeds_memory_part(sources: Sources, reading: Reading = ASK_THE_FILE) -> bool:
    """Return whether scans are so large together that they should be trained on from disk.

    Args:
        sources: files and folders.
        reading: what the user states about them.

    Returns:
        True when their patterns as float32 need more than `MEMORY_PART` of the machine's memory.
    """
    needed = sum(read_scan_file(path, reading).amplitude_bytes for path in list_sources(sources, reading))
    return needed > MEMORY_PART * machine_memory_bytes()


def bytes_to_store(scan: ScanFile, with_labels: bool) -> int:
    """Return how much disk the stored scan needs at most.

    Args:
        scan: the scan.
        with_labels: labels are stored too.

    Returns:
        Bytes.
    """
    value_bytes = stored_dtype(scan.dtype).itemsize + (8 if with_labels else 0)
    obj = scan.facts["objectGuess"]
    return scan.n_patterns * scan.N**2 * value_bytes + (0 if obj is None else obj.nbytes)


def stored_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type patterns are stored in: numbers of up to four bytes as they are, others as float32 amplitudes.

    Args:
        dtype: type of the source.

    Returns:
        A type in the byte order of this machine.
    """
    return dtype.newbyteorder("=") if is_stored_as_it_is(dtype) else np.dtype(np.float32)


def is_stored_as_it_is(dtype: np.dtype[Any]) -> bool:
    """Return whether patterns of a type are stored without a change, so that nobody needs their file again."""
    return (dtype.kind in "iu" and dtype.itemsize <= 4) or (dtype.kind == "f" and dtype.itemsize == 4)
