"""What a virtual data set of HDF5 is put together from: every block of its sources, and frames that have none."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray, BoolArray

BLOCK: Final = "%b"
"""In the name of a source: the number of a block."""
_LOOKED_AHEAD: Final = 16
"""Blocks after the last one that are looked for, in case one between them is gone."""


def is_numbered(source: Any) -> bool:
    """Return whether a source stands for blocks of which the names hold a number."""
    return BLOCK in source.file_name or BLOCK in source.dset_name


def named_block(source: Any, number: int) -> tuple[str, str]:
    """Return the names of the file and of the data set of one block; those of a source without numbers as they are."""
    return source.file_name.replace(BLOCK, str(number)), source.dset_name.replace(BLOCK, str(number))


def block_numbers(source: Any, shape: tuple[int, ...]) -> range:
    """Return the numbers of the blocks that a source gives to a virtual data set.

    Args:
        source: one of `h5py.Dataset.virtual_sources`.
        shape: of the virtual data set as it is now: HDF5 ends it at the first block that is gone.

    Returns:
        Numbers from 0 on; only 0 for a source without numbers.
    """
    if not is_numbered(source):
        return range(1)
    start, stride, count, _ = source.vspace.get_regular_hyperslab()
    blocks = [
        math.ceil((length - first) / step)
        for length, first, step, number in zip(shape, start, stride, count, strict=True)
        if _is_open(number)
    ]
    return range(max(1, *blocks)) if blocks else range(1)


def numbers_after(numbers: range) -> range:
    """Return the numbers of blocks behind the first one that is missing."""
    return range(numbers.stop + 1, numbers.stop + 1 + _LOOKED_AHEAD)


def is_unlimited(space: Any) -> bool:
    """Return whether a selection goes on as far as there are values."""
    import h5py

    if space.get_select_type() != h5py.h5s.SEL_HYPERSLABS or not space.is_regular_hyperslab():
        return False
    _, _, count, block = space.get_regular_hyperslab()
    return any(_is_open(number) for number in (*count, *block))


def frames_of(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes of a data set that count its images, or its numbers where it has one axis."""
    return shape if len(shape) == 1 else shape[:-2]


def frames_without_source(shape: tuple[int, ...], sources: list[Any]) -> int:
    """Return how many frames of a virtual data set no source is mapped to.

    Args:
        shape: of the virtual data set, images in the last two axes.
        sources: its `h5py.Dataset.virtual_sources`.

    Returns:
        Frames of which nothing at all is mapped; gaps within a frame are those of the detector.
    """
    covered = np.zeros(frames_of(shape), np.bool_)
    for source in sources:
        _mark(covered, source.vspace)
    return int((~covered).sum())


def _mark(covered: BoolArray, space: Any) -> None:
    import h5py

    if space.get_select_type() != h5py.h5s.SEL_HYPERSLABS:
        covered[...] = True
    elif space.is_regular_hyperslab():
        covered[np.ix_(*_chosen(covered.shape, *space.get_regular_hyperslab()))] = True
    else:
        for first, last in np.asarray(space.get_select_hyper_blocklist()):
            covered[tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))[: covered.ndim]] = True


def _chosen(
    shape: tuple[int, ...],
    start: tuple[int, ...],
    stride: tuple[int, ...],
    count: tuple[int, ...],
    block: tuple[int, ...],
) -> list[AnyArray]:
    """Return the indexes that a regular selection takes along each axis."""
    chosen = []
    for length, first, step, number, width in zip(shape, start, stride, count, block, strict=False):
        if _is_open(width):
            chosen.append(np.arange(first, length))
            continue
        number = math.ceil(max(0, length - first) / step) if _is_open(number) else number
        places = (first + step * np.arange(number)[:, np.newaxis] + np.arange(width)).ravel()
        chosen.append(places[places < length])
    return chosen


def _is_open(number: int) -> bool:
    """Return whether a count is that of an axis without an end."""
    return number < 0 or number >= 2**62
