"""A spawned process that works for this one: never waited for in vain, never left behind, arrays handed over whole.

The child is started with one end of a pipe alone. Its input follows in a nameless file that the child maps into its
memory: arrays are neither pickled nor held twice, and a child that dies meanwhile is noticed. A child that is given
its input while it starts leaves its parent blocked for ever when it dies (CPython's issue 118981).
"""

from __future__ import annotations

import inspect
import logging
import math
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from multiprocessing.connection import wait
from typing import Any, Final

from ptychopinn_backend.errors import ChildDiedError, ChildFailedError, ConfigError, PtychoPINNError
from ptychopinn_backend.seam.parcel import Parcel
from ptychopinn_backend.seam.parent_link import Failure, LogRecord, ParentLink, work_for_parent

__all__ = ["GRACE_SECONDS", "ChildProcess", "LogRecord", "Parcel", "ParentLink", "end_all", "hear_all"]

GRACE_SECONDS: Final = 10.0
"""Between asking a child to end and killing it."""
_LOOK_S: Final = 0.2
"""How often the end of the other process, and a request to stop, are looked for."""
_SHORT_LOOK_S: Final = 0.01
_UNGUARDED: Final = 78
"""Exit code of a child that comes to the starting of children while it imports the program."""
_KILL: Final = getattr(signal, "SIGKILL", signal.SIGTERM)


class _Stopped(Exception):  # noqa: N818 - no error
    """The caller does not want it any more."""


class ChildProcess:
    """The parent's side of a child; it can be waited for with `multiprocessing.connection.wait`."""

    def __init__(self, work: Callable[[ParentLink], None], *, logs: bool = True) -> None:
        """Start the child.

        Args:
            work: a function of a module; the child calls it with its link to this process.
            logs: what the child logs goes to the loggers of the same names here; False leaves it to the child.
        """
        if _imports_the_program():
            raise SystemExit(_UNGUARDED)
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        level = logging.getLogger().getEffectiveLevel() if logs else None
        self._process = context.Process(target=work_for_parent, args=(work, theirs, level))
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
                raise self._death()

        try:
            with (
                nullcontext(content) if isinstance(content, Parcel) else Parcel(content, check) as parcel,
                self._noticing_death(),
            ):
                parcel.send(self._pipe, self._pid)
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
            if self._is_heard():
                message = self.read()
                if not isinstance(message, LogRecord):
                    return message
        return None

    def _is_heard(self) -> bool:
        """Wait a moment for a message or the end."""
        return self._pipe in wait([self._pipe, self._process.sentinel], _LOOK_S) or self.exit_code is not None

    def read(self) -> Any:
        """Return the next item, which is there: `fileno` is readable, or the child has ended; see `receive`.

        Returns:
            As `receive`, or a `LogRecord`, which has been logged.
        """
        if self.exit_code is not None and not self._pipe.poll():
            raise self._death()
        with self._noticing_death():
            message = self._pipe.recv()
        if isinstance(message, LogRecord):
            logging.getLogger(message.logger).log(message.level, message.text)
        elif isinstance(message, Failure):
            raise _exception_of(message)
        return message

    def messages(self, stop: threading.Event | None = None) -> Iterator[Any]:
        """Yield messages as they come, until the work is done or `stop` is set; raises as `receive` does."""
        while (message := self.receive(stop)) is not None:
            yield message

    def end(self, grace_s: float = GRACE_SECONDS) -> None:
        """Make sure that the child is gone, and all that it started.

        Args:
            grace_s: time between asking and killing.
        """
        end_all([self], grace_s)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the child and to all that it started.

        Args:
            number: the signal.
        """
        if hasattr(os, "killpg"):
            # The child leads a group of processes of its own, which outlives it while one of them lives.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, number)
                return
        self.ask(number)

    def ask(self, number: signal.Signals) -> None:
        """Send a signal to the child alone, which answers it for all that it started.

        Args:
            number: the signal.
        """
        if self.exit_code is None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, number)

    def close(self) -> None:
        """Kill what is left of the child, and close the pipe."""
        self.send_signal(_KILL)
        self._process.join()
        self._pipe.close()

    @property
    def _pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def wait_for_end(self, until_s: float) -> None:
        """Wait until the child has ended.

        Args:
            until_s: not longer than until then, by `time.monotonic`.
        """
        # `join` looks at a pipe that a process forked by the child keeps open.
        while self.exit_code is None and time.monotonic() < until_s:
            time.sleep(_SHORT_LOOK_S)

    @contextmanager
    def _noticing_death(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError):
            self.wait_for_end(time.monotonic() + GRACE_SECONDS)
            raise self._death() from None

    def _death(self) -> PtychoPINNError:
        if self.exit_code == _UNGUARDED:
            return ConfigError(
                "A computing process runs this script from its beginning, and comes to the same call there. Put the "
                "script's calls below the line if __name__ == '__main__':"
            )
        return ChildDiedError(self.exit_code)


def end_all(children: Sequence[ChildProcess], grace_s: float = GRACE_SECONDS) -> None:
    """Make sure that children are gone, and all that they started.

    Args:
        children: processes that this one started.
        grace_s: time between asking and killing.
    """
    for child in children:
        child.send_signal(signal.SIGTERM)
    until = time.monotonic() + grace_s
    for child in children:
        child.wait_for_end(until)
        child.close()


def hear_all(
    children: Sequence[ChildProcess],
    on_message: Callable[[int, Any], None],
    grace_s: float,
    longest_s: float = math.inf,
) -> dict[int, Exception]:
    """Hear children that work together, until all are done, or some time after one has failed.

    Args:
        children: processes that this one started.
        on_message: called with the index of a child and its message.
        grace_s: how long the others may take to notice a failure.
        longest_s: how long all may take.

    Returns:
        Index of a child -> what it failed with, in the order they failed.
    """
    working, failures = dict(enumerate(children)), dict[int, Exception]()
    until = time.monotonic() + longest_s
    while working and time.monotonic() < until:
        heard = wait([child.fileno() for child in working.values()], _LOOK_S)
        ready = [index for index, child in working.items() if child.fileno() in heard or child.exit_code is not None]
        for index in ready:
            try:
                message = children[index].read()
            except Exception as error:
                failures[index] = error
                until = min(until, time.monotonic() + grace_s)
                del working[index]
                continue
            if message is None:
                del working[index]
            elif not isinstance(message, LogRecord):
                on_message(index, message)
    return failures


def _imports_the_program() -> bool:
    """Return whether this is a child that still runs the program it was started from, for the sake of its names."""
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") == "__mp_main__":
            return True
        frame = frame.f_back
    return False


def _exception_of(failure: Failure) -> BaseException:
    error: object = None
    if failure.pickled is not None:
        with suppress(Exception):
            error = pickle.loads(failure.pickled)  # noqa: S301 - written by the child
    if not isinstance(error, Exception):
        error = ChildFailedError(failure.sentence)
    if isinstance(error, ChildFailedError) or not isinstance(error, PtychoPINNError):
        error.add_note(f"In the computing process:\n{failure.traceback}")
    return error
