"""Runs one call in a spawned child and hears of it at once when that child is killed.

The host's own `run_subprocess` reads from a `multiprocessing.Queue`, which waits for ever once the writing process is
gone: a child killed for its memory would leave the window busy until it is closed. Here the messages come through a
pipe whose only writer is the child, so that its end is seen. The messages are the host's.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, Final

from ptychodus.model.processing._subprocess_protocol import _child_main, _iter_events, _RunState, _shutdown

from ptychopinn_backend.errors import PtychoPINNError

GRACE_SECONDS: Final = 10.0
"""Between asking a child to end and killing it; the host's value."""
_LOOK_SECONDS: Final = 0.2


class ChildDiedError(PtychoPINNError, ChildProcessError):
    """The child ended without a word: it was killed from outside, or crashed."""

    def __init__(self, exit_code: int | None) -> None:
        """Explain.

        Args:
            exit_code: of the child; negative for a signal, as in `multiprocessing`.
        """
        super().__init__(
            f"The computing process was ended from outside ({_how(exit_code)}), most often because memory ran out. "
            "Lower the batch size, the number of filters or the number of groups, and try again."
        )


def run_child(entry_point: str, payload: Any, stop: threading.Event) -> Iterator[tuple[Any, ...]]:
    """Run a function in a spawned process; the process is gone when the iterator ends or is closed.

    Args:
        entry_point: 'module:function', called with the payload and an object with `put`.
        payload: crosses the process boundary.
        stop: ends the iterator, and with it the child, once it is set.

    Yields:
        The messages of the child, its log records apart, which go to the loggers of the same names.

    Raises:
        ChildDiedError: the child ended without a word.
        ChildError: the host's, for an exception in the child.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    level = logging.getLogger().getEffectiveLevel()
    process = context.Process(target=_run, args=(entry_point, payload, sender, level))
    process.start()
    # The child must hold the only writing end: its death then ends the pipe.
    sender.close()
    state = _RunState(process, _Messages(receiver, process, stop))
    try:
        yield from _iter_events(state)
    finally:
        _shutdown(state, GRACE_SECONDS)


class _Messages:
    """The reading end; stands in for the host's queue."""

    def __init__(self, receiver: Connection[Any, Any], process: SpawnProcess, stop: threading.Event) -> None:
        self._receiver = receiver
        self._process = process
        self._stop = stop

    def get(self) -> Any:
        """Return the next message, or None for the end of the call."""
        try:
            while not self._receiver.poll(_LOOK_SECONDS):
                if self._stop.is_set():
                    return None
            return self._receiver.recv()
        except (EOFError, OSError):
            self._process.join(GRACE_SECONDS)
            raise ChildDiedError(self._process.exitcode) from None

    def close(self) -> None:
        """Close the pipe."""
        self._receiver.close()

    def join_thread(self) -> None:
        """Do nothing: there is no thread."""


class _Outbox:
    """The writing end in the child; log records come from any of its threads."""

    def __init__(self, sender: Connection[Any, Any]) -> None:
        self._sender = sender
        self._lock = threading.Lock()

    def put(self, message: Any) -> None:
        """Send a message."""
        with self._lock:
            self._sender.send(message)


def _run(entry_point: str, payload: Any, sender: Connection[Any, Any], level: int) -> None:
    _child_main(entry_point, payload, _Outbox(sender), level)


def _how(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return f"signal {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"signal {-exit_code}"
