"""The zip around an archive: opened with suspicion, checked before a byte is unpacked, written atomically."""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, Final

from ptychopinn_backend.archive.kinds import MEMBERS, METADATA, PARAMS, Kind, kind_of
from ptychopinn_backend.errors import (
    ArchiveError,
    DamagedArchiveError,
    ForeignArchiveError,
    NewerArchiveError,
    UnsafeArchiveError,
    UnsupportedModelError,
)
from ptychopinn_backend.files.atomic_file import atomic_file, writing

MAX_JSON_BYTES: Final = 16 * 2**20
"""Unpacked size metadata.json and params.json may have, and each JSON text or pickle of another program."""
MAX_TOTAL_BYTES: Final = 8 * 2**30
"""Unpacked size all members together may have."""
MAX_RATIO: Final = 100
"""Unpacked over packed size a member may have; archives we write are not compressed (ratio 1)."""
MAX_MEMBERS: Final = 64
"""Members an archive may list; more is not looked at."""
MAX_FOREIGN_MEMBERS: Final = 10_000
"""Members another program's file may list; PyTorch writes one for each array."""
_SMALL_MEMBERS: Final = (".json", ".dill", ".pkl")
"""Members of other programs that may be packed tightly, for they hold little."""

_REMEDIES: Final[tuple[tuple[type[ArchiveError], str], ...]] = (
    (DamagedArchiveError, "Copy the file again from where it was saved, or train and save again."),
    (UnsafeArchiveError, "Do not use this file; get the archive again from a source you trust."),
    (UnsupportedModelError, "Train a model here, with the same scans and options."),
    (ForeignArchiveError, "Give the wts.h5.zip that training wrote, or the folder that holds it."),
    (NewerArchiveError, "Update ptychopinn-backend, or save the model again with this version."),
    (ArchiveError, ""),
)
_ZIP_ERRORS: Final = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    KeyError,
    IndexError,
    MemoryError,
)
"""What zipfile raises on a malformed file."""


@contextmanager
def open_model(path: Path) -> Iterator[BinaryIO]:
    """Open the file of a model; errors inside that give a reason then name the file, the reason and the remedy.

    Args:
        path: an existing file.

    Yields:
        The open file.

    Raises:
        ArchiveError: the file cannot be read at all; otherwise of the class that was raised inside.
    """
    try:
        with path.open("rb") as file:
            yield file
    except ArchiveError as error:
        kind, remedy = next((kind, text) for kind, text in _REMEDIES if isinstance(error, kind))
        raise kind(f"Archive '{path}' cannot be opened: {error}. {remedy}".rstrip()) from error
    except OSError as error:
        raise ArchiveError(
            f"Archive '{path}' cannot be opened: {error.strerror}. Check that you may read it."
        ) from error


@contextmanager
def open_container(file: BinaryIO) -> Iterator[zipfile.ZipFile]:
    """Open the zip of an archive after checking what it lists.

    Args:
        file: from `open_model`, at its start.

    Yields:
        The open zip, whose members have safe names, allowed sizes and no encryption.

    Raises:
        ForeignArchiveError: not one of our archives; says what it seems to be.
        DamagedArchiveError: truncated or altered.
        UnsafeArchiveError: names that leave the folder, links, or sizes beyond the limits.
    """
    start = file.read(512)
    if not start:
        raise DamagedArchiveError("the file is empty")
    if not start.startswith(b"PK\x03\x04"):
        raise ForeignArchiveError(f"it seems to be {_kind_of_file(start)}")
    with _zip_of(file) as container:
        _check_listing(container.infolist(), file.seek(0, os.SEEK_END))
        yield container


@contextmanager
def open_nested(image: bytes, what: str) -> Iterator[zipfile.ZipFile]:
    """Open a zip file that is a member of another program's archive, after the same checks.

    Args:
        image: the bytes of the member.
        what: its name, for messages.

    Yields:
        The open zip.

    Raises:
        DamagedArchiveError: no zip, truncated or altered.
        UnsafeArchiveError: names that leave the folder, links, or sizes beyond the limits.
    """
    try:
        nested = _zip_of(io.BytesIO(image))
        _check_foreign(nested.infolist())
    except ArchiveError as error:
        raise type(error)(f"of its member {what}, {error}") from error
    with nested:
        yield nested


