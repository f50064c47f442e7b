"""Scan files a data set is made from: what they hold, without reading their patterns, and their patterns in pieces."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray, Complex64Array, Float64Array
from ptychopinn_backend.data.raw_data import PATTERN_KEYS, SCAN_KEYS, refuse_missing_key
from ptychopinn_backend.data.scaling import pattern_slices
from ptychopinn_backend.data.scan_checks import check_scan_facts, parse_metadata
from ptychopinn_backend.data.training_hdf5 import hdf5_pattern_pieces, is_hdf5, pattern_stand_in, read_training_hdf5
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.files.npz import (
    METADATA_KEY,
    directory_entries,
    machine_memory_bytes,
    member_header,
    member_pieces,
    read_npz,
    require_file,
)

SUFFIXES: Final = (".npz", ".h5", ".hdf5")
DESCRIPTION_NAME: Final = "dataset.json"
"""The file that makes a folder a data set."""
LABELS: Final = "Y"
MEMORY_PART: Final = 1 / 4
"""Scans whose patterns together need more than this part of the machine's memory are trained on from disk."""

_PIECE_VALUES: Final = 2**20
_NEIGHBOUR_CACHE: Final = ".groups_cache.npz"

Sources = str | Path | Sequence[str | Path]


@dataclass(frozen=True, eq=False)
class ScanFile:
    """All of a scan file but its patterns and labels."""

    path: Path
    """The file."""
    facts: dict[str, Any]
    """Fields of `RawData` that do not depend on the values of patterns."""
    n_patterns: int
    """Scan points."""
    N: int
    """Pattern side in pixels."""
    dtype: np.dtype[Any]
    """Type of the patterns in the file."""
    pattern_key: str | None
    """Name of the patterns in an NPZ file; None in HDF5."""
    has_labels: bool
    """The file holds `Y`."""

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


def list_sources(sources: Sources) -> list[Path]:
    """Return the scan files that are meant.

    Args:
        sources: a file, a folder (all its NPZ and HDF5 files, by name; neighbour caches left out), or several of both.

    Returns:
        The files, in the order given.

    Raises:
        DataFileNotFoundError: one does not exist.
        DataError: a folder holds none, or nothing was given.
    """
    given = [sources] if isinstance(sources, str | Path) else list(sources)
    files: list[Path] = []
    for path in map(Path, given):
        if (path / DESCRIPTION_NAME).is_file():
            raise DataError(f"The folder {path} is a data set made from scans. Name the scans it was made from.")
        if path.is_dir():
            found = [item for item in sorted(path.iterdir()) if item.suffix in SUFFIXES and item.is_file()]
            found = [item for item in found if not item.name.endswith(_NEIGHBOUR_CACHE)]
            if not found:
                raise DataError(f"The folder {path} holds no scan file ({', '.join(SUFFIXES)}). Name another one.")
            files += found
        else:
            require_file(path)
            files.append(path)
    if not files:
        raise DataError("No scan was given. Name at least one file or folder.")
    return files


def fingerprint(path: Path) -> str:
    """Return a digest that changes when the scan in a file changes, without reading the patterns.

    Of an NPZ file it covers name, size and CRC-32 of every array, so all of its content; a copy has the same. HDF5
    keeps no checksums: it covers all but the patterns, and the file's size and modification time.

    Args:
        path: the file.

    Returns:
        SHA-256 in hexadecimal.

    Raises:
        DataError: the file cannot be read.
    """
    digest = hashlib.sha256()
    if is_hdf5(path):
        status = path.stat()
        digest.update(f"hdf5 {status.st_size} {status.st_mtime_ns}".encode())
        for name, values in sorted(read_training_hdf5(path, patterns=False).items()):
            digest.update(f"{name} {values.dtype} {values.shape}".encode())
            digest.update(np.ascontiguousarray(values).tobytes())
    else:
        digest.update(json.dumps(["npz", path.stat().st_size, directory_entries(path)]).encode())
    return digest.hexdigest()


