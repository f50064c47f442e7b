"""Files that appear as a whole or not at all: written beside their place, flushed to disk, then renamed."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, Literal

from atomicwrites import AtomicWriter, atomic_write

from ptychopinn_backend.errors import OutputError

TEMPORARY_PATTERN: Final = ".*.tmp"
"""Glob of the temporary files; one is left only by a process that was killed, and is never read."""


class _Writer(AtomicWriter):  # type: ignore[misc]
    """Makes the temporary file with the permissions of any new file of the user; the library makes it private."""

    def get_fileobject(self, **options: Any) -> IO[Any]:
        path = Path(self._path)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
        stream: IO[Any] = temporary.open(self._mode.replace("w", "x"), **options)
        return stream


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Explain what the machine refuses while `path` is written or made.

    Args:
        path: file or folder.

    Yields:
        Nothing.

    Raises:
        OutputError: instead of any other OSError.
    """
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"'{path}' could not be written: {error.strerror or error}. Free space, or choose a folder you may write "
            "to; an earlier file there is unchanged."
        ) from error


@contextmanager
def atomic_file(path: str | Path, mode: Literal["wb", "w"] = "wb", *, newline: str | None = None) -> Iterator[IO[Any]]:
    """Open a file for writing so that `path` is at any moment the old file or the new one, whole.

    Args:
        path: file to write; its folder must exist. An existing file is replaced.
        mode: 'wb' for bytes, 'w' for UTF-8 text.
        newline: as for `open`, for text.

    Yields:
        The open temporary file beside `path`; an exception inside removes it and leaves `path` as it was.

    Raises:
        OutputError: the disk or the folder refuses.
    """
    options: dict[str, Any] = {} if mode == "wb" else {"encoding": "utf-8", "newline": newline}
    with writing(path), atomic_write(str(path), writer_cls=_Writer, mode=mode, overwrite=True, **options) as stream:
        yield stream
