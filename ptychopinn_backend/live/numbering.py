"""The numbers of one stream. They tell the scan of an entry, and whether it came before, in bounded memory."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

WINDOW: Final = 1 << 16
"""Numbers that lie further behind the newest one are too late. Nearer numbers are known one by one."""
SOON_S: Final = 1.0
"""Largest time in seconds between the stamps of a frame and its position. Scans without names lie further apart."""
_MOST_PAST: Final = 1024
"""Names of past scans that are remembered."""
_JITTER: Final = 16
"""An entry may lie behind another by so many numbers and yet be stamped a little later."""
_NANOSECONDS: Final = 10**9
_TIME_WINDOW: Final = 10 * _NANOSECONDS
"""Window in nanoseconds if pairing is by time. Entries further behind the newest one are too late."""


class State(Enum):
    """State of an entry: new, repeated, too late or too far ahead."""

    NEW = "new"
    REPEATED = "repeated"
    LATE = "late"
    FAR = "far"
    """The number is far ahead of all others. It counts as a wrong number until a second one confirms it."""


class Place(NamedTuple):
    """State of an entry of a stream, and the scan that it belongs to."""

    state: State
    """State of the entry; only a new one is taken."""
    scan: str
    """Name of the scan; scans without a name are called '#1', '#2' and so on."""


@dataclass(eq=False)
class _Scan:
    """What is known of one scan."""

    name: str = ""
    is_named: bool = False
    seen: dict[int, float] = field(default_factory=dict)
    """Time stamps of the newest entries, by number or by time in nanoseconds."""
    has_begun: bool = False
    first: int = 0
    newest: int = 0
    floor: int | None = None
    """Entries below this number are forgotten."""
    distinct: int = 0
    filled: int = 0
    """How many numbers between the first and the newest are missing for a reason that is counted elsewhere."""
    newest_number: int = 0
    newest_s: float = math.nan
    """Time stamp of the entry with the newest number."""
    begun_s: float = math.nan
    """Earliest time stamp."""
    far: int | None = None
    """A number far ahead that nothing has confirmed yet."""

    @property
    def missing(self) -> int:
        return max(0, self.newest - self.first + 1 - self.distinct - self.filled) if self.has_begun else 0


class Numbering:
    """Follows the numbers of a stream.

    A new scan begins when the sender names another one. Without names, it begins when the number goes back although the
    time goes on. It also begins if the coupled stream began one and this stream had a pause at that time.
    """

    def __init__(self, window: int = WINDOW, *, by_time: bool = False) -> None:
        """Start before the first entry.

        Args:
            window: numbers that lie further behind the newest one are too late.
            by_time: True if entries are told apart by their time stamps. Numbers then only tell that a scan begins.
        """
        self._window, self._by_time = _TIME_WINDOW if by_time else window, by_time
        self._most_known = window
        self._past: dict[str, None] = {}
        self._returned = False
        self._unseen = 0
        self._missing_past = 0
        self._other: Numbering | None = None
        self._other_began_s = math.nan
        self._index = 0
        self._now, self._before = _Scan(), _Scan()

    def couple(self, other: Numbering) -> None:
        """Couple this stream with another one, so that both begin scans without names together."""
        self._other, other._other = other, self

    @property
    def missing(self) -> int:
        """How many numbers between the first and the newest of every scan did not come."""
        return self._missing_past + self._before.missing + self._now.missing

    def sender_returned(self) -> None:
        """Note that the sender was away. Without time stamps, a lower number now begins a scan."""
        self._returned = True

    def lost_unseen(self) -> None:
        """Note that an entry was removed before it came here. Its gap in the numbers does not count as missing."""
        self._unseen += 1

    def place(self, number: int, time_s: float, scan: str = "") -> Place:
        """Take the number of an entry.

        Args:
            number: number of the entry.
            time_s: time of the entry in seconds; NaN if unknown.
            scan: name that the sender gives the scan, or ''.

        Returns:
            State of the entry, and the name of its scan.
        """
        if scan and scan in self._past:
            return Place(State.LATE, scan)
        into = self._now
        if scan:
            if scan != into.name:
                into = self._begin(scan, time_s, is_named=True)
        elif not into.has_begun or into.is_named:
            into = self._begin("", time_s)
        elif self._is_of_scan_before(time_s):
            into = self._before
        elif self._restarts(number, time_s) or self._follows_the_other(time_s):
            into = self._begin("", time_s)
        self._returned = False
        return Place(self._take(into, number, time_s), into.name)

    def _is_of_scan_before(self, time_s: float) -> bool:
        """Return whether a stamp is nearer to the end of the scan before than to the start of the present one."""
        before = self._before
        if not before.has_begun or before.is_named:
            return False
        return time_s < self._now.begun_s and time_s - before.newest_s < self._now.begun_s - time_s

    def _restarts(self, number: int, time_s: float) -> bool:
        now = self._now
        behind, later_s = now.newest_number - number, time_s - now.newest_s
        if behind < 0:
            return False
        known_s = None if self._by_time else now.seen.get(number)
        if math.isnan(later_s):
            if behind == 0 or self._by_time:
                return False
            other_is_ahead = self._other is not None and self._other._index > self._index
            came = known_s is not None and (behind > _JITTER or other_is_ahead)
            return self._returned or came or behind > self._window
        if later_s <= 0 or (behind == 0 and self._by_time):
            return False
        came_earlier = known_s is not None and known_s < time_s and behind > 0
        return came_earlier or behind > _JITTER or later_s > SOON_S

    def _follows_the_other(self, time_s: float) -> bool:
        """Return whether the other stream began a scan in a pause of this one."""
        paused = time_s - self._now.newest_s > SOON_S
        return paused and self._now.newest_s < self._other_began_s - SOON_S < time_s

    def _begin(self, scan: str, time_s: float, *, is_named: bool = False) -> _Scan:
        now = self._now
        if now.has_begun:
            self._past[now.name] = None
            if len(self._past) > _MOST_PAST:
                self._past.pop(next(iter(self._past)))
        self._missing_past += self._before.missing
        self._unseen, self._other_began_s = 0, math.nan
        self._index = max(self._index + 1, 0 if self._other is None else self._other._index)
        if self._other is not None and now.has_begun and not is_named:
            self._other._other_began_s = time_s
        self._before, self._now = now, _Scan(scan or f"#{self._index}", is_named, begun_s=time_s)
        return self._now

    def _take(self, scan: _Scan, number: int, time_s: float) -> State:
        key = round(time_s * _NANOSECONDS) if self._by_time else number
        if not scan.has_begun:
            scan.has_begun, scan.first, scan.newest, scan.newest_number, scan.newest_s = True, key, key, number, time_s
        elif key in scan.seen:
            return State.REPEATED
        elif key < scan.newest - self._window or (scan.floor is not None and key < scan.floor):
            return State.LATE
        elif key > scan.newest + self._window and not self._confirms(scan, key):
            return State.FAR
        scan.seen[key] = time_s
        scan.distinct += 1
        scan.first = min(scan.first, key)
        if key > scan.newest:
            filled = min(self._unseen, key - scan.newest - 1)
            scan.filled, self._unseen = scan.filled + filled, self._unseen - filled
            scan.newest = key
        if number >= scan.newest_number:
            scan.newest_number, scan.newest_s = number, time_s
        if time_s < scan.begun_s:
            scan.begun_s = time_s
        if len(scan.seen) > 2 * self._most_known:
            kept = sorted(scan.seen)[-self._most_known :]
            scan.seen, scan.floor = {known: scan.seen[known] for known in kept}, kept[0]
        return State.NEW

    def _confirms(self, scan: _Scan, key: int) -> bool:
        """Return whether a number far ahead is the second one there. If it is, the numbers go on from it."""
        before, scan.far = scan.far, key
        if before is None or before == key or abs(key - before) > self._window:
            return False
        # The first one came, and the numbers in between were never given.
        scan.filled += min(key, before) - scan.newest - 1
        scan.seen[before] = scan.newest_s
        scan.distinct += 1
        scan.newest, scan.far = max(key, before), None
        return True
