"""Search for the position of every frame, by number or by time between encoder readings, in bounded memory."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_left, insort
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Any, Final

from ptychopinn_backend.live.messages import Frame, Pair, Position
from ptychopinn_backend.live.numbering import SOON_S

BY_NUMBER: Final = "number"
BY_TIME: Final = "time"
PAIRINGS: Final = (BY_NUMBER, BY_TIME)
MOST_FRAMES: Final = 4096
"""Largest number of frames that wait for their position; if there are more, the oldest one is given up."""
MOST_POSITIONS: Final = 1 << 17
"""Largest number of positions that wait for their frame; if there are more, the oldest one is given up."""
_MOST_SCANS: Final = 4
"""Largest number of scans that wait at the same time, since streams may run ahead of each other."""


@dataclass(frozen=True)
class TimeRule:
    """Rule for pairing by time."""

    settle_s: float = 0.05
    """Time in seconds by which readings must be later than a frame before it is paired, so that late readings count."""
    longest_gap_s: float = 0.1
    """Longest time in seconds between two readings for which a position between them is interpolated."""
    offset_s: float = 0.0
    """Time in seconds that is added to the time of a frame: half of the exposure if the stamp is that of its start."""


class Pairing(ABC):
    """Entries of two streams that wait for each other. Entries of different scans are never paired."""

    def __init__(self) -> None:
        """Start without entries."""
        self.apart: tuple[int, float] | None = None
        """Number of the last frame that was stamped too far from its position, and the seconds between the stamps.

        The position is the one with the same number. None if there was no such frame."""
        self.given_up_frames = 0
        """Number of frames that were given up because no position arrived for them."""
        self.given_up_positions = 0
        """Number of positions that were given up because no frame arrived for them."""

    @abstractmethod
    def add_frame(self, scan: str, frame: Frame) -> list[Pair]:
        """Take a frame.

        Args:
            scan: scan that the frame belongs to.
            frame: the frame, which did not arrive before.

        Returns:
            The pairs that the frame completes.
        """

    @abstractmethod
    def add_position(self, scan: str, position: Position) -> list[Pair]:
        """Take a position.

        Args:
            scan: scan that the position belongs to.
            position: the position, which did not arrive before.

        Returns:
            The pairs that the position completes.
        """

    @abstractmethod
    def end(self, scan: str) -> list[Pair]:
        """End a scan for which no more entries arrive.

        Args:
            scan: name of the scan.

        Returns:
            The pairs that the waiting entries still make; the other entries are given up.
        """

    @abstractmethod
    def end_all(self) -> list[Pair]:
        """End all scans, as `end` does.

        Returns:
            The pairs that the waiting entries still make.
        """

    @property
    @abstractmethod
    def waiting(self) -> int:
        """Number of frames that wait."""


class PairByNumber(Pairing):
    """Pairs a frame with the position of the same number. Either may come first.

    Each stream finds out by itself that a scan without a name begins. After a loss the two streams may find different
    beginnings. So entries of such scans find each other by their time stamps. They find each other by the names '#1',
    '#2' only if a stamp is unknown.
    """

    def __init__(
        self, apart_s: float = SOON_S, most_frames: int = MOST_FRAMES, most_positions: int = MOST_POSITIONS
    ) -> None:
        """Start without entries.

        Args:
            apart_s: largest time in seconds between the stamps of a frame and its position, if their scan has no name.
            most_frames: largest number of frames that wait for their position.
            most_positions: largest number of positions that wait for their frame.
        """
        super().__init__()
        self._apart_s = apart_s
        self._most_frames, self._most_positions = most_frames, most_positions
        self._frames: OrderedDict[tuple[str, int], Frame] = OrderedDict()
        self._positions: OrderedDict[tuple[str, int], Position] = OrderedDict()
        self._frame_scans: Counter[str] = Counter()
        self._position_scans: Counter[str] = Counter()

    def add_frame(self, scan: str, frame: Frame) -> list[Pair]:
        """Take a frame; see `Pairing`."""
        for other in self._candidates(scan, frame.scan, self._position_scans):
            found = self._positions.get((other, frame.number))
            if found is not None and self._belong(frame, found, is_same=scan == other):
                self._take(self._positions, self._position_scans, (other, frame.number))
                return [Pair(frame, found.x, found.y, scan)]
        if self._wait(self._frames, self._frame_scans, (scan, frame.number), frame, self._most_frames):
            self.given_up_frames += 1
        return []

    def add_position(self, scan: str, position: Position) -> list[Pair]:
        """Take a position; see `Pairing`."""
        for other in self._candidates(scan, position.scan, self._frame_scans):
            found = self._frames.get((other, position.number))
            if found is not None and self._belong(found, position, is_same=scan == other):
                self._take(self._frames, self._frame_scans, (other, position.number))
                return [Pair(found, position.x, position.y, other)]
        if self._wait(self._positions, self._position_scans, (scan, position.number), position, self._most_positions):
            self.given_up_positions += 1
        return []

    def end(self, scan: str) -> list[Pair]:
        """End a scan. Its waiting frames are given up, and so are those of its positions that have no later use.

        Positions that have a stamp and name no scan go on waiting, because their frames may belong to the next scan.
        """
        frames = [key for key in self._frames if key[0] == scan]
        positions = [
            key
            for key, position in self._positions.items()
            if key[0] == scan and (position.scan or math.isnan(position.time_s))
        ]
        self.given_up_frames += len(frames)
        self.given_up_positions += len(positions)
        for key in frames:
            self._take(self._frames, self._frame_scans, key)
        for key in positions:
            self._take(self._positions, self._position_scans, key)
        return []

    def end_all(self) -> list[Pair]:
        """Give up all entries that wait."""
        self.given_up_frames += len(self._frames)
        self.given_up_positions += len(self._positions)
        for waiting in (self._frames, self._positions, self._frame_scans, self._position_scans):
            waiting.clear()
        return []

    @property
    def waiting(self) -> int:
        """Number of frames that wait."""
        return len(self._frames)

    def _candidates(self, scan: str, name: str, waiting: Counter[str]) -> list[str]:
        """Return the names of the scans in which the partner of an entry may wait; its own scan comes first."""
        if name:
            return [scan]
        return [scan, *(other for other in waiting if other != scan and other.startswith("#"))]

    def _belong(self, frame: Frame, position: Position, *, is_same: bool) -> bool:
        if frame.scan or position.scan:
            return is_same and frame.scan == position.scan
        apart_s = abs(frame.time_s - position.time_s)
        if math.isnan(apart_s) or math.isinf(self._apart_s):
            return is_same
        if apart_s > self._apart_s:
            self.apart = frame.number, apart_s
        return apart_s <= self._apart_s

    @staticmethod
    def _take(waiting: OrderedDict[tuple[str, int], Any], scans: Counter[str], key: tuple[str, int]) -> None:
        del waiting[key]
        scans[key[0]] -= 1
        if not scans[key[0]]:
            del scans[key[0]]

    def _wait(
        self,
        waiting: OrderedDict[tuple[str, int], Any],
        scans: Counter[str],
        key: tuple[str, int],
        entry: Frame | Position,
        most: int,
    ) -> bool:
        """Let an entry wait, and return whether another entry was removed for it."""
        is_replaced = key in waiting
        if is_replaced:
            self._take(waiting, scans, key)
        waiting[key] = entry
        scans[key[0]] += 1
        if len(waiting) > most:
            self._take(waiting, scans, next(iter(waiting)))
            return True
        return is_replaced


class PairByTime(Pairing):
    """Pairs a frame with the position on the straight line between the two readings around its time.

    The result does not depend on the order of arrival, as long as nothing is later than `settle_s`.
    """

    def __init__(
        self, rule: TimeRule | None = None, most_frames: int = MOST_FRAMES, most_positions: int = MOST_POSITIONS
    ) -> None:
        """Start without entries.

        Args:
            rule: rule of pairing; None takes the defaults.
            most_frames: largest number of frames of a scan that wait.
            most_positions: largest number of readings of a scan that are kept.
        """
        super().__init__()
        self._rule = rule or TimeRule()
        self._most_frames, self._most_positions = most_frames, most_positions
        self._lines: dict[str, _TimeLine] = {}

    def add_frame(self, scan: str, frame: Frame) -> list[Pair]:
        """Take a frame; see `Pairing`."""
        line = self._line(frame.scan)
        insort(
            line.frames, (frame.time_s + self._rule.offset_s, frame.number, scan, frame), key=lambda entry: entry[:2]
        )
        if len(line.frames) > self._most_frames:
            del line.frames[0]
            self.given_up_frames += 1
        return self._ready(line)

    def add_position(self, scan: str, position: Position) -> list[Pair]:
        """Take a position; see `Pairing`."""
        line = self._line(position.scan)
        if position.time_s < line.settled_s:
            # The frames around this time have their positions already.
            self.given_up_positions += 1
            return []
        insort(line.readings, (position.time_s, position.x, position.y))
        if len(line.readings) > self._most_positions:
            del line.readings[0]
        return self._ready(line)

    def end(self, scan: str) -> list[Pair]:
        """End a scan. Frames between two readings are paired without waiting for late readings."""
        line = self._lines.pop(scan, None)
        if line is not None:
            return self._pairs(line, len(line.frames))
        line = self._lines.get("")
        if line is None:
            return []
        # Scans without names lie on one line of time.
        line.frames.sort(key=lambda entry: (entry[2] != scan, entry[0], entry[1]))
        pairs = self._pairs(line, sum(entry[2] == scan for entry in line.frames))
        line.frames.sort(key=lambda entry: entry[:2])
        return pairs

    def end_all(self) -> list[Pair]:
        """End every scan."""
        return [pair for name in list(self._lines) for pair in self.end(name)]

    @property
    def waiting(self) -> int:
        """Number of frames that wait."""
        return sum(len(line.frames) for line in self._lines.values())

    def _line(self, scan: str) -> _TimeLine:
        line = self._lines.get(scan)
        if line is None:
            line = self._lines[scan] = _TimeLine([], [])
            if len(self._lines) > _MOST_SCANS:
                self.given_up_frames += len(self._lines.pop(next(iter(self._lines))).frames)
        return line

    def _ready(self, line: _TimeLine) -> list[Pair]:
        if not line.readings or not line.frames:
            return []
        until = line.readings[-1][0] - self._rule.settle_s
        return self._pairs(line, bisect_left(line.frames, until, key=lambda entry: entry[0]))

    def _pairs(self, line: _TimeLine, count: int) -> list[Pair]:
        """Take the first `count` frames out and pair them with their positions."""
        pairs = []
        for time_s, _, scan, frame in line.frames[:count]:
            found = line.at(time_s, self._rule.longest_gap_s)
            if found is None:
                self.given_up_frames += 1
            else:
                pairs.append(Pair(frame, *found, scan))
        if count:
            line.forget_before(line.frames[count - 1][0])
            del line.frames[:count]
        return pairs


@dataclass
class _TimeLine:
    """Frames and readings of a scan, sorted by time."""

    frames: list[tuple[float, int, str, Frame]]
    """Entries (time, number, name of the scan, frame) in ascending order."""
    readings: list[tuple[float, float, float]]
    """Entries (time, x, y) in ascending order."""
    settled_s: float = float("-inf")
    """Readings before this time come too late."""

    def at(self, time_s: float, longest_gap_s: float) -> tuple[float, float] | None:
        """Return the position (x, y) at a time; None outside the readings and in long gaps between them."""
        after = bisect_left(self.readings, time_s, key=lambda reading: reading[0])
        if after < len(self.readings) and self.readings[after][0] == time_s:
            return self.readings[after][1:]
        if after in (0, len(self.readings)):
            return None
        (begin_s, *first), (end_s, *last) = self.readings[after - 1 : after + 1]
        if end_s - begin_s > longest_gap_s:
            return None
        share = (time_s - begin_s) / (end_s - begin_s)
        return first[0] + share * (last[0] - first[0]), first[1] + share * (last[1] - first[1])

    def forget_before(self, time_s: float) -> None:
        """Drop the readings that no later frame needs. The last one before the time stays."""
        before = bisect_left(self.readings, time_s, key=lambda reading: reading[0])
        self.settled_s = max(self.settled_s, time_s)
        del self.readings[: max(0, before - 1)]
