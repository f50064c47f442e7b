"""A scan of a data set as a scan again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.data.dataset.sources import MEMORY_PART
from ptychopinn_backend.data.dataset.stored_rows import StoredRows
from ptychopinn_backend.data.dataset.stored_scan import StoredScan
from ptychopinn_backend.data.mapped_patterns import mapped_room
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.scaling import pattern_slices
from ptychopinn_backend.files.npz import machine_memory_bytes


def whole_scan(stored: StoredScan) -> RawData:
    """Return a scan of a data set as a scan.

    Args:
        stored: the scan.

    Returns:
        All of its patterns, as amplitudes, and what its file said besides.

    Raises:
        DataError: a file was altered since the data set was made.

    Warns:
        ScanWarning: what was found wrong with the scan when it was stored.
    """
    stored.tell()
    labels = None if stored.labels is None else _read_all(stored.labels, np.empty(stored.labels.shape, np.complex64))
    return replace(
        without_patterns(stored),
        diff3d=_read_all(stored.patterns, _room(stored.patterns.shape)),
        objectGuess=stored.read_object(),
        Y=labels,
    )


def without_patterns(stored: StoredScan) -> RawData:
    """Return a scan of a data set without what is large: patterns, which are 0 and need no memory, object and labels.

    Args:
        stored: the scan.

    Returns:
        What its file said besides.
    """
    return RawData(
        xcoords=stored.xcoords,
        ycoords=stored.ycoords,
        diff3d=np.broadcast_to(np.float32(0), stored.patterns.shape),
        scan_index=stored.scan_index,
        point_index=stored.point_index,
        probeGuess=stored.probeGuess,
        bad_pixels=stored.bad_pixels,
        xcoords_start=stored.xcoords_start,
        ycoords_start=stored.ycoords_start,
        measured_as_counts=stored.measured_as_counts,
        metadata=dict(stored.metadata),
        findings=stored.findings,
    )


def moved(scan: RawData, shift_px: float) -> RawData:
    """Return a scan whose positions are moved along both axes.

    Args:
        scan: the scan.
        shift_px: added to all positions, nominal ones too.

    Returns:
        The scan.
    """
    names = ("xcoords", "ycoords", "xcoords_start", "ycoords_start")
    return replace(scan, **{name: value + shift_px for name in names if (value := getattr(scan, name)) is not None})


def _room(shape: tuple[int, ...]) -> AnyArray:
    """Return an array (pattern, N, N) for amplitudes: in memory, or in a temporary file where that is much."""
    if 4 * int(np.prod(shape)) <= MEMORY_PART * machine_memory_bytes():
        return np.empty(shape, np.float32)
    return mapped_room(shape)


def _read_all(rows: StoredRows, into: AnyArray) -> AnyArray:
    for part in pattern_slices(into):
        into[part] = rows[np.arange(part.start, part.stop)]
    return into
