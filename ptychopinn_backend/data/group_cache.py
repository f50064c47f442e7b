"""Neighbours of every scan point, kept beside the data set and used only for the very same positions."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from ptychopinn_backend.arrays import Float64Array, IntArray
from ptychopinn_backend.errors import DataError, DataFileNotFoundError
from ptychopinn_backend.files.npz import read_npz, write_npz

logger = logging.getLogger(__name__)

_FORMAT: Final = "groups_cache 1"


def cache_path(dataset_path: str | Path, gridsize: int, neighbor_count: int) -> Path:
    """Return where the neighbours of a data set are kept.

    Args:
        dataset_path: the data set.
        gridsize: of the groups.
        neighbor_count: neighbours kept for every scan point.

    Returns:
        `<basename>.g{gridsize}k{neighbor_count}.groups_cache.npz` beside the data set.
    """
    dataset = Path(dataset_path)
    return dataset.with_name(f"{dataset.stem}.g{gridsize}k{neighbor_count}.groups_cache.npz")


def positions_fingerprint(positions: Float64Array, scan_index: IntArray) -> str:
    """Return a digest that differs whenever a position, its order or its scan differs.

    Args:
        positions: (pattern, 2), pixels.
        scan_index: (pattern,).

    Returns:
        SHA-256 in hexadecimal.
    """
    digest = hashlib.sha256(f"{_FORMAT} {positions.shape}".encode())
    digest.update(np.ascontiguousarray(positions, "<f8").tobytes())
    digest.update(np.ascontiguousarray(scan_index, "<i8").tobytes())
    return digest.hexdigest()


def cached_neighbours(
    path: Path, fingerprint: str, shape: tuple[int, int], compute: Callable[[], IntArray]
) -> IntArray:
    """Return the neighbours kept in `path`, or compute and keep them.

    Args:
        path: the cache file; a damaged or foreign one is replaced, with a log line.
        fingerprint: of the positions; a file with another one is replaced.
        shape: (pattern, neighbour) the file must hold.
        compute: finds the neighbours (pattern, neighbour), -1 where there is none.

    Returns:
        (pattern, neighbour) int32.
    """
    kept = _read(path, fingerprint, shape)
    if kept is not None:
        return kept
    neighbours = compute()
    try:
        write_npz(path, {"fingerprint": np.array(fingerprint), "neighbours": neighbours})
    except OSError as error:
        logger.info("Neighbours are not cached: %s cannot be written (%s).", path, error.strerror or error)
    return neighbours


def _read(path: Path, fingerprint: str, shape: tuple[int, int]) -> IntArray | None:
    try:
        members = read_npz(path, ("fingerprint", "neighbours"))
    except DataFileNotFoundError:
        return None
    except DataError as error:
        logger.warning("Neighbour cache is rebuilt: %s", error)
        return None
    if str(members.get("fingerprint")) != fingerprint:
        logger.info("Neighbour cache %s belongs to other positions and is rebuilt.", path)
        return None
    neighbours = members.get("neighbours")
    if (
        neighbours is None
        or neighbours.dtype != np.int32
        or neighbours.shape != shape
        or neighbours.min() < -1
        or neighbours.max() >= shape[0]
    ):
        logger.warning(
            "Neighbour cache %s does not hold %d neighbours of %d points and is rebuilt.", path, *shape[::-1]
        )
        return None
    return neighbours
