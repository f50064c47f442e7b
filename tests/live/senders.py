"""A detector and encoders in this process, on channels of the loopback interface."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from p4p import Type, Value
from p4p.nt import NTScalar
from p4p.server.raw import SharedPV

from ptychopinn_backend.live.channels import Network, ndarray_type, ndarray_value, open_server
from ptychopinn_backend.live.messages import Frame, Position
from ptychopinn_backend.live.session import Session

STAMP = ("S", "time_t", [("secondsPastEpoch", "l"), ("nanoseconds", "i"), ("userTag", "i")])
POSITION = Type([("x", "d"), ("y", "d"), ("uniqueId", "d"), ("scan", "s"), ("time", "d"), ("timeStamp", STAMP)])
FRAME = ndarray_type()
FLAG = NTScalar.buildType("?")


def frame_value(frame: Frame) -> Value:
    return ndarray_value(FRAME, frame.counts, frame.number, frame.time_s)


def position_value(position: Position) -> Value:
    fields = {"x": position.x, "y": position.y, "uniqueId": position.number, "time": position.time_s}
    return Value(POSITION, fields)


class Sender:
    """Serves t:frames, t:positions and t:done."""

    def __init__(self, network: Network, *, first: tuple[Frame, Position] | None = None, is_done: bool = False) -> None:
        values = (
            (Value(FRAME, {}), Value(POSITION, {}))
            if first is None
            else (frame_value(first[0]), position_value(first[1]))
        )
        self._frames, self._positions = (SharedPV(initial=value) for value in values)
        self._done = SharedPV(initial=Value(FLAG, {"value": is_done}))
        channels: dict[str, Any] = {"t:frames": self._frames, "t:positions": self._positions, "t:done": self._done}
        self._server = open_server(network, channels)

    def send(self, frames: list[Frame], positions: list[Position]) -> None:
        for frame in frames:
            self._frames.post(frame_value(frame))
        for position in positions:
            self._positions.post(position_value(position))

    def end(self) -> None:
        self._done.post(Value(FLAG, {"value": True}))

    def close(self) -> None:
        self._server.stop()


def until(happened: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until something happened."""
    end_s = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end_s
        time.sleep(0.01)


class Running:
    """A session that runs in a thread of its own."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.reason = ""
        self.error: Exception | None = None
        self._asked = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.reason = self.session.run(self._asked.is_set)
        except Exception as error:
            self.error = error

    def count(self, name: str) -> float:
        return self.session.counters()[name]

    def wait_for_senders(self) -> None:
        until(lambda: self.session._frames.is_connected and self.session._positions.is_connected)

    def ask_to_end(self) -> None:
        self._asked.set()

    def wait(self, seconds: float = 60.0) -> None:
        self._thread.join(seconds)
        assert not self._thread.is_alive()


@contextmanager
def running(session: Session) -> Iterator[Running]:
    """Run a session; it is ended where a test fails."""
    found = Running(session)
    try:
        yield found
    finally:
        found.ask_to_end()
        found.wait()
        session.close()


def now_stamped(frames: list[Frame], positions: list[Position]) -> tuple[list[Frame], list[Position]]:
    """Return entries stamped from now on, as a sender with a good clock does."""
    from dataclasses import replace

    begin_s = math.floor(time.time() * 1e3) * 1e-3
    shift = begin_s - frames[0].time_s
    return (
        [replace(frame, time_s=frame.time_s + shift) for frame in frames],
        [replace(position, time_s=position.time_s + shift) for position in positions],
    )
