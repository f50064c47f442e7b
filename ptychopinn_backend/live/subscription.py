"""Updates of a channel on their way: followed through losses of the connection, kept in bounded memory until taken."""

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
"""Of images that wait on the way from a sender, at most."""
_REQUEST: Final = f"field()record[queueSize={QUEUE}]"


class Arrival(NamedTuple):
    """An update of a channel."""

    value: Value
    """As it came."""
    arrived_s: float
    """When it came, seconds of the monotonic clock."""
    is_first: bool
    """The first one after a connection, which may be of the past."""


class Inbox:
    """What came and was not taken yet; filled by threads of p4p, emptied by one other. Bounded: the oldest goes."""

    def __init__(self, most: int = QUEUE, most_bytes: int = QUEUE_BYTES) -> None:
        """Start empty.

        Args:
            most: entries that wait, at most.
            most_bytes: of images that wait, at most.
        """
        self._most, self._most_bytes = most, most_bytes
        self._lock = threading.Lock()
        self._entries: deque[tuple[float, int, Any]] = deque()
        self._bytes = 0
        self.overrun = 0
        """Entries that had to go."""

    def put(self, entry: Any) -> None:
        """Add an update, or the exception of a connection that was lost; called by the threads of p4p."""
        n_bytes = _bytes_of(entry)
        with self._lock:
            self._entries.append((time.monotonic(), n_bytes, entry))
            self._bytes += n_bytes
            while len(self._entries) > self._most or (self._bytes > self._most_bytes and len(self._entries) > 1):
                self._bytes -= self._entries.popleft()[1]
                self.overrun += 1

    def take(self) -> list[tuple[float, Any]]:
        """Return what waits, with the times at which it came."""
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
            name: of the channel.
            most: updates that wait to be taken, at most.
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
        """Take what has come.

        Args:
            on_value: called with every update.
            on_return: called where the sender had been away.
            on_overrun: called for every value that had to go because nobody took it.

        Returns:
            How many entries there were.
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
        """Follow no longer."""
        self._monitor.close()
