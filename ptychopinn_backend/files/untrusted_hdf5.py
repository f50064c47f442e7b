"""HDF5 files read without trusting them, as far as the HDF5 library itself does not see to it.

The library is written in C and believes what a file says of itself: a list of free space that leads back to itself has
it fill the memory without end, and numbers of an odd layout have it write beyond its buffers. So every read passes a
stream that knows such places, and only numbers of the usual layouts are read.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from ptychopinn_backend.arrays import is_plain_dtype

_HEAP: Final = struct.Struct("<4sB3xQQQ")
"""Local heap: signature, version, bytes of its data, first free block (offset in the data), address of the data."""
_FREE_BLOCK: Final = struct.Struct("<QQ")
"""Offset of the next free block, bytes of this one."""
_LAST_FREE_BLOCK: Final = 1
_BYTE_SHUFFLING_FILTERS: Final = {4: "szip", 5: "nbit", 6: "scaleoffset"}
"""Filters of the library that take sizes from the file and do not compare them."""
_FIRST_PLUGIN: Final = 256
"""Numbers from here on are those of filters that do not belong to the library."""
PLUGINS: Final = {
    305: "LZO",
    307: "bzip2",
    32000: "LZF",
    32001: "Blosc",
    32004: "LZ4",
    32008: "Bitshuffle",
    32013: "ZFP",
    32015: "Zstandard",
    32017: "SZ",
    32018: "FCIDECOMP",
    32019: "JPEG",
    32022: "Delta-Rice",
    32024: "SZ3",
    32026: "Blosc2",
    32028: "SPERR",
    32033: "HTJ2K",
}
"""Number of a registered filter -> its name."""
MAX_RATIO: Final = 1032
"""Declared over stored size a dataset may have; no filter of the library packs tighter."""
MAX_PLUGIN_RATIO: Final = 40_000
"""The same with filters of plug-ins: Zstandard packs 128 KiB of zeros into four bytes."""


@contextmanager
def open_hdf5(stream: io.BufferedIOBase) -> Iterator[Any]:
    """Open an HDF5 file for reading.

    Args:
        stream: the file, seekable; stays open.

    Yields:
        The `h5py.File`.

    Raises:
        ValueError: the file refers beyond its end, or to itself.
        OSError: it is no HDF5 file. h5py reports other damage by almost any class of exception.
    """
    import h5py

    with _CheckedStream(stream) as checked, h5py.File(checked, "r") as file:
        yield file


def why_unreadable(dataset: Any) -> str | None:
    """Return why values of a dataset should not be read, or None where they may be.

    Args:
        dataset: an open `h5py.Dataset`.

    Returns:
        What it holds instead of plain numbers, or which filter is missing, as the end of a sentence.
    """
    import h5py

    if not is_plain_dtype(dataset.dtype):
        return f"it holds {str(dataset.dtype)[:60]} instead of numbers"
    if not dataset.id.get_type().equal(h5py.h5t.py_create(dataset.dtype, logical=True)):
        return "its numbers are laid out in an unusual way"
    for number, name in _filters(dataset):
        if number in _BYTE_SHUFFLING_FILTERS:
            return f"it is packed with the filter {_BYTE_SHUFFLING_FILTERS[number]}"
        if not _is_available(number):
            return (
                f"it is packed with the HDF5 filter {number}{name}, which is not installed here; "
                "h5repack -f GZIP=4 OLD NEW packs it with one that is always there"
            )
    return None


def packing_limit(dataset: Any) -> int:
    """Return how many times as many bytes as it stores an open `h5py.Dataset` may declare, by its filters."""
    return MAX_PLUGIN_RATIO if any(number >= _FIRST_PLUGIN for number, _ in _filters(dataset)) else MAX_RATIO


def _filters(dataset: Any) -> list[tuple[int, str]]:
    """Return number and name of the filters a dataset is packed with."""
    storage = dataset.id.get_create_plist()
    found = []
    for index in range(storage.get_nfilters()):
        number = storage.get_filter(index)[0]
        found.append((number, f" ({PLUGINS[number]})" if number in PLUGINS else ""))
    return found


def _is_available(number: int) -> bool:
    """Return whether the library can unpack a filter; those of hdf5plugin are loaded when first asked for."""
    import h5py

    if number >= _FIRST_PLUGIN and not h5py.h5z.filter_avail(number):
        import hdf5plugin  # noqa: F401 - importing it makes its filters known to the library
    return bool(h5py.h5z.filter_avail(number))


class _CheckedStream(io.RawIOBase):
    """Passes reads on that stay within the file and do not lead the HDF5 library in a circle."""

    def __init__(self, stream: io.BufferedIOBase) -> None:
        self._stream = stream
        self._size = stream.seek(0, io.SEEK_END)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def readinto(self, target: Any) -> int:
        view = memoryview(target).cast("B")
        end = self._stream.tell() + len(view)
        if end > self._size:
            raise ValueError(f"it refers to byte {end} of {self._size}")
        read = self._stream.readinto(view)
        if bytes(view[:4]) == b"HEAP" and len(view) >= _HEAP.size:
            self._require_ending_free_list(*_HEAP.unpack_from(view)[2:])
        return read

    def _require_ending_free_list(self, size: int, block: int, address: int) -> None:
        seen: set[int] = set()
        while block != _LAST_FREE_BLOCK:
            if block in seen:
                raise ValueError("its list of free space leads back to itself")
            seen.add(block)
            if block + _FREE_BLOCK.size > size or address + block + _FREE_BLOCK.size > self._size:
                return  # The library notices.
            self._stream.seek(address + block)
            block = _FREE_BLOCK.unpack(self._stream.read(_FREE_BLOCK.size))[0]
