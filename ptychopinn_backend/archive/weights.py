"""The archive's HDF5 member: named arrays in contiguous datasets, written to and read from memory.

Reading follows hard links only and opens only contiguous, unfiltered datasets of plain numbers that fit into the
member itself. So it reaches no other file, loads no filter plug-in, and allocates no more than the member's own size.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import h5py
import numpy as np

from ptychopinn_backend.arrays import AnyArray, is_plain_dtype
from ptychopinn_backend.errors import ArchiveError, DamagedArchiveError, UnsafeArchiveError
from ptychopinn_backend.files.untrusted_hdf5 import open_hdf5, why_unreadable

MAX_OBJECTS: Final = 100_000
"""Groups and datasets an archive may hold."""
MAX_DEPTH: Final = 16
"""Nesting of groups an archive may hold."""
_NAME_PART: Final = re.compile(r"[A-Za-z0-9_\-:+.]{1,128}")


def dump_arrays(arrays: Mapping[str, AnyArray]) -> bytes:
    """Return an HDF5 file image holding `arrays`.

    Args:
        arrays: name -> array of numbers; '/' in a name makes groups.

    Returns:
        The bytes of the file; equal input gives equal bytes.

    Raises:
        ArchiveError: a name or a type that an archive cannot hold.
    """
    image = io.BytesIO()
    with h5py.File(image, "w", libver=("earliest", "v110")) as file:
        for name, array in arrays.items():
            _check_name(name)
            if not is_plain_dtype(array.dtype):
                raise ArchiveError(
                    f"Array '{name}' is of type {array.dtype}; an archive holds bool, integer, float and complex "
                    "numbers up to 64 bits a part. Convert the array first."
                )
            try:
                file.create_dataset(name, data=array)
            except (ValueError, TypeError) as error:
                raise ArchiveError(
                    f"Array '{name}' cannot stand beside the others ({error}). Give each array its own name, none "
                    "of which is a folder of another."
                ) from error
    return image.getvalue()


def load_arrays(image: bytes) -> dict[str, AnyArray]:
    """Return the arrays of an HDF5 file image.

    Args:
        image: the bytes of the file.

    Returns:
        Name -> array, as given to `dump_arrays`, bit for bit.

    Raises:
        DamagedArchiveError: not readable as HDF5.
        UnsafeArchiveError: links to elsewhere, references, pieces kept elsewhere, or sizes beyond the file's own.
    """
    try:
        with open_hdf5(io.BytesIO(image)) as file:
            arrays: dict[str, AnyArray] = {}
            allowed_bytes = len(image)
            for name, dataset in _datasets(file):
                allowed_bytes -= _checked_size(name, dataset)
                if allowed_bytes < 0:
                    raise _unsafe(f"'{name}' declares more data than the file holds")
                arrays[name] = np.asarray(dataset[()])
            return arrays
    except ArchiveError:
        raise
    except Exception as error:
        # h5py reports a malformed file by almost any exception class, AttributeError and SystemError among them.
        raise DamagedArchiveError(
            f"its weights cannot be read as HDF5 ({type(error).__name__}: {str(error)[:200]})"
        ) from error


def root_number(image: bytes, name: str) -> float | None:
    """Return a number that is an attribute of the root of an HDF5 file image.

    Args:
        image: the bytes of the file.
        name: of the attribute.

    Returns:
        The number; None where the file cannot be read, or the attribute is missing or no single real number.
    """
    try:
        with open_hdf5(io.BytesIO(image)) as file:
            if not h5py.h5a.exists(file.id, name.encode()):
                return None
            attribute = h5py.h5a.open(file.id, name.encode())
            # Anything but a number may refer to other places of the file.
            is_number = attribute.get_type().get_class() in (h5py.h5t.FLOAT, h5py.h5t.INTEGER)
            if not is_number or attribute.shape not in ((), (1,)):
                return None
            value = np.empty(attribute.shape, attribute.dtype)
            attribute.read(value)
            return float(value.reshape(-1)[0])
    except Exception:
        # h5py reports a malformed file by almost any exception class, AttributeError and SystemError among them.
        return None


def _datasets(file: Any) -> Iterator[tuple[str, Any]]:
    """Yield (name, dataset) of every dataset reached by hard links, refusing all else before it is opened."""
    pending: list[tuple[str, Any]] = [("", file)]
    seen = 0
    while pending:
        prefix, group = pending.pop()
        for part in group:
            name = f"{prefix}{part}"
            seen += 1
            if seen > MAX_OBJECTS or name.count("/") > MAX_DEPTH:
                raise _unsafe("it holds more, or more deeply nested, objects than any model")
            if not isinstance(group.get(part, getlink=True), h5py.HardLink):
                raise _unsafe(f"'{name}' is a soft or external link")
            member = group[part]
            if isinstance(member, h5py.Group):
                pending.append((f"{name}/", member))
            elif isinstance(member, h5py.Dataset):
                yield name, member
            else:
                raise _unsafe(f"'{name}' is neither a group nor a dataset")


def _checked_size(name: str, dataset: Any) -> int:
    """Return the bytes a dataset declares, after refusing types and storage that reach beyond plain numbers."""
    storage = dataset.id.get_create_plist()
    layout = storage.get_layout()
    if layout not in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT) or storage.get_external_count() or storage.get_nfilters():
        raise _unsafe(f"'{name}' is kept in pieces, filtered or outside the file")
    reason = why_unreadable(dataset)
    if reason is not None:
        raise _unsafe(f"'{name}' cannot be trusted: {reason}")
    if dataset.shape is None:
        raise DamagedArchiveError(f"its array '{name}' has no shape")
    declared: int = math.prod(dataset.shape) * dataset.dtype.itemsize
    return declared


def _check_name(name: str) -> None:
    parts = name.split("/")
    if len(parts) > MAX_DEPTH or any(not _NAME_PART.fullmatch(part) or set(part) == {"."} for part in parts):
        raise ArchiveError(
            f"{name!r} cannot name an array in an archive. Use letters, digits and _-:+. , separated by '/'."
        )


def _unsafe(reason: str) -> UnsafeArchiveError:
    return UnsafeArchiveError(f"its weights hold something that must not be opened: {reason}")
