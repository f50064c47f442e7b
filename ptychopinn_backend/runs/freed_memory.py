"""Memory that a training step frees is kept for the next step."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
"""Parameters of `mallopt`, of <malloc.h>."""
_LARGEST_THRESHOLD_BYTES: Final = 32 << 20
"""What glibc raises its thresholds to by itself: for blocks from there on it asks the system every time."""
KEPT_BYTES: Final = 1 << 30
"""Freed memory that is kept, at most."""
_CHOICES: Final = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_")
"""Environment variables by which users set the same."""


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep up to `KEPT_BYTES` of freed memory, and give them back to the system at the end.

    Activations and gradients of a step are freed at its end and wanted again at once. The GNU C library hands some of
    that back to the system in between, which then fills new pages with zeros: up to a sixth of a step. Nothing is
    done with another C library, nor where the environment sets the thresholds of `malloc` already.
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
        # glibc keeps to twice the size of a block that it asks the system for.
        library.mallopt(_TRIM_THRESHOLD, 2 * _LARGEST_THRESHOLD_BYTES)
        library.malloc_trim(0)


def _gnu_c_library() -> ctypes.CDLL | None:
    if any(os.environ.get(name) for name in _CHOICES) or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return None
    if sys.platform != "linux" or "CS_GNU_LIBC_VERSION" not in os.confstr_names:
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
