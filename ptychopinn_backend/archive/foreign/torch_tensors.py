"""Files that `torch.save` wrote, without PyTorch: the pickle read inertly, the arrays beside it as plain bytes."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from ptychopinn_backend.archive.container import read_member
from ptychopinn_backend.archive.kinds import PICKLE_IN_CHECKPOINT
from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.errors import DamagedArchiveError
from ptychopinn_backend.files.inert_pickle import GlobalName, Record, read_inert

STORAGE_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "FloatStorage": "f4",
        "DoubleStorage": "f8",
        "HalfStorage": "f2",
        "BFloat16Storage": "u2",
        "LongStorage": "i8",
        "IntStorage": "i4",
        "ShortStorage": "i2",
        "CharStorage": "i1",
        "ByteStorage": "u1",
        "BoolStorage": "?",
    }
)
"""Name of the type of a stored array -> kind and bytes of its numbers; bfloat16 is the upper half of a float32."""
_TENSOR: Final = GlobalName("torch._utils", "_rebuild_tensor_v2")
_PARAMETER: Final = GlobalName("torch._utils", "_rebuild_parameter")
_DICTIONARY: Final = GlobalName("collections", "OrderedDict")
_MAX_RANK: Final = 8


class TorchFile:
    """One such file."""

    def __init__(self, container: zipfile.ZipFile, what: str) -> None:
        """Read the pickle.

        Args:
            container: whose listing is checked.
            what: how messages call the file.

        Raises:
            DamagedArchiveError: the pickle is missing or malformed.
        """
        names = [name for name in container.namelist() if name.endswith(f"/{PICKLE_IN_CHECKPOINT}")]
        if len(names) != 1:
            raise DamagedArchiveError(f"{what} holds {len(names)} pickles of PyTorch instead of one")
        self._container, self._what = container, what
        self._root = names[0].removesuffix(PICKLE_IN_CHECKPOINT)
        self._storages: dict[str, bytes] = {}
        order = f"{self._root}byteorder"
        self._is_big_endian = order in container.namelist() and read_member(container, order) == b"big"
        try:
            self.content: Any = read_inert(read_member(container, names[0]))
        except ValueError as error:
            raise DamagedArchiveError(f"the pickle of {what} cannot be read ({str(error)[:80]})") from error
        """What was saved, arrays as records that `array` reads."""

    def array(self, value: Any, name: str) -> AnyArray:
        """Return a stored array.

        Args:
            value: its record.
            name: how messages call it.

        Returns:
            The numbers, in the order of rows; bfloat16 as float32.

        Raises:
            DamagedArchiveError: the record is malformed, or tells more than is stored.
        """
        try:
            return self._array(value)
        except (ValueError, TypeError, IndexError, KeyError, OverflowError) as error:
            reason = str(error)[:60]
            raise DamagedArchiveError(f"the array '{name[:80]}' of {self._what} is malformed ({reason})") from error

    def _array(self, value: Any) -> AnyArray:
        if isinstance(value, Record) and value.made_by == _PARAMETER:
            value = value.args[0]
        if not isinstance(value, Record) or value.made_by != _TENSOR:
            raise ValueError("no tensor")
        storage, offset, shape, strides = value.args[:4]
        (described,) = storage.args
        marker, kind, key, _, count = described
        if storage.made_by != "persistent_id" or marker != "storage" or not isinstance(key, str):
            raise ValueError("no storage")
        stored = np.dtype(STORAGE_TYPES[kind.name if isinstance(kind, GlobalName) else ""])
        stored = stored.newbyteorder(">" if self._is_big_endian else "<")
        if not (_are_counts((offset, count, *shape, *strides)) and len(shape) == len(strides) <= _MAX_RANK):
            raise ValueError("sizes that are none")
        image = self._bytes(key)
        if count * stored.itemsize != len(image):
            raise ValueError(f"{count} numbers in {len(image)} bytes")
        last = offset + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
        if math.prod(shape) > count or (0 not in shape and last >= count):
            raise ValueError(f"shape {shape} in {count} numbers")
        numbers = np.frombuffer(image, stored)[offset if 0 not in shape else 0 :]
        steps = tuple(stride * stored.itemsize for stride in strides)
        array = np.lib.stride_tricks.as_strided(numbers, tuple(shape), steps, writeable=False)
        if kind.name == "BFloat16Storage":
            return (array.astype(np.uint32) << 16).view(np.float32)
        return np.array(array, stored.newbyteorder("="), order="C")

    def _bytes(self, key: str) -> bytes:
        if key not in self._storages:
            self._storages[key] = read_member(self._container, f"{self._root}data/{key}")
        return self._storages[key]


def dictionary(value: Any) -> dict[Any, Any] | None:
    """Return a dictionary that was saved, an ordered one too; None for anything else."""
    if isinstance(value, Record) and value.made_by == _DICTIONARY:
        return value.entries
    return value if isinstance(value, dict) else None


def _are_counts(values: tuple[Any, ...]) -> bool:
    return all(type(value) is int and 0 <= value < 2**48 for value in values)
