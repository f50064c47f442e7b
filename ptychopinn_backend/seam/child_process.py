"""A spawned process that works for this one: never waited for in vain, never left behind, arrays handed over whole.

The child is started with one end of a pipe alone. Its input follows in a nameless file that the child maps into its
memory: arrays are neither pickled nor held twice, and a child that dies meanwhile is noticed. A child that is given
its input while it starts leaves its parent blocked for ever when it dies (CPython's issue 118981).
"""

from __future__ import annotations

import logging
import mmap
import multiprocessing
import os
import pickle
import queue
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import recv_handle, send_handle
from typing import Any, Final, NamedTuple, Self

from ptychopinn_backend.errors import ChildDiedError, ChildFailedError, OutputError

GRACE_SECONDS: Final = 10.0
"""Between asking a child to end and killing it."""
_LOOK_S: Final = 0.2
"""How often the end of the other process, and a request to stop, are looked for."""
_SHORT_LOOK_S: Final = 0.01
_PIECE_BYTES: Final = 16 << 20
_ALIGNMENT_BYTES: Final = 64


class _Record(NamedTuple):
    """What the child logged."""

    level: int
    logger: str
    text: str


class _Failure(NamedTuple):
    """The exception that ended the child's work."""

    pickled: bytes | None
    sentence: str
    traceback: str


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
        self.places: list[tuple[int, int]] = []
        """Start and length of every part in the file, in bytes."""
        try:
            self.file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - lives as long as the parcel
            try:
                for part in parts:
                    self._write(part, check)
            except BaseException:
                self.file.close()
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
        self.file.close()

    def _write(self, part: memoryview, check: Callable[[], None]) -> None:
        start = -(-self.file.tell() // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
        self.file.seek(start)
        self.places.append((start, part.nbytes))
        while part:
            check()
            part = part[self.file.write(part[:_PIECE_BYTES]) :]


class _Stopped(Exception):  # noqa: N818 - no error
    """The caller does not want it any more."""


class ChildProcess:
    """The parent's side of a child; it can be waited for with `multiprocessing.connection.wait`."""

    def __init__(self, work: Callable[[ParentLink], None]) -> None:
        """Start the child.

        Args:
            work: a function of a module; the child calls it with its link to this process.
        """
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        level = logging.getLogger().getEffectiveLevel()
        self._process = context.Process(target=_work_for_parent, args=(work, theirs, level))
        try:
            self._process.start()
        finally:
            # The child must hold the only other end: its death then ends the pipe.
            theirs.close()

    def fileno(self) -> int:
        """Return what becomes readable when there is a message, or none will come any more."""
        return self._pipe.fileno()

    @property
    def exit_code(self) -> int | None:
        """Of the child; negative for a signal, None while it runs."""
        return self._process.exitcode

    def give(self, content: Any, stop: threading.Event | None = None) -> bool:
        """Hand something over; arrays cross as they lie in memory.

        Args:
            content: a `Parcel`, or anything that can be pickled.
            stop: ends the call once it is set.

        Returns:
            False where it was stopped.

        Raises:
            ChildDiedError: the child ended meanwhile.
            OutputError: the folder for temporary files cannot be written.
        """

        def check() -> None:
            if stop is not None and stop.is_set():
                raise _Stopped
            if self.exit_code is not None:
                raise ChildDiedError(self.exit_code)

        try:
            with (
                nullcontext(content) if isinstance(content, Parcel) else Parcel(content, check) as parcel,
                self._noticing_death(),
            ):
                self._pipe.send(parcel.places)
                send_handle(self._pipe, _handle_of(parcel.file.fileno()), self._process.pid)
        except _Stopped:
            return False
        return True

    def send(self, message: Any) -> None:
        """Send something small.

        Args:
            message: what can be pickled.

        Raises:
            ChildDiedError: the child ended.
        """
        with self._noticing_death():
            self._pipe.send(message)

    def receive(self, stop: threading.Event | None = None) -> Any:
        """Wait for the next message; what the child logs goes to the loggers of the same names.

        Args:
            stop: ends the call once it is set.

        Returns:
            The message; None where the child has done its work, and where the call was stopped.

        Raises:
            ChildDiedError: the child ended without a word.
            ChildFailedError: an exception ended the work, and it is of a kind that cannot come here.
            Exception: the one that ended the work.
        """
        while stop is None or not stop.is_set():
            ready = wait([self._pipe, self._process.sentinel], _LOOK_S)
            if self._pipe not in ready:
                if self.exit_code is None or self._pipe.poll():
                    continue
                raise ChildDiedError(self.exit_code)
            with self._noticing_death():
                message = self._pipe.recv()
            if isinstance(message, _Record):
                logging.getLogger(message.logger).log(message.level, message.text)
            elif isinstance(message, _Failure):
                raise _exception_of(message)
            else:
                return message
        return None

    def messages(self, stop: threading.Event | None = None) -> Iterator[Any]:
        """Yield messages as they come, until the work is done or `stop` is set; raises as `receive` does."""
        while (message := self.receive(stop)) is not None:
            yield message

    def end(self, grace_s: float = GRACE_SECONDS) -> None:
        """Make sure that the child is gone, and all that it started.

        Args:
            grace_s: time between asking and killing.
        """
        self._signal(signal.SIGTERM)
        self._wait_for_end(grace_s)
        if sys.platform != "win32":
            self._signal(signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def _wait_for_end(self, seconds: float) -> None:
        # `join` looks at a pipe that a process forked by the child keeps open.
        until = time.monotonic() + seconds
        while self.exit_code is None and time.monotonic() < until:
            time.sleep(_SHORT_LOOK_S)

    def _signal(self, number: signal.Signals) -> None:
        if self.exit_code is None and number == signal.SIGTERM:
            self._process.terminate()
        if hasattr(os, "killpg") and self._process.pid is not None:
            # The child leads a group of processes of its own, which outlives it while one of them lives.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    @contextmanager
    def _noticing_death(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError):
            self._wait_for_end(GRACE_SECONDS)
            raise ChildDiedError(self.exit_code) from None


class ParentLink:
    """The child's side: takes what the parent gives, and sends messages from any thread or signal handler."""

    def __init__(self, pipe: Connection[Any, Any]) -> None:
        """Start sending.

        Args:
            pipe: to the parent.
        """
        self._pipe = pipe
        # A lock would block for ever where a signal handler sends while its thread does; this queue does not.
        self._waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._sender = threading.Thread(target=self._send_all, name="messages-to-parent", daemon=True)
        self._sender.start()

    def take(self) -> Any:
        """Wait for what the parent gives; its arrays lie in a mapped file, and can be written to for this process."""
        places = self._pipe.recv()
        descriptor = _descriptor_of(recv_handle(self._pipe))
        try:
            content = memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY))
        finally:
            os.close(descriptor)
        first, *others = (content[start : start + length] for start, length in places)
        return pickle.loads(first, buffers=others)  # noqa: S301 - written by the parent, in a file without a name

    def receive(self) -> Any:
        """Wait for a small message of the parent."""
        return self._pipe.recv()

    def put(self, message: Any) -> None:
        """Send a message; what it holds may be changed afterwards.

        Args:
            message: what can be pickled.
        """
        self._waiting.put(pickle.dumps(message))

    def close(self) -> None:
        """Wait until the parent has all messages."""
        self._waiting.put(None)
        self._sender.join()

    def _send_all(self) -> None:
        while (message := self._waiting.get()) is not None:
            try:
                self._pipe.send_bytes(message)
            except OSError:
                _end_this_group()


