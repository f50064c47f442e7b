"""Variables of a TensorFlow checkpoint, without TensorFlow: `variables.index` and `variables.data-...`.

The index is a sorted table in the format of LevelDB, whose values are protocol buffers that say where in the data each
array lies. The reader of TensorFlow ends the process where such a file is malformed; this one checks every number.
Source: `tensorflow/core/protobuf/tensor_bundle.proto`, `tensorflow/core/lib/io/format.h`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from ptychopinn_backend.archive.protocol_buffers import fields_of, first_of, read_varint
from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.errors import DamagedArchiveError

MAX_ENTRIES: Final = 20_000
"""Entries an index may have."""
_MAGIC: Final = 0xDB4775248B80FB57
_FOOTER_BYTES: Final = 48
_TRAILER_BYTES: Final = 5
"""Kind of compression and checksum after every block."""
_TYPES: Final = {1: "f4", 2: "f8", 19: "f2"}
"""Number of a type in TensorFlow -> kind and bytes; other arrays are no weights."""
_MAX_RANK: Final = 8


@dataclass(frozen=True)
class _Entry:
    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    is_in_slices: bool


def read_bundle(index: bytes, shard: Callable[[int, int], bytes]) -> dict[str, AnyArray]:
    """Return the floating-point variables of a checkpoint.

    Args:
        index: content of the index.
        shard: returns the content of a data file, given its number and how many there are.

    Returns:
        Name -> array, in the order of the index.

    Raises:
        DamagedArchiveError: it is malformed.
    """
    try:
        entries = dict(_table(index))
        shards = first_of(fields_of(entries.pop(b"", b"")), 1, 1)
        contents: dict[int, bytes] = {}
        arrays: dict[str, AnyArray] = {}
        for name, value in entries.items():
            entry = _entry(value)
            if entry.dtype not in _TYPES or entry.is_in_slices:
                continue
            if entry.shard not in contents:
                contents[entry.shard] = shard(entry.shard, shards)
            arrays[name.decode()] = _array(entry, contents[entry.shard])
    except (ValueError, IndexError, OverflowError) as error:
        raise DamagedArchiveError(f"its checkpoint of TensorFlow is malformed ({str(error)[:80]})") from error
    return arrays


def _array(entry: _Entry, content: bytes) -> AnyArray:
    dtype = np.dtype(_TYPES[entry.dtype]).newbyteorder("<")
    piece = content[entry.offset : entry.offset + entry.size]
    if (
        len(entry.shape) > _MAX_RANK
        or math.prod(entry.shape) * dtype.itemsize != entry.size
        or len(piece) != entry.size
    ):
        raise ValueError(f"an array of shape {entry.shape} in {len(piece)} bytes")
    return np.frombuffer(piece, dtype).reshape(entry.shape)


def _table(image: bytes) -> Iterator[tuple[bytes, bytes]]:
    footer = image[-_FOOTER_BYTES:]
    if len(footer) < _FOOTER_BYTES or int.from_bytes(footer[-8:], "little") != _MAGIC:
        raise ValueError("its index does not end as one")
    _, at = _handle(footer, 0)
    (offset, size), _ = _handle(footer, at)
    count = 0
    for _, handle in _block(image, offset, size):
        where, _ = _handle(handle, 0)
        for entry in _block(image, *where):
            count += 1
            if count > MAX_ENTRIES:
                raise ValueError("its index is longer than that of any model")
            yield entry


def _handle(image: bytes, at: int) -> tuple[tuple[int, int], int]:
    offset, at = read_varint(image, at)
    size, at = read_varint(image, at)
    return (offset, size), at


def _block(image: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    block = image[offset : offset + size + _TRAILER_BYTES]
    if len(block) != size + _TRAILER_BYTES or size < 4:
        raise ValueError("a block beyond the end")
    if block[size] != 0:
        raise ValueError("a compressed block")
    restarts = int.from_bytes(block[size - 4 : size], "little")
    end = size - 4 * (restarts + 1)
    if end < 0:
        raise ValueError("a block of restarts alone")
    at, key = 0, b""
    while at < end:
        shared, at = read_varint(block, at)
        own, at = read_varint(block, at)
        length, at = read_varint(block, at)
        if shared > len(key) or at + own + length > end:
            raise ValueError("an entry beyond its block")
        key = key[:shared] + block[at : at + own]
        yield key, block[at + own : at + own + length]
        at += own + length


def _entry(image: bytes) -> _Entry:
    fields = fields_of(image)
    shape = []
    for number, dimension in fields_of(first_of(fields, 2, b"")):
        if number == 2:
            shape.append(first_of(fields_of(dimension), 1, 0))
    return _Entry(
        first_of(fields, 1, 0),
        tuple(shape),
        first_of(fields, 3, 0),
        first_of(fields, 4, 0),
        first_of(fields, 5, 0),
        any(number == 7 for number, _ in fields),
    )
