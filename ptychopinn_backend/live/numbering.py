"""The numbers of one stream. They tell the scan of an entry, and whether it came before, in bounded memory."""

from __future__ import annotations

import math
from enum import Enum
from typing import Final, NamedTuple

WINDOW: Final = 1 << 16
"""A number this far behind the newest one is too late; numbers closer to it are remembered one by one."""
_MOST_PAST: Final = 1024
"""Largest number of names of past scans that are remembered."""


class State(Enum):
    """State of an entry: new, repeated or too late."""

    NEW = "new"
    REPEATED = "repeated"
    LATE = "late"


class Place(NamedTuple):
    """State of an entry of a stream, and the scan that it belongs to."""

    state: State
    """State of the entry; only a new one is taken."""
    scan: str
    """Name of the scan; scans without a name are called '#1', '#2' and so on."""


class Numbering:
    """Follows the numbers of a stream.

    A new scan starts when the sender names another one. Without names, a new scan starts when the number goes back
    although time goes on, either to a number that came already or by more than `WINDOW`. It also starts when the number
    goes back after the sender was away.
    """

    def __init__(self, window: int = WINDOW) -> None:
        """Start before the first entry.

        Args:
            window: a number this far behind the newest one is too late.
        """
        self._window = window
        self._count = 0
        self._past: dict[str, None] = {}
        self._returned = False
        self._start("", named=False)

    @property
    def missing(self) -> int:
        """Count of the numbers between the first and the newest of the present scan that did not arrive."""
        return 0 if self._first is None else self._newest - self._first + 1 - self._distinct

    def sender_returned(self) -> None:
        """Note that the sender was away, so that a lower number now starts a scan."""
        self._returned = True

    def place(self, number: int, time_s: float, scan: str = "") -> Place:
        """Take the number of an entry.

        Args:
            number: number of the entry.
            time_s: time of the entry in seconds; NaN if unknown.
            scan: name that the sender gives the scan, or ''.

        Returns:
            State of the entry, and the name of its scan.
        """
        if scan:
            if scan in self._past:
                return Place(State.LATE, scan)
            if scan != self._scan:
                self._begin(scan)
        elif self._first is None or self._named or self._restarts(number, time_s):
            self._begin("")
        elif time_s < self._begun_s and number > self._newest:
            # The entry is from the scan before. In the present scan, an entry with a higher number has a later time.
            return Place(State.LATE, self._scan)
        self._returned = False
        return Place(self._take(number, time_s), self._scan)

    def _restarts(self, number: int, time_s: float) -> bool:
        if number >= self._newest:
            return False
        if self._returned:
            return not (number in self._seen and time_s <= self._newest_s)
        goes_on = time_s > self._newest_s
        return goes_on and (number in self._seen or number < self._newest - self._window)

    def _begin(self, scan: str) -> None:
        if self._first is not None:
            self._past[self._scan] = None
            if len(self._past) > _MOST_PAST:
                self._past.pop(next(iter(self._past)))
        self._count += 1
        self._start(scan or f"#{self._count}", named=bool(scan))

    def _start(self, scan: str, *, named: bool) -> None:
        self._scan, self._named = scan, named
        self._seen: set[int] = set()
        self._first: int | None = None
        self._newest = self._distinct = 0
        self._begun_s = self._newest_s = -math.inf

    def _take(self, number: int, time_s: float) -> State:
        if self._first is None:
            self._first = self._newest = number
            self._begun_s = -math.inf if math.isnan(time_s) else time_s
        elif number in self._seen:
            return State.REPEATED
        elif number < self._newest - self._window:
            return State.LATE
        self._seen.add(number)
        self._distinct += 1
        self._first, self._newest = min(self._first, number), max(self._newest, number)
        if time_s > self._newest_s:
            self._newest_s = time_s
        if len(self._seen) > 2 * self._window:
            self._seen = {known for known in self._seen if known >= self._newest - self._window}
        return State.NEW
