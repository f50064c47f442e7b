"""Something handed from one process to another as it lies in memory: a nameless file that the other one maps."""

from __future__ import annotations

import mmap
import os
import pickle
import sys
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from typing import Any, Final, Self

from ptychopinn_backend.errors import ChildDiedError, OutputError

_PIECE_BYTES: Final = 16 << 20
_ALIGNMENT_BYTES: Final = 64


class Parcel:
    """Something to hand over, in a nameless file: its arrays as they lie in memory, between them and after the rest."""

    def __init__(self, content: Any, check: Callable[[], None] = lambda: None) -> None:
        """Write the file.

        Args:
            content: what can be pickled.
            check: called before every piece that is written; may raise.

        Raises:
            OutputError: the folder for temporary files cannot be written, most often because it is full.
        """
        buffers: list[pickle.PickleBuffer] = []
        parts = [memoryview(pickle.dumps(content, protocol=5, buffer_callback=buffers.append))]
        parts += [buffer.raw() for buffer in buffers]
        # Start and length of every part in the file, in bytes.
        self._places: list[tuple[int, int]] = []
        try:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - lives as long as the parcel
            try:
                for part in parts:
                    self._write(part, check)
            except BaseException:
                self._file.close()
                raise
        except ChildDiedError:
            raise
        except OSError as error:
            raise OutputError(
                f"{sum(part.nbytes for part in parts)} bytes cannot be handed to a computing process: "
                f"{error.strerror} in the folder for temporary files '{tempfile.gettempdir()}'. Free space there, or "
                "set the environment variable TMPDIR to a folder with more."
            ) from error

    def __enter__(self) -> Self:
        """Keep the file until the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file; whoever took it keeps it."""
        self._file.close()

    def send(self, pipe: Connection[Any, Any], pid: int) -> None:
        """Let another process take it.

        Args:
            pipe: to that process.
            pid: its number.
        """
        pipe.send(self._places)
        send_handle(pipe, _handle_of(self._file.fileno()), pid)

    def _write(self, part: memoryview, check: Callable[[], None]) -> None:
        start = -(-self._file.tell() // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
        self._file.seek(start)
        self._places.append((start, part.nbytes))
        while part:
            check()
            part = part[self._file.write(part[:_PIECE_BYTES]) :]


def take_parcel(pipe: Connection[Any, Any]) -> Any:
    """Wait for a parcel and open it.

    Args:
        pipe: to the process that sends it.

    Returns:
        Its content; arrays lie in the mapped file, and can be written to for this process alone.
    """
    places = pipe.recv()
    descriptor = _descriptor_of(recv_handle(pipe))
    try:
        content = memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY))
    finally:
        os.close(descriptor)
    first, *others = (content[start : start + length] for start, length in places)
    return pickle.loads(first, buffers=others)  # noqa: S301 - written by the parent, in a file without a name


if sys.platform == "win32":
    from msvcrt import get_osfhandle as _handle_of
    from msvcrt import open_osfhandle

    def _descriptor_of(handle: int) -> int:
        return open_osfhandle(handle, os.O_RDONLY)

else:

    def _handle_of(descriptor: int) -> int:
        return descriptor

    def _descriptor_of(handle: int) -> int:
        return handle
