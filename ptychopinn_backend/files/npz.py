"""NPZ files read without trusting them, and written atomically.

Nothing in a file is unpickled, and nothing is unpacked before its declared size has been checked. Two pickles are read
as plain data, without executing anything: None, which means that an array is absent, and a description.
"""

from __future__ import annotations

import json
import math
import os
import stat
import struct
import warnings
import zipfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.errors import DataError, DataFileNotFoundError
from ptychopinn_backend.files.atomic_file import atomic_file
from ptychopinn_backend.files.inert_pickle import plain_value, read_inert

MAX_UNPACKED_BYTES: Final = 64 * 2**30
"""The arrays taken from one file may need this much memory, or all the machine has if that is less."""

METADATA_KEY: Final = "_metadata"
_BROKEN_ZIP: Final = (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error)
# zipfile and NumPy report a malformed member by almost any class, SyntaxError and TokenError among them.
_BROKEN_MEMBER: Final = Exception
_SUFFIX = ".npy"
_HDF5_SUFFIXES: Final = (".h5", ".hdf5", ".hdf", ".cxi", ".nxs", ".ptyd", ".ptyr", ".nx5")
_HDF5_SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
_LARGEST_PICKLE: Final = 2**24


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
        The arrays found, by name. A pickled `_metadata` comes as JSON text, or is skipped with one warning where it
        holds more than plain data. A pickled None counts as absent.

    Raises:
        DataFileNotFoundError: no file lies there.
        DataError: the file is not an NPZ, is damaged, declares more than the limit, or holds Python objects.
    """
    arrays: dict[str, AnyArray] = {}
    with _open_zip(path) as archive:
        wanted = {
            info.filename.removesuffix(_SUFFIX): info
            for info in archive.infolist()
            if _is_array(info) and info.filename.removesuffix(_SUFFIX) in keys
        }
        require_fits_memory(path, sum(info.file_size for info in wanted.values()), max_bytes)
        for key, info in wanted.items():
            array = _read_member(archive, info, key, path)
            if array is not None:
                arrays[key] = array
    return arrays


def require_fits_memory(path: Path, declared: int, max_bytes: int | None = None) -> None:
    """Refuse a file whose arrays would need too much memory.

    Args:
        path: the file.
        declared: bytes of the arrays once unpacked.
        max_bytes: limit; None means `MAX_UNPACKED_BYTES` or the machine's memory.

    Raises:
        DataError: it declares more than the limit.
    """
    limit = min(MAX_UNPACKED_BYTES, machine_memory_bytes()) if max_bytes is None else max_bytes
    if declared > limit:
        raise DataError(
            f"{path} declares {declared / 2**30:.3g} GiB of arrays; at most {limit / 2**30:.3g} GiB are unpacked. "
            "Split the scan into smaller files, or check where the file comes from."
        )


@dataclass(frozen=True)
class MemberHeader:
    """What the header of an array in an NPZ file says."""

    shape: tuple[int, ...]
    """Lengths of the axes."""
    dtype: np.dtype[Any]
    """Type of the values."""
    fortran_order: bool
    """The first axis varies fastest in the file."""


def member_header(path: Path, key: str) -> MemberHeader | None:
    """Read the header of an array without reading the array.

    Args:
        path: the NPZ file.
        key: name of the array.

    Returns:
        Its header; None when the file does not hold it, or a pickled None in its place.

    Raises:
        DataFileNotFoundError: no file lies there.
        DataError: the file is not an NPZ, is damaged, or the array holds Python objects.
    """
    with _open_zip(path) as archive:
        info = _member_info(archive, key)
        if info is None:
            return None
        try:
            header = _checked_header(archive, info)
            if header.dtype.hasobject:
                _require_none(archive, info, key, path)
                return None
        except DataError:
            raise
        except _BROKEN_MEMBER as error:
            raise _damaged(key, path, error) from error
        return header


def member_pieces(path: Path, key: str, values_each: int) -> Iterator[AnyArray]:
    """Yield an array of an NPZ file in pieces along the axis that varies slowest; never the whole of it.

    Args:
        path: the NPZ file, stored or deflated.
        key: name of an array of at least one axis that the file holds.
        values_each: about as many values are in each piece.

    Yields:
        Consecutive pieces. The axes of an array in Fortran order come in reverse, so the first is always the slowest.

    Raises:
        DataError: the array is damaged, which may show only after its last piece.
    """
    with _open_zip(path) as archive:
        info = _member_info(archive, key)
        if info is None:
            raise DataError(f"{path} lacks '{key}'. Write the file again.")
        try:
            header = _checked_header(archive, info)
            shape = header.shape[::-1] if header.fortran_order else header.shape
            item_bytes = math.prod(shape[1:]) * header.dtype.itemsize
            step = max(1, values_each // max(1, math.prod(shape[1:])))
            with archive.open(info) as stream:
                _read_header(stream)
                for start in range(0, shape[0], step):
                    count = min(step, shape[0] - start)
                    block = stream.read(count * item_bytes)
                    if len(block) != count * item_bytes:
                        raise EOFError(f"it ends after {start} of {shape[0]} entries")
                    yield np.frombuffer(block, header.dtype).reshape(count, *shape[1:])
                # Reading on past the last byte compares the checksum.
                stream.read(1)
        except _BROKEN_MEMBER as error:
            raise _damaged(key, path, error) from error


def directory_entries(path: Path) -> list[tuple[str, int, int]]:
    """Return name, unpacked size and checksum of every member, which change with any byte of any array.

    Args:
        path: the NPZ file.

    Returns:
        (name, bytes, CRC-32) in file order.

    Raises:
        DataFileNotFoundError: no file lies there.
        DataError: the file is not an NPZ.
    """
    with _open_zip(path) as archive:
        return [(info.filename, info.file_size, info.CRC) for info in archive.infolist()]


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


def require_file(path: Path) -> None:
    """Refuse what is no file.

    Args:
        path: where a scan is looked for.

    Raises:
        DataFileNotFoundError: nothing lies there.
        DataError: it is a folder or something else.
    """
    # One question: between two, another process may put a file here or take it away.
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise _missing(path) from error
    except OSError as error:
        raise _not_readable(path, error) from error
    if not stat.S_ISREG(mode):
        raise DataError(f"{path} is not a file. Name a file inside it.")


def _missing(path: Path) -> DataFileNotFoundError:
    return DataFileNotFoundError(f"{path} does not exist. Check the path.")


def _not_readable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path} cannot be opened ({error.strerror}). Make it readable first.")


def _open_zip(path: Path) -> zipfile.ZipFile:
    require_file(path)
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError as error:  # removed meanwhile
        raise _missing(path) from error
    except PermissionError as error:
        raise _not_readable(path, error) from error
    except _BROKEN_ZIP as error:
        with path.open("rb") as stream:
            starts_as_zip = stream.read(2) == b"PK"
        size = path.stat().st_size
        if starts_as_zip:
            message = (
                f"{path} is cut short or damaged: its {size} bytes end in no zip directory. Copy or write it again."
            )
        else:
            message = _not_a_zip(path, size)
        raise DataError(message) from error


def _not_a_zip(path: Path, size: int) -> str:
    """Return what a file is that is expected to be an NPZ, by its name and first bytes."""
    with path.open("rb") as stream:
        first = stream.read(len(_HDF5_SIGNATURE))
    if path.suffix.lower() in _HDF5_SUFFIXES or first == _HDF5_SIGNATURE:
        what = "damaged or cut short" if first == _HDF5_SIGNATURE else "not an HDF5 file"
        return f"{path} is {what} ({size} bytes). Copy or write it again; 'ptychopinn formats' lists what is read."
    return f"{path} is not an NPZ file ({size} bytes, not a zip archive). Write it with numpy.savez."


def _member_info(archive: zipfile.ZipFile, key: str) -> zipfile.ZipInfo | None:
    found = [info for info in archive.infolist() if info.filename == key + _SUFFIX]
    return found[-1] if found else None


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, key: str, path: Path) -> AnyArray | None:
    try:
        header = _checked_header(archive, info)
        if header.dtype.hasobject and key == METADATA_KEY:
            return _description(archive, info, path)
        if header.dtype.hasobject:
            _require_none(archive, info, key, path)
            return None
        with archive.open(info) as stream:
            array: AnyArray = np.lib.format.read_array(stream, allow_pickle=False)
    except DataError:
        raise
    except _BROKEN_MEMBER as error:
        raise _damaged(key, path, error) from error
    return array


def _checked_header(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> MemberHeader:
    with archive.open(info) as stream:
        header = _read_header(stream)
        header_bytes = stream.tell()
    if not header.dtype.hasobject and header_bytes + math.prod(header.shape) * header.dtype.itemsize != info.file_size:
        raise ValueError(
            f"its header declares shape {header.shape} of {header.dtype}, its size is {info.file_size} bytes"
        )
    return header


def _damaged(key: str, path: Path, error: Exception) -> DataError:
    if isinstance(error, MemoryError):
        return DataError(
            f"'{key}' in {path} needs more memory than is free ({error}). Split the scan into smaller files."
        )
    return DataError(f"'{key}' in {path} is damaged: {error}. Copy or write the file again.")


def _read_header(stream: IO[bytes]) -> MemberHeader:
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"array format version {version} is not 1.0 or 2.0")
    shape, fortran_order, dtype = readers[version](stream)
    return MemberHeader(shape, dtype, fortran_order)


def _pickled(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Any:
    if info.file_size > _LARGEST_PICKLE:
        raise ValueError(f"{info.file_size} bytes of Python objects")
    with archive.open(info) as stream:
        _read_header(stream)
        return plain_value(read_inert(stream.read()))


def _require_none(archive: zipfile.ZipFile, info: zipfile.ZipInfo, key: str, path: Path) -> None:
    try:
        is_none = _pickled(archive, info) is None
    except ValueError:
        is_none = False
    if not is_none:
        raise DataError(
            f"'{key}' in {path} is an array of Python objects, which are never unpickled. "
            "Store it as a plain numeric array."
        )


def _description(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> AnyArray | None:
    try:
        value = _pickled(archive, info)
        text = value if isinstance(value, str) else json.dumps(value)
    except (ValueError, TypeError) as error:
        warnings.warn(
            f"'{METADATA_KEY}' in {path} is a pickled object and was skipped: it holds {error}, and pickles are never "
            "opened. Store it as JSON text to have it read.",
            UserWarning,
            stacklevel=2,
        )
        return None
    return None if value is None else np.array(text)


def machine_memory_bytes() -> int:
    """Return the memory of the machine, or `MAX_UNPACKED_BYTES` where it cannot be found out."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return MAX_UNPACKED_BYTES
