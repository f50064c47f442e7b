"""Held-out patterns of a data set on disk, and the groups without any of them."""

from __future__ import annotations

import logging
from typing import NamedTuple

import numpy as np

from ptychopinn_backend.arrays import IntArray
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.data.dataset import ScanDataset
from ptychopinn_backend.data.held_out import MOST_COPIED_BYTES, held_out_of_objects
from ptychopinn_backend.data.raw_data import RawData

logger = logging.getLogger(__name__)


class HeldOut(NamedTuple):
    """A scan with the patterns that training does not see."""

    scan: RawData
    """The whole scan."""
    rows: IntArray
    """Rows of the held-out patterns in the scan (held out,)."""


def without_held_out(dataset: ScanDataset, fraction: float) -> tuple[PtychoDataContainer, tuple[HeldOut, ...]]:
    """Hold out patterns of a data set, and leave out the groups that contain one of them.

    The scans with held-out patterns are read into memory, as long as they take at most `MOST_COPIED_BYTES` together. No
    pattern of any other scan is held out.

    Args:
        dataset: the data set; its groups were drawn from all patterns.
        fraction: part of the patterns to hold out; 0 holds none out.

    Returns:
        The groups to train on, and the held-out patterns. If no group would be left, these are all groups and no
        patterns.
    """
    left = MOST_COPIED_BYTES
    judges: list[HeldOut] = []
    free = np.ones(dataset.n_groups, bool)
    for index, stored in enumerate(dataset.scans if fraction > 0 else ()):
        size = 4 * int(np.prod(stored.patterns.shape))
        if size > left:
            logger.info("%s is too large for memory: no pattern of it is held out.", dataset.names[index])
            continue
        scan = dataset.scan(index)
        rows = held_out_of_objects(scan.positions_xy, scan.scan_index, fraction)
        if len(rows):
            free &= (dataset.scan_index != index) | ~np.isin(dataset.pattern_rows, rows).any(axis=1)
            judges.append(HeldOut(scan, rows))
            left -= size
    if not judges or not free.any():
        return dataset, ()
    return dataset.subset(np.flatnonzero(free)), tuple(judges)
