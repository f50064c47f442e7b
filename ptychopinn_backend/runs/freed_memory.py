"""A setting of the C library that keeps the memory of a training step for the next step."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
"""Numbers of these parameters of `mallopt`, from <malloc.h>."""
_LARGEST_THRESHOLD_BYTES: Final = 32 << 20
"""Largest threshold that glibc sets by itself. It asks the system anew for every block of this size or more."""
KEPT_BYTES: Final = 1 << 30
"""Largest amount of freed memory that is kept."""
_CHOICES: Final = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_")
"""Environment variables by which users set the same parameters."""


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep up to `KEPT_BYTES` of freed memory, and give it back to the system at the end.

    A training step frees its activations and gradients at its end, and the next step needs that memory again at once.
    In between, the GNU C library gives a part of it back to the system. The system then fills new pages with zeros,
    which takes up to a sixth of a step. This function does nothing with another C library, or if the environment
    sets the thresholds of `malloc`.
    """
    library = _gnu_c_library()
    if library is None:
        yield
        return
    library.mallopt(_MMAP_THRESHOLD, _LARGEST_THRESHOLD_BYTES)
    library.mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
    try:
        yield
    finally:
        # By itself, glibc sets this threshold to twice the size from which it asks the system for each block.
        library.mallopt(_TRIM_THRESHOLD, 2 * _LARGEST_THRESHOLD_BYTES)
        library.malloc_trim(0)


def _gnu_c_library() -> ctypes.CDLL | None:
    if any(os.environ.get(name) for name in _CHOICES) or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return None
    if sys.platform != "linux" or "CS_GNU_LIBC_VERSION" not in os.confstr_names:
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
