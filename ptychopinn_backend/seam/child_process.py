"""A spawned process that works for this one: never waited for in vain, never left behind, arrays handed over whole.

The child is started with one end of a pipe alone. Its input follows in a nameless file that the child maps into its
memory: arrays are neither pickled nor held twice, and a child that dies meanwhile is noticed. A child that is given
its input while it starts leaves its parent blocked for ever when it dies (CPython's issue 118981).
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext, suppress
from multiprocessing.connection import wait
from typing import Any, Final

from ptychopinn_backend.errors import ChildDiedError, ChildFailedError, ConfigError, PtychoPINNError
from ptychopinn_backend.seam.parcel import Parcel
from ptychopinn_backend.seam.parent_link import Failure, ParentLink, work_for_parent

__all__ = ["GRACE_SECONDS", "ChildProcess", "Parcel", "ParentLink", "end_all", "heard"]

GRACE_SECONDS: Final = 10.0
"""Between asking a child to end and killing it."""
_LOOK_S: Final = 0.2
"""How often the end of the other process, and a request to stop, are looked for."""
_SHORT_LOOK_S: Final = 0.01
UNGUARDED: Final = 78
"""Exit code of a child that comes to the starting of children while it imports the program."""
_KILL: Final = getattr(signal, "SIGKILL", signal.SIGTERM)


class _Stopped(Exception):  # noqa: N818 - no error
    """The caller does not want it any more."""


class ChildProcess:
    """The parent's side of a child."""

    def __init__(self, work: Callable[[ParentLink], None], *, logs: bool = True) -> None:
        """Start the child.

        Args:
            work: a function of a module; the child calls it with its link to this process.
            logs: what the child logs goes to the loggers of the same names here; False leaves it to the child.
        """
        # Python says so of a child that still runs the program it was started from, for the sake of its names.
        if getattr(multiprocessing.current_process(), "_inheriting", False):
            raise SystemExit(UNGUARDED)
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        level = logging.getLogger().getEffectiveLevel() if logs else None
        self._process = context.Process(target=work_for_parent, args=(work, theirs, level))
        try:
            self._process.start()
        finally:
            # The child must hold the only other end: its death then ends the pipe.
            theirs.close()
        self._pid = self._process.pid or 0

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
            for _, message in heard([self]):
                if isinstance(message, Exception):
                    raise message
                return message
        return None

    def _read(self) -> Any:
        """Return the next message, which is there, or the exception that came instead."""
        try:
            with self._noticing_death():
                if self.exit_code is not None and not self._pipe.poll():
                    raise EOFError
                message = self._pipe.recv()
        except Exception as error:
            return error
        return _exception_of(message) if isinstance(message, Failure) else message

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

    def ask(self, number: signal.Signals) -> None:
        """Send a signal to the child alone, which answers it for all that it started.

        Args:
            number: the signal.
        """
        if self.exit_code is None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, number)

    def _ask_all(self, number: signal.Signals) -> None:
        """Send a signal to the child and to all that it started."""
        if hasattr(os, "killpg"):
            # The child leads a group of processes of its own, which outlives it while one of them lives.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, number)
                return
        self.ask(number)

    def _close(self) -> None:
        """Kill what is left of the child, and close the pipe."""
        self._ask_all(_KILL)
        self._process.join()
        self._pipe.close()

    def _wait_for_end(self, until_s: float) -> None:
        """Wait until the child has ended, not longer than until then, by `time.monotonic`."""
        # `join` looks at a pipe that a process forked by the child keeps open.
        while self.exit_code is None and time.monotonic() < until_s:
            time.sleep(_SHORT_LOOK_S)

    @contextmanager
    def _noticing_death(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError):
            self._wait_for_end(time.monotonic() + GRACE_SECONDS)
            raise self._death() from None

    def _death(self) -> PtychoPINNError:
        if self.exit_code == UNGUARDED:
            return ConfigError(
                "A computing process runs this script from its beginning, and comes to the same call there. Put the "
                "line if __name__ == '__main__': above the script's calls."
            )
        return ChildDiedError(self.exit_code)


def end_all(children: Collection[ChildProcess], grace_s: float = GRACE_SECONDS, own_s: float = 0.0) -> None:
    """Make sure that children are gone, and all that they started.

    Args:
        children: processes that this one started.
        grace_s: time between asking and killing.
        own_s: time that they have before to end by themselves.
    """
    _wait_for_all(children, own_s)
    for child in children:
        child._ask_all(signal.SIGTERM)
    _wait_for_all(children, grace_s)
    for child in children:
        child._close()


def _wait_for_all(children: Collection[ChildProcess], longest_s: float) -> None:
    until = time.monotonic() + longest_s
    for child in children:
        child._wait_for_end(until)


def heard(children: Collection[ChildProcess]) -> list[tuple[ChildProcess, Any]]:
    """Wait a moment for what children have to say; what they log goes to the loggers of the same names.

    Args:
        children: processes that this one started.

    Returns:
        Those that have something to say, each with its message: None where it has done its work, an exception where
        that ended it.
    """
    ready = wait([child._pipe for child in children], _LOOK_S)
    found = []
    for child in children:
        if child._pipe not in ready and child.exit_code is None:
            continue
        message = child._read()
        if isinstance(message, logging.LogRecord):
            logger = logging.getLogger(message.name)
            if logger.isEnabledFor(message.levelno):
                logger.handle(message)
        else:
            found.append((child, message))
    return found


def _exception_of(failure: Failure) -> Exception:
    error: object = None
    if failure.pickled is not None:
        with suppress(Exception):
            error = pickle.loads(failure.pickled)  # noqa: S301 - written by the child
    if not isinstance(error, Exception):
        error = ChildFailedError(failure.sentence)
    if isinstance(error, ChildFailedError) or not isinstance(error, PtychoPINNError):
        error.add_note(f"In the computing process:\n{failure.traceback}")
    return error
