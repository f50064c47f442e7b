"""A scan file that is served as channels, to show `live`, to test it, and to put it under load."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from ptychopinn_backend.arrays import AnyArray, Float64Array, IntArray
from ptychopinn_backend.config.checks import require_non_negative
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.live.channels import Network, ndarray_type, ndarray_value, open_server, require_p4p

logger = logging.getLogger(__name__)

FASTEST_HZ: Final = 20_000.0
"""Largest number of frames per second; more would only overload the computer."""
MOST_FRAMES: Final = 10_000_000
MOST_SECONDS: Final = 24 * 3600.0
_SETTLE_S: Final = 0.3
"""Time between the connection of a receiver and the end of its subscription."""
_ENCODER_MARGIN_S: Final = 0.2
"""Time before the first frame and after the last one in which a free-running encoder reads, seconds."""


@dataclass(frozen=True)
class ReplayOptions:
    """Options for sending a scan, with its disturbances."""

    rate_hz: float = 100.0
    """Frames per second."""
    frames: int | None = None
    """Number of frames. If the scan has fewer, it is sent again, and the numbers go on. None sends the scan once."""
    seconds: float = 3600.0
    """Time after which the sending ends, seconds."""
    jitter_ms: float = 0.0
    """Largest random delay of frames and positions, milliseconds. It differs for each, so that the order changes."""
    lose: float = 0.0
    """Part of the frames, and part of the positions, that are not sent."""
    swap: float = 0.0
    """Part of the frames, and part of the positions, that are exchanged with the next one."""
    repeat: float = 0.0
    """Part of the frames, and part of the positions, that are sent twice."""
    encoder_hz: float | None = None
    """Positions per second of a free-running encoder, with times and without numbers; None sends one per frame."""
    scans: int = 1
    """Number of times that everything is sent, each time as a new scan."""
    seed: int = 0
    """Seed of the disturbances."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: a value breaks its rule.
        """
        for name, value, most in (
            ("rate", self.rate_hz, FASTEST_HZ),
            ("encoder-rate", self.encoder_hz or 1.0, FASTEST_HZ),
            ("frames", self.frames or 1, MOST_FRAMES),
            ("seconds", self.seconds, MOST_SECONDS),
            ("scans", self.scans, 1000),
        ):
            if not (math.isfinite(value) and 0 < value <= most):
                raise ConfigError(f"--{name} {value:g} is not above 0 and at most {most:g}. Choose one that is.")
        require_non_negative("jitter", self.jitter_ms)
        for name in ("lose", "swap", "repeat"):
            part = getattr(self, name)
            if not 0 <= part < 1:
                raise ConfigError(f"--{name} {part:g} is no part of the frames, from 0 to below 1. Write 0.05 for 5 %.")


class Sending(NamedTuple):
    """One update to send."""

    due_s: float
    """Time to send it, seconds after the start."""
    is_frame: bool
    """True for a frame, False for a position."""
    number: int
    """Number of the frame, or of the reading of the encoder."""
    taken_s: float
    """Time stamp, seconds after the start."""


def schedule(n_frames: int, options: ReplayOptions) -> Iterator[Sending]:
    """Yield the updates in the order in which they are sent.

    Args:
        n_frames: number of frames in the scan.
        options: rate and disturbances.

    Yields:
        Frames and positions.
    """
    rng = np.random.default_rng(options.seed)
    count = min(options.frames or n_frames, math.ceil(options.seconds * options.rate_hz))
    taken_s = np.arange(count) / options.rate_hz
    read_s = taken_s
    if options.encoder_hz is not None:
        read_s = np.arange(-_ENCODER_MARGIN_S, taken_s[-1] + _ENCODER_MARGIN_S, 1 / options.encoder_hz)
    frames, positions = (_arrivals(times, options, rng) for times in (taken_s, read_s))
    due_s = np.concatenate([frames[0], positions[0]])
    for row in np.argsort(due_s, kind="stable").tolist():
        is_frame = row < len(frames[0])
        number = int(frames[1][row] if is_frame else positions[1][row - len(frames[0])])
        yield Sending(float(due_s[row]), is_frame, number, float((taken_s if is_frame else read_s)[number]))


def _arrivals(times_s: Float64Array, options: ReplayOptions, rng: np.random.Generator) -> tuple[Float64Array, IntArray]:
    """Return times and numbers (entry,) of the entries to send: some are late, exchanged, left out or sent twice."""
    count = len(times_s)
    due_s = times_s + rng.uniform(0, options.jitter_ms * 1e-3, count)
    first = np.flatnonzero(rng.random(count - 1) < options.swap) if count > 1 else np.zeros(0, np.int64)
    # Each entry is exchanged at most once.
    first = first[np.diff(first, prepend=-2) > 1]
    due_s[first], due_s[first + 1] = due_s[first + 1], due_s[first]
    sent = np.flatnonzero(rng.random(count) >= options.lose)
    again = sent[rng.random(len(sent)) < options.repeat]
    numbers = np.concatenate([sent, again])
    return due_s[numbers] + np.repeat([0.0, 1e-3], [len(sent), len(again)]), numbers


def detector_counts(scan: RawData) -> AnyArray:
    """Return the patterns of a scan as a detector sends them.

    Args:
        scan: the scan.

    Returns:
        Whole counts of the patterns (pattern, N, N), uint16 or, if they are too large, uint32. They are float32 if the
        patterns are not whole counts.
    """
    counts = np.square(scan.diff3d.astype(np.float64))
    whole = np.rint(counts)
    if not scan.measured_as_counts and np.abs(counts - whole).max(initial=0.0) > 1e-3:
        return counts.astype(np.float32)
    return whole.astype(np.uint16 if whole.max(initial=0) < 2**16 else np.uint32)


class Replay:
    """Serves PREFIX:frames, PREFIX:positions and PREFIX:done."""

    def __init__(self, scan: RawData, prefix: str, network: Network, options: ReplayOptions) -> None:
        """Serve the channels; nothing is sent yet.

        Args:
            scan: the scan to send.
            prefix: prefix of the names of the channels.
            network: interface of the server.
            options: options for sending.

        Raises:
            BackendUnavailableError: p4p is not installed.
        """
        require_p4p()
        from p4p import Type, Value
        from p4p.nt import NTScalar
        from p4p.server.raw import SharedPV

        self._options, self._counts, self._path = options, detector_counts(scan), scan.positions_xy
        self._frame_type = ndarray_type()
        stamp = ("S", "time_t", [("secondsPastEpoch", "l"), ("nanoseconds", "i"), ("userTag", "i")])
        self._position_type = Type([("x", "d"), ("y", "d"), ("uniqueId", "l"), ("scan", "s"), ("timeStamp", stamp)])
        self._value = Value
        self._watched = [_Watched(), _Watched()]
        self._frames = SharedPV(handler=self._watched[0], initial=Value(self._frame_type, {}))
        self._positions = SharedPV(handler=self._watched[1], initial=Value(self._position_type, {}))
        self._done_type = NTScalar.buildType("?")
        self._done = SharedPV(initial=Value(self._done_type, {"value": False}))
        channels = {"frames": self._frames, "positions": self._positions, "done": self._done}
        self.names = [f"{prefix}:{name}" for name in channels]
        """Names of the channels."""
        self._server = open_server(network, dict(zip(self.names, channels.values(), strict=True)))

    def wait_for_receiver(self, timeout_s: float, is_asked_to_stop: Callable[[], bool]) -> bool:
        """Wait until somebody follows frames and positions.

        Args:
            timeout_s: longest time to wait, seconds.
            is_asked_to_stop: called again and again; True ends the wait.

        Returns:
            Whether somebody follows both.
        """
        until = time.monotonic() + timeout_s
        while not all(watched.is_followed.is_set() for watched in self._watched):
            if time.monotonic() > until or is_asked_to_stop():
                return False
            time.sleep(0.05)
        time.sleep(_SETTLE_S)
        return True

    def send(self, name: str, is_asked_to_stop: Callable[[], bool]) -> dict[str, int]:
        """Send the scan as often as the options say, then send that it is done.

        Args:
            name: name of the scan; a number is added to it.
            is_asked_to_stop: called before every update; True ends the sending.

        Returns:
            Numbers of frames and positions that were sent: 'frames', 'positions'.
        """
        sent = {"frames": 0, "positions": 0}
        for index in range(self._options.scans):
            begin_s, begin = time.time(), time.monotonic()
            label = f"{name} {begin_s:.3f}" if self._options.scans == 1 else f"{name} {index + 1} {begin_s:.3f}"
            for sending in schedule(len(self._counts), self._options):
                ahead_s = begin + sending.due_s + _ENCODER_MARGIN_S - time.monotonic()
                if ahead_s > 0:
                    time.sleep(ahead_s)
                if is_asked_to_stop():
                    return sent
                post = self._post_frame if sending.is_frame else self._post_position
                post(sending, label, begin_s + _ENCODER_MARGIN_S)
                sent["frames" if sending.is_frame else "positions"] += 1
        self._done.post(self._value(self._done_type, {"value": True}))
        return sent

    def wait_for_last_receiver(self, timeout_s: float, is_asked_to_stop: Callable[[], bool]) -> None:
        """Wait until nobody follows the frames any more, so that the last ones still arrive.

        Args:
            timeout_s: longest time to wait, seconds.
            is_asked_to_stop: called again and again; True ends the wait.
        """
        until = time.monotonic() + timeout_s
        while self._watched[0].is_followed.is_set() and time.monotonic() < until and not is_asked_to_stop():
            time.sleep(0.05)

    def close(self) -> None:
        """Stop the server."""
        self._server.stop()

    def _post_frame(self, sending: Sending, label: str, begin_s: float) -> None:
        image = self._counts[sending.number % len(self._counts)]
        stamp_s = begin_s + sending.taken_s
        self._frames.post(ndarray_value(self._frame_type, image, sending.number, stamp_s, {"scan": label}))

    def _post_position(self, sending: Sending, label: str, begin_s: float) -> None:
        stamp_s = begin_s + sending.taken_s
        if self._options.encoder_hz is None:
            x, y = self._path[sending.number % len(self._path)]
            number = sending.number
        else:
            x, y = self._between(sending.taken_s * self._options.rate_hz)
            number = -1
        seconds = math.floor(stamp_s)
        stamp = {"secondsPastEpoch": seconds, "nanoseconds": round((stamp_s - seconds) * 1e9) % 10**9}
        fields = {"x": float(x), "y": float(y), "uniqueId": number, "scan": label, "timeStamp": stamp}
        self._positions.post(self._value(self._position_type, fields))

    def _between(self, at: float) -> Float64Array:
        """Return the position on the straight line between two frames; outside the scan it is the first or last one."""
        last = len(self._path) - 1
        index = min(max(math.floor(at), 0), last)
        share = min(max(at - index, 0.0), 1.0)
        following: Float64Array = self._path[min(index + 1, last)]
        position: Float64Array = self._path[index] + share * (following - self._path[index])
        return position


class _Watched:
    """Handler of a channel that knows whether somebody follows it."""

    def __init__(self) -> None:
        self.is_followed = threading.Event()

    def onFirstConnect(self, _: Any) -> None:
        self.is_followed.set()

    def onLastDisconnect(self, _: Any) -> None:
        self.is_followed.clear()
