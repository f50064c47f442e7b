"""Updates of a channel. They are followed through losses of the connection, and wait in bounded memory."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ptychopinn_backend.live.channels import QUEUE

if TYPE_CHECKING:
    from p4p import Value

QUEUE_BYTES: Final = 1 << 30
"""Largest number of bytes of the images that wait on the way from a sender."""
_REQUEST: Final = f"field()record[queueSize={QUEUE}]"


class Arrival(NamedTuple):
    """An update of a channel."""

    value: Value
    """The value as it arrived."""
    arrived_s: float
    """Time of its arrival, seconds of the monotonic clock."""
    is_first: bool
    """True for the first update after a connection, which may be an old one."""


class Inbox:
    """Updates that came and were not taken yet. If there are too many, the oldest one is removed.

    The threads of p4p fill it, and one other thread empties it.
    """

    def __init__(self, most: int = QUEUE, most_bytes: int = QUEUE_BYTES) -> None:
        """Start empty.

        Args:
            most: largest number of entries that wait.
            most_bytes: largest number of bytes of the images that wait.
        """
        self._most, self._most_bytes = most, most_bytes
        self._lock = threading.Lock()
        self._entries: deque[tuple[float, int, Any]] = deque()
        self._bytes = 0
        self.overrun = 0
        """Number of entries that were removed because too many waited."""

    def put(self, entry: Any) -> None:
        """Add an update, or the exception of a connection that was lost. The threads of p4p call this."""
        n_bytes = _bytes_of(entry)
        with self._lock:
            self._entries.append((time.monotonic(), n_bytes, entry))
            self._bytes += n_bytes
            while len(self._entries) > self._most or (self._bytes > self._most_bytes and len(self._entries) > 1):
                self._bytes -= self._entries.popleft()[1]
                self.overrun += 1

    def take(self) -> list[tuple[float, Any]]:
        """Take out all entries that wait, and return them with the times of their arrival."""
        with self._lock:
            taken, self._entries, self._bytes = self._entries, deque(), 0
        return [(arrived_s, entry) for arrived_s, _, entry in taken]


def _bytes_of(entry: Any) -> int:
    try:
        return int(getattr(entry["value"], "nbytes", 0))
    except (TypeError, KeyError):
        return 0


class Subscription:
    """Follows a channel, through losses of its connection."""

    def __init__(self, context: Any, name: str, most: int = QUEUE) -> None:
        """Begin to follow.

        Args:
            context: a client of p4p.
            name: name of the channel.
            most: largest number of updates that wait to be taken.
        """
        self.name = name
        self._inbox = Inbox(most)
        self._connected = self._was_connected = False
        self._overruns_told = 0
        self._monitor = context.monitor(name, self._inbox.put, request=_REQUEST, notify_disconnect=True)

    @property
    def is_connected(self) -> bool:
        """Whether the sender is there, as far as its entries have been taken."""
        return self._connected

    def take(
        self, on_value: Callable[[Arrival], None], on_return: Callable[[], None], on_overrun: Callable[[], None]
    ) -> int:
        """Take the updates that have come.

        Args:
            on_value: called with every update.
            on_return: called when the sender is back after it was away.
            on_overrun: called for every value that was removed because nobody took it in time.

        Returns:
            Number of entries that were taken.
        """
        taken = self._inbox.take()
        # Only the other side counts up, only this side takes note.
        while self._overruns_told < self._inbox.overrun:
            self._overruns_told += 1
            on_overrun()
        for arrived_s, entry in taken:
            if isinstance(entry, Exception):
                self._connected = False
                continue
            is_first = not self._connected
            if is_first and self._was_connected:
                on_return()
            self._connected = self._was_connected = True
            on_value(Arrival(entry, arrived_s, is_first))
        return len(taken)

    def close(self) -> None:
        """Stop following the channel."""
        self._monitor.close()
