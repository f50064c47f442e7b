"""One scan of a data set: converted to disk piece by piece, and opened again."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray, BoolArray, Complex64Array, Float64Array, IntArray
from ptychopinn_backend.config.checks import require_choice
from ptychopinn_backend.data.dataset.options import DatasetOptions
from ptychopinn_backend.data.dataset.sources import ScanFile, stored_dtype
from ptychopinn_backend.data.dataset.stored_rows import StoredRows, row_writer
from ptychopinn_backend.data.decisions import tell
from ptychopinn_backend.data.labels import label_patches, require_label_source
from ptychopinn_backend.data.measurement import (
    AMPLITUDES,
    COUNTS,
    NORMALISED,
    restoring_factor,
    seen_measurement,
    stated_measurement,
    stated_photons,
    to_amplitudes,
)
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.scaling import count_photons, pattern_slices
from ptychopinn_backend.data.scan_checks import (
    check_bad_pixels,
    check_label_patches,
    check_pattern_values,
    check_positions,
    check_probe,
    decisions,
    parse_metadata,
)
from ptychopinn_backend.data.scan_index import check_scan_index
from ptychopinn_backend.errors import ConfigError, DataError
from ptychopinn_backend.files.npz import METADATA_KEY, read_npz, write_npz

logger = logging.getLogger(__name__)

_NEEDED: Final = ("xcoords", "ycoords", "scan_index", "probeGuess", "photons")
_OPTIONAL: Final = ("xcoords_start", "ycoords_start", "bad_pixels")


@dataclass(frozen=True, eq=False)
class StoredScan:
    """A scan of a data set; its patterns and labels stay on disk."""

    name: str
    """Name of the file it came from."""
    xcoords: Float64Array
    """Columns of the scan positions (pattern,), object pixels."""
    ycoords: Float64Array
    """Rows of the scan positions (pattern,), object pixels."""
    scan_index: IntArray
    """Object every scan point belongs to (pattern,)."""
    probeGuess: Complex64Array
    """Probe as given (mode, N, N)."""
    photons: Float64Array
    """Sum of squared amplitudes of every pattern (pattern,)."""
    patterns: StoredRows
    """Amplitudes (pattern, N, N)."""
    labels: StoredRows | None
    """Ground-truth patches (pattern, N, N), or None."""
    bad_pixels: BoolArray | None = None
    """(N, N), True = bad."""
    xcoords_start: Float64Array | None = None
    """Nominal columns (pattern,)."""
    ycoords_start: Float64Array | None = None
    """Nominal rows (pattern,)."""


def store_scan(scan: ScanFile, folder: Path, index: int, options: DatasetOptions) -> None:
    """Convert a scan file into the files of a data set; no more than a few million values are in memory at a time.

    Args:
        scan: the file.
        folder: folder to write to.
        index: number of the scan in the data set.
        options: measurement and labels.

    Raises:
        DataError: the values break the contract of specs/data.md, or labels are missing.
        OSError: the disk is full or refuses.
    """
    try:
        described = _store_patterns(scan, _pattern_path(folder, index), options)
        if options.with_labels:
            _store_labels(scan, _label_path(folder, index))
    except DataError as error:
        named = str(error) if str(scan.path) in str(error) else f"{scan.path}: {error}"
        raise DataError(named) from error
    tell((*scan.opened.notes, *decisions(scan.opened.members, scan.facts)), scan.path)
    members = {name: scan.facts.get(name) for name in (*_NEEDED, *_OPTIONAL)}
    members["photons"] = described.pop("photons")
    members[METADATA_KEY] = np.array(json.dumps(described))
    write_npz(_facts_path(folder, index), {name: values for name, values in members.items() if values is not None})
    logger.info("Stored %d patterns of %d x %d pixels from %s.", scan.n_patterns, scan.N, scan.N, scan.path)


def open_stored_scan(folder: Path, index: int) -> StoredScan:
    """Open a scan of a data set.

    Args:
        folder: folder of its files.
        index: number of the scan.

    Returns:
        The scan.

    Raises:
        DataError: a file is missing or damaged.
    """
    members = read_npz(_facts_path(folder, index), (*_NEEDED, *_OPTIONAL, METADATA_KEY))
    described = parse_metadata(members.pop(METADATA_KEY, None))
    missing = [name for name in _NEEDED if name not in members]
    if missing or not {"name", "measurement", "labels"} <= described.keys():
        raise DataError(
            f"{_facts_path(folder, index)} lacks {missing or 'its description'}. Create the data set again."
        )
    patterns = StoredRows.open(_pattern_path(folder, index), described["measurement"])
    if patterns.shape[0] != len(members["xcoords"]):
        raise DataError(
            f"{patterns.path} holds {patterns.shape[0]} patterns for {len(members['xcoords'])} scan points. "
            "Create the data set again."
        )
    labels = StoredRows.open(_label_path(folder, index)) if described["labels"] else None
    try:
        facts = _checked_facts(members, patterns.shape)
        require_choice("measurement", described["measurement"], (COUNTS, AMPLITUDES))
    except (DataError, ConfigError) as error:
        raise DataError(f"{_facts_path(folder, index)}: {error} Create the data set again.") from error
    return StoredScan(name=str(described["name"]), patterns=patterns, labels=labels, **facts)


def _checked_facts(members: Mapping[str, AnyArray], shape: tuple[int, ...]) -> dict[str, Any]:
    per_point = ("xcoords", "ycoords", "photons", "xcoords_start", "ycoords_start")
    return {
        **{name: check_positions(name, members[name], shape[0]) for name in per_point if name in members},
        "scan_index": check_scan_index(members["scan_index"], shape[0], "objects")["scan_index"],
        "probeGuess": check_probe(members["probeGuess"], shape[1]),
        "bad_pixels": check_bad_pixels(members.get("bad_pixels")),
    }


def _store_patterns(scan: ScanFile, path: Path, options: DatasetOptions) -> dict[str, Any]:
    bad = scan.facts["bad_pixels"]
    good = None if bad is None else ~bad
    metadata = scan.facts["metadata"]
    kind = stated_measurement(options.measurement or options.reading.measurement, metadata)
    if kind is None:
        kind = seen_measurement(_checked_pieces(scan, good), good, stated_photons(metadata))
    dtype = np.dtype(np.float32) if kind == NORMALISED else stored_dtype(scan.dtype)
    factor = np.float32(restoring_factor(metadata, _mean_photons(scan, good)) if kind == NORMALISED else 1)
    photons = np.empty(scan.n_patterns, np.float64)
    done = 0
    with row_writer(path, (scan.n_patterns, scan.N, scan.N), dtype) as append:
        for piece in _checked_pieces(scan, good):
            amplitudes = to_amplitudes(piece, kind, good)
            if kind == NORMALISED:
                amplitudes = amplitudes * factor
            photons[done : done + len(piece)] = count_photons(amplitudes)
            done += len(piece)
            append(amplitudes if dtype.kind == "f" else piece if good is None else piece * good)
    if done != scan.n_patterns:
        raise DataError(f"it holds {done} patterns where it declares {scan.n_patterns}. Write the file again.")
    return {
        "name": scan.path.name,
        "measurement": AMPLITUDES if dtype.kind == "f" else kind,
        "labels": options.with_labels,
        "photons": photons,
    }


def _mean_photons(scan: ScanFile, good: BoolArray | None) -> float:
    total = sum(float(count_photons(to_amplitudes(piece, AMPLITUDES, good)).sum()) for piece in _pieces(scan))
    return total / scan.n_patterns


def _pieces(scan: ScanFile) -> Iterator[AnyArray]:
    """Yield the patterns of a file, a few million values at a time."""
    for piece in scan.opened.patterns.pieces():
        yield from (piece[part] for part in pattern_slices(piece))


def _checked_pieces(scan: ScanFile, good_pixels: BoolArray | None) -> Iterator[AnyArray]:
    first = 0
    for piece in _pieces(scan):
        check_pattern_values("diffraction", piece, good_pixels, first)
        first += len(piece)
        yield piece


def _store_labels(scan: ScanFile, path: Path) -> None:
    shape = (scan.n_patterns, scan.N, scan.N)
    with row_writer(path, shape, np.dtype(np.complex64)) as append:
        for piece in _label_pieces(scan):
            append(piece)


def _label_pieces(scan: ScanFile) -> Iterator[Complex64Array]:
    if scan.opened.labels is not None:
        done = 0
        for piece in scan.opened.labels.pieces():
            patches = check_label_patches(piece, len(piece), scan.N)
            if patches is not None:
                done += len(patches)
                yield patches
        if done != scan.n_patterns:
            raise DataError(f"Y holds {done} patches for {scan.n_patterns} scan points. Give one a scan point.")
        return
    no_patterns = np.broadcast_to(np.float32(0), (scan.n_patterns, scan.N, scan.N))
    raw = RawData(diff3d=no_patterns, **scan.facts)
    require_label_source(raw)
    for points in pattern_slices(no_patterns):
        patches = label_patches(raw, np.arange(points.start, points.stop))
        if patches is not None:
            yield patches


def _facts_path(folder: Path, index: int) -> Path:
    return folder / f"scan-{index:05d}.npz"


def _pattern_path(folder: Path, index: int) -> Path:
    return folder / f"scan-{index:05d}-patterns.npy"


def _label_path(folder: Path, index: int) -> Path:
    return folder / f"scan-{index:05d}-labels.npy"
