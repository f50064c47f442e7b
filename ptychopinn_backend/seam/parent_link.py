"""The child's side of a child process: what it is given, what it says, and its end with its parent."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import queue
import signal
import threading
import traceback
from collections.abc import Callable
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection
from typing import Any, Final, NamedTuple, cast

from ptychopinn_backend.seam.parcel import take_parcel

_LOOK_S: Final = 0.2
"""How often the end of the parent is looked for."""


class Failure(NamedTuple):
    """The exception that ended the child's work."""

    pickled: bytes | None
    sentence: str
    traceback: str


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
        return take_parcel(self._pipe)

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


class _LogForwarder(QueueHandler):
    """Makes a record fit for a pipe, as for any queue, and sends it."""

    queue: Any  # a ParentLink

    def enqueue(self, record: logging.LogRecord) -> None:
        self.queue.put(record)


def work_for_parent(work: Callable[[ParentLink], None], pipe: Connection[Any, Any], level: int | None) -> None:
    """Do the work of a child: what its process is started with.

    Args:
        work: called with the link to the parent.
        pipe: to the parent.
        level: from which level on log records are sent; None sends none.
    """
    if hasattr(os, "setsid"):
        os.setsid()
        # A process that is forked here would keep the pipe open after the death of this one.
        os.register_at_fork(after_in_child=pipe.close)
    threading.Thread(target=_end_with_parent, name="parent-watch", daemon=True).start()
    link = ParentLink(pipe)
    forwarder, root = _LogForwarder(cast(Any, link)), logging.getLogger()
    if level is not None:
        root.addHandler(forwarder)
        root.setLevel(level)
    try:
        work(link)
        link.put(None)
    except BaseException as error:
        link.put(_failure_of(error))
    finally:
        root.removeHandler(forwarder)
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


def _failure_of(error: BaseException) -> Failure:
    try:
        pickled: bytes | None = pickle.dumps(error)
    except Exception:
        pickled = None
    return Failure(pickled, f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error)))