def read_scan_file(path: Path) -> ScanFile:
    """Read and check all of a scan file but the values of its patterns and labels.

    Args:
        path: NPZ, or HDF5 as Ptychodus writes it.

    Returns:
        What it holds.

    Raises:
        DataFileNotFoundError: no file lies there.
        DataError: it breaks the contract of specs/data.md.
    """
    pattern_key = None
    has_labels = False
    if is_hdf5(path):
        members = read_training_hdf5(path, patterns=False)
        stand_in = pattern_stand_in(path)
    else:
        members = read_npz(path, [key for key in SCAN_KEYS if key not in (*PATTERN_KEYS, LABELS)])
        for key in ("xcoords", "ycoords"):
            if key not in members:
                refuse_missing_key(path, key)
        headers = {key: member_header(path, key) for key in PATTERN_KEYS}
        pattern_key = next((key for key in PATTERN_KEYS if headers[key] is not None), None)
        header = None if pattern_key is None else headers[pattern_key]
        if header is None:
            refuse_missing_key(path, PATTERN_KEYS[0])
        stand_in = np.broadcast_to(np.zeros((), header.dtype), header.shape)
        has_labels = member_header(path, LABELS) is not None
    metadata = parse_metadata(members.pop(METADATA_KEY, None))
    try:
        facts, patterns = check_scan_facts({**members, "diffraction": stand_in}, metadata)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    return ScanFile(path, facts, len(patterns), patterns.shape[1], patterns.dtype, pattern_key, has_labels)


def pattern_pieces(scan: ScanFile) -> Iterator[AnyArray]:
    """Yield the patterns of a file, a few million values at a time.

    Only where the pattern axis varies fastest in the file, the whole of it is read at once.

    Args:
        scan: the file.

    Yields:
        Consecutive patterns (pattern, N, N) in the type of the file.

    Raises:
        DataError: the file is damaged.
    """
    if scan.pattern_key is None:
        yield from hdf5_pattern_pieces(scan.path)
        return
    yield from _first_axis_pieces(scan, scan.pattern_key)


def label_pieces(scan: ScanFile) -> Iterator[AnyArray]:
    """Yield `Y` of a file in pieces along the pattern axis.

    Args:
        scan: an NPZ file that has labels.

    Yields:
        (pattern, N, N) or (pattern, N, N, 1).

    Raises:
        DataError: the file is damaged.
    """
    yield from _first_axis_pieces(scan, LABELS)


def exceeds_memory_part(sources: Sources) -> bool:
    """Return whether scans are so large together that they should be trained on from disk.

    Args:
        sources: files and folders.

    Returns:
        True when their patterns as float32 need more than `MEMORY_PART` of the machine's memory.
    """
    needed = sum(read_scan_file(path).amplitude_bytes for path in list_sources(sources))
    return needed > MEMORY_PART * machine_memory_bytes()


def _first_axis_pieces(scan: ScanFile, key: str) -> Iterator[AnyArray]:
    header = member_header(scan.path, key)
    if header is None:
        refuse_missing_key(scan.path, key)
    pattern_first = key == LABELS or header.shape[0] == scan.n_patterns
    if pattern_first and not header.fortran_order:
        yield from member_pieces(scan.path, key, _PIECE_VALUES)
    elif not pattern_first and header.fortran_order:
        for piece in member_pieces(scan.path, key, _PIECE_VALUES):
            yield np.swapaxes(piece, 1, 2)
    else:
        whole = read_npz(scan.path, [key])[key]
        patterns = whole if pattern_first else np.moveaxis(whole, 2, 0)
        yield from (patterns[piece] for piece in pattern_slices(patterns))


def bytes_to_store(scan: ScanFile, with_labels: bool) -> int:
    """Return how much disk the stored scan needs at most.

    Args:
        scan: the scan.
        with_labels: labels are stored too.

    Returns:
        Bytes.
    """
    value_bytes = stored_dtype(scan.dtype).itemsize + (8 if with_labels else 0)
    return scan.n_patterns * scan.N**2 * value_bytes


def stored_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type patterns are stored in: small whole numbers as they are, all else as float32 amplitudes.

    Args:
        dtype: type of the source.

    Returns:
        A type in the byte order of this machine.
    """
    small = dtype.kind in "iu" and dtype.itemsize <= 2
    return dtype.newbyteorder("=") if small else np.dtype(np.float32)