def _zip_of(handle: IO[bytes]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(handle)
    except _ZIP_ERRORS as error:
        raise DamagedArchiveError(f"its zip structure is broken or cut short ({error})") from error


def read_member(container: zipfile.ZipFile, name: str) -> bytes:
    """Return the unpacked bytes of a member, never more than its checked, declared size.

    Args:
        container: from `open_container`.
        name: one that its listing was checked for.

    Returns:
        The bytes.

    Raises:
        DamagedArchiveError: the member is missing, cut short or fails its checksum.
    """
    try:
        info = container.getinfo(name)
    except KeyError as error:
        raise DamagedArchiveError(f"its member {name} is missing") from error
    try:
        with container.open(info) as member:
            content = member.read(info.file_size + 1)
    except _ZIP_ERRORS as error:
        raise DamagedArchiveError(f"its member {name} is altered or cut short ({error})") from error
    if len(content) != info.file_size:
        raise DamagedArchiveError(f"its member {name} has {len(content)} bytes instead of {info.file_size}")
    return content


def check_members(container: zipfile.ZipFile) -> None:
    """Raise unless the zip lists exactly the members of this format version.

    Args:
        container: from `open_container`.

    Raises:
        DamagedArchiveError: a member is missing.
        UnsafeArchiveError: there are others.
    """
    names = container.namelist()
    missing = [name for name in MEMBERS if name not in names]
    if missing:
        raise DamagedArchiveError(f"its member {', '.join(missing)} is missing")
    if len(names) != len(MEMBERS):
        others = sorted(set(names) - set(MEMBERS))[:5] or ["a member listed twice"]
        raise UnsafeArchiveError(f"it holds more than an archive may ({', '.join(map(repr, others))})")


def write_container(path: Path, members: Mapping[str, bytes]) -> None:
    """Write the zip so that `path` is at any moment the old file or the new one, whole.

    Args:
        path: where; its folder is made when missing.
        members: name -> bytes; stored uncompressed, because weights hardly shrink.

    Raises:
        OutputError: the disk or the folder refuses; an earlier file stays as it was.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as handle, zipfile.ZipFile(handle, "w", zipfile.ZIP_STORED) as container:
        for name, content in members.items():
            container.writestr(zipfile.ZipInfo(name), content)


def _check_listing(infos: list[zipfile.ZipInfo], file_bytes: int) -> None:
    names = [info.filename for info in infos]
    for info in infos[:MAX_MEMBERS]:
        _check_entry(info)
    kind = kind_of(names)
    if kind is None:
        raise ForeignArchiveError(f"it seems to be {_kind_of_zip(names)}")
    if kind is not Kind.OWN:
        _check_foreign(infos)
        return
    if len(infos) > MAX_MEMBERS:
        raise UnsafeArchiveError(f"it lists {len(infos)} members")
    total = sum(info.file_size for info in infos)
    if total > min(MAX_TOTAL_BYTES, MAX_RATIO * file_bytes):
        raise UnsafeArchiveError(f"it would unpack to {total} bytes from {file_bytes} (a decompression bomb)")


def _check_foreign(infos: list[zipfile.ZipInfo]) -> None:
    if len(infos) > MAX_FOREIGN_MEMBERS:
        raise UnsafeArchiveError(f"it lists {len(infos)} members")
    for info in infos:
        _check_entry(info)
        small = info.filename.endswith(_SMALL_MEMBERS)
        if info.file_size > (MAX_JSON_BYTES if small else MAX_RATIO * max(info.compress_size, 1)):
            raise UnsafeArchiveError(
                f"its member {info.filename!r} would unpack {info.compress_size} bytes to {info.file_size} "
                "(a decompression bomb)"
            )
    total = sum(info.file_size for info in infos)
    if total > MAX_TOTAL_BYTES:
        raise UnsafeArchiveError(f"it would unpack to {total} bytes")


def _check_entry(info: zipfile.ZipInfo) -> None:
    name = info.filename
    # orig_filename keeps what zipfile cuts off or translates in filename.
    parts = info.orig_filename.replace("\\", "/").split("/")
    if ".." in parts or "" in parts[:1] or ":" in name or "\0" in info.orig_filename:
        raise UnsafeArchiveError(f"its member {info.orig_filename!r} names a place outside the archive")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise UnsafeArchiveError(f"its member {name!r} is a link")
    if info.flag_bits & 0x1:
        raise UnsafeArchiveError(f"its member {name!r} is encrypted")
    if name in (METADATA, PARAMS) and info.file_size > MAX_JSON_BYTES:
        raise UnsafeArchiveError(
            f"its member {name} declares {info.file_size} bytes; at most {MAX_JSON_BYTES} are read"
        )
    if name in MEMBERS and info.file_size > MAX_RATIO * max(info.compress_size, 1):
        raise UnsafeArchiveError(
            f"its member {name} would unpack {info.compress_size} bytes to {info.file_size} (a decompression bomb)"
        )


def _kind_of_file(start: bytes) -> str:
    kinds = (
        (b"\x89HDF\r\n\x1a\n", "a bare HDF5 file, such as Keras weights or a scan"),
        (b"\x80\x02", "a Python pickle, which is never opened"),
        (b"\x80\x03", "a Python pickle, which is never opened"),
        (b"\x80\x04", "a Python pickle, which is never opened"),
        (b"\x80\x05", "a Python pickle, which is never opened"),
        (b"\x93NUMPY", "a NumPy array file"),
        (b"\x1f\x8b", "a gzip or tar.gz file"),
        (b"PK\x05\x06", "an empty zip file"),
    )
    for magic, kind in kinds:
        if start.startswith(magic):
            return kind
    try:
        start.decode("ascii")
    except UnicodeDecodeError:
        return "no zip file at all"
    return "a text file"


def _kind_of_zip(names: list[str]) -> str:
    if "config.json" in names and any(name.endswith(".weights.h5") for name in names):
        return "a Keras model (.keras)"
    if any(name.endswith("data.pkl") for name in names):
        return Kind.CHECKPOINT.value
    if any(name.endswith((".dill", ".pkl", ".pickle")) for name in names):
        return "a zip of pickled Python objects, which are never opened (an archive of the original PtychoPINN?)"
    if names and all(name.endswith(".npy") for name in names):
        return "a NumPy NPZ file, such as a scan"
    listed = ", ".join(repr(name) for name in names[:3]) or "nothing"
    return f"some other zip file, holding {listed}"
