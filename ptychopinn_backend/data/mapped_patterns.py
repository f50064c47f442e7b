"""Patterns in files without a name, whose pages the system may take out of memory."""

from __future__ import annotations

import os
import tempfile
from typing import Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray, IntArray
from ptychopinn_backend.data.scaling import pattern_slices

_SMALL_BYTES: Final = 64 << 20
"""Patterns of fewer bytes are copied into memory: a file costs more than it saves."""


def mapped_room(shape: tuple[int, ...]) -> AnyArray:
    """Return zeros in a temporary file, which is gone with the array.

    Args:
        shape: (pattern, N, N).

    Returns:
        float32, mapped.

    Raises:
        OSError: the folder for temporary files has no room.
    """
    with tempfile.TemporaryFile() as file:
        if hasattr(os, "posix_fallocate"):
            # A page without room on the disk would end the process, not raise.
            os.posix_fallocate(file.fileno(), 0, max(1, 4 * int(np.prod(shape))))
        return np.memmap(file, np.float32, "w+", shape=shape)


def selected_patterns(patterns: AnyArray, rows: IntArray) -> AnyArray:
    """Return some of the patterns; many of those that lie in a file come in another one, so that they need no memory.

    Args:
        patterns: (pattern, N, N).
        rows: of those to return.

    Returns:
        (row, N, N), a copy.
    """
    if not isinstance(patterns, np.memmap) or len(rows) * patterns[:1].nbytes < _SMALL_BYTES:
        return patterns[rows]
    room = mapped_room((len(rows), *patterns.shape[1:]))
    for part in pattern_slices(room):
        room[part] = patterns[rows[part]]
    return room
