"""NPZ files read without trusting them, and written atomically.

Nothing in a file is unpickled, and nothing is unpacked before its declared size has been checked.
"""

from __future__ import annotations

import math
import os
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.atomic_file import atomic_file
from ptychopinn_backend.errors import DataError, DataFileNotFoundError

MAX_UNPACKED_BYTES: Final = 64 * 2**30
"""The arrays taken from one file may need this much memory, or all the machine has if that is less."""

METADATA_KEY: Final = "_metadata"
_BROKEN_ZIP: Final = (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error)
_BROKEN_MEMBER: Final = (*_BROKEN_ZIP, zlib.error, EOFError, OSError, RuntimeError, tokenize.TokenError)
_SUFFIX = ".npy"


def member_names(path: Path) -> list[str]:
    """Return the names of the arrays in an NPZ file, in file order.

    Args:
        path: the file.

    Returns:
        Names without the '.npy' of the zip members.

    Raises:
        DataFileNotFoundError: no file lies there.
        DataError: the file is a folder, is not a zip archive, or is cut short.
    """
    with _open_zip(path) as archive:
        return [info.filename.removesuffix(_SUFFIX) for info in archive.infolist() if _is_array(info)]


def read_npz(path: Path, keys: Collection[str], max_bytes: int | None = None) -> dict[str, AnyArray]:
    """Read the arrays named in `keys` from an NPZ file; names the file does not hold are left out.

    Args:
        path: the file.
        keys: names to read; everything else in the file stays packed.
        max_bytes: limit of the unpacked arrays together; None means `MAX_UNPACKED_BYTES` or the machine's memory.

    Returns:
        The arrays found, by name. A pickled `_metadata` is skipped with one warning.

    Raises:
        DataFileNotFoundError: no file lies there.
        DataError: the file is not an NPZ, is damaged, declares more than the limit, or holds Python objects.
    """
    limit = min(MAX_UNPACKED_BYTES, _machine_memory_bytes()) if max_bytes is None else max_bytes
    arrays: dict[str, AnyArray] = {}
    with _open_zip(path) as archive:
        wanted = {
            info.filename.removesuffix(_SUFFIX): info
            for info in archive.infolist()
            if _is_array(info) and info.filename.removesuffix(_SUFFIX) in keys
        }
        declared = sum(info.file_size for info in wanted.values())
        if declared > limit:
            raise DataError(
                f"{path} declares {declared / 2**30:.3g} GiB of arrays; at most {limit / 2**30:.3g} GiB are unpacked. "
                "Split the scan into smaller files, or check where the file comes from."
            )
        for key, info in wanted.items():
            array = _read_member(archive, info, key, path)
            if array is not None:
                arrays[key] = array
    return arrays


def write_npz(path: Path, members: Mapping[str, Any]) -> None:
    """Write arrays as an uncompressed NPZ file; a reader sees the whole file or the one before it.

    Args:
        path: file to write; its folder must exist.
        members: arrays by name.

    Raises:
        OSError: the folder cannot be written.
    """
    with atomic_file(path) as stream:
        np.savez(stream, **dict(members))


def _is_array(info: zipfile.ZipInfo) -> bool:
    return info.filename.endswith(_SUFFIX)


def _open_zip(path: Path) -> zipfile.ZipFile:
    if not path.exists():
        raise DataFileNotFoundError(f"{path} does not exist; a scan is read from an NPZ file. Check the path.")
    if not path.is_file():
        raise DataError(f"{path} is not a file; a scan is read from an NPZ file. Name a file inside it.")
    try:
        return zipfile.ZipFile(path)
    except PermissionError as error:
        raise DataError(f"{path} cannot be opened ({error.strerror}). Make it readable first.") from error
    except _BROKEN_ZIP as error:
        with path.open("rb") as stream:
            starts_as_zip = stream.read(2) == b"PK"
        size = path.stat().st_size
        if starts_as_zip:
            message = (
                f"{path} is cut short or damaged: its {size} bytes end in no zip directory. Copy or write it again."
            )
        else:
            message = f"{path} is not an NPZ file ({size} bytes, not a zip archive). Write it with numpy.savez."
        raise DataError(message) from error


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, key: str, path: Path) -> AnyArray | None:
    try:
        with archive.open(info) as stream:
            shape, dtype = _read_header(stream)
            header_bytes = stream.tell()
        if dtype.hasobject:
            _refuse_objects(key, path)
            return None
        if header_bytes + math.prod(shape) * dtype.itemsize != info.file_size:
            raise ValueError(f"its header declares shape {shape} of {dtype}, its size is {info.file_size} bytes")
        with archive.open(info) as stream:
            array: AnyArray = np.lib.format.read_array(stream, allow_pickle=False)
    except DataError:
        raise
    except _BROKEN_MEMBER as error:
        raise DataError(f"'{key}' in {path} is damaged: {error}. Copy or write the file again.") from error
    return array


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"array format version {version} is not 1.0 or 2.0")
    shape, _, dtype = readers[version](stream)
    return shape, dtype


def _refuse_objects(key: str, path: Path) -> None:
    if key != METADATA_KEY:
        raise DataError(
            f"'{key}' in {path} is an array of Python objects, which are never unpickled. "
            "Store it as a plain numeric array."
        )
    warnings.warn(
        f"'{METADATA_KEY}' in {path} is a pickled object and was skipped: pickles are never opened. "
        "Store it as JSON text to have it read.",
        UserWarning,
        stacklevel=2,
    )


def _machine_memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return MAX_UNPACKED_BYTES