class _LogForwarder(logging.Handler):
    def __init__(self, link: ParentLink) -> None:
        super().__init__()
        self._link = link

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._link.put(_Record(record.levelno, record.name, self.format(record)))
        except Exception:
            self.handleError(record)


def _work_for_parent(work: Callable[[ParentLink], None], pipe: Connection[Any, Any], level: int) -> None:
    if hasattr(os, "setsid"):
        os.setsid()
        # A process that is forked here would keep the pipe open after the death of this one.
        os.register_at_fork(after_in_child=pipe.close)
    threading.Thread(target=_end_with_parent, name="parent-watch", daemon=True).start()
    link = ParentLink(pipe)
    forwarder = _LogForwarder(link)
    logging.getLogger().addHandler(forwarder)
    logging.getLogger().setLevel(level)
    try:
        work(link)
        link.put(None)
    except BaseException as error:
        link.put(_failure_of(error))
    finally:
        logging.getLogger().removeHandler(forwarder)
        link.close()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    # What a forked brother of this process keeps open hides the end of the parent; the number of the parent tells it.
    while parent.is_alive() and os.getppid() == parent.pid:
        parent.join(_LOOK_S)
    _end_this_group()


def _end_this_group() -> None:
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _failure_of(error: BaseException) -> _Failure:
    try:
        pickled: bytes | None = pickle.dumps(error)
    except Exception:
        pickled = None
    return _Failure(pickled, f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error)))


def _exception_of(failure: _Failure) -> BaseException:
    error: object = None
    if failure.pickled is not None:
        with suppress(Exception):
            error = pickle.loads(failure.pickled)  # noqa: S301 - written by the child
    if not isinstance(error, Exception):
        error = ChildFailedError(failure.sentence)
    error.add_note(f"In the computing process:\n{failure.traceback}")
    return error


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
