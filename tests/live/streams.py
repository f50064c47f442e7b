"""Entries of streams made of a scan."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.live.live_stream import EndedScan, LiveStream, StreamOptions
from ptychopinn_backend.live.messages import Frame, Position
from ptychopinn_backend.runs.trained_model import TrainedModel

from .conftest import counts_of

Entry = Frame | Position
AT_ONCE = StreamOptions(start_frames=1, start_wait_s=0.0, batch_wait_s=0.0)


def frames_of(scan: RawData, name: str = "", begin_s: float = 100.0, first: int = 0) -> list[Frame]:
    counts = counts_of(scan)
    return [Frame(first + k, image, begin_s + k * 1e-3, name) for k, image in enumerate(counts)]


def positions_of(scan: RawData, name: str = "", begin_s: float = 100.0, first: int = 0) -> list[Position]:
    return [Position(first + k, x, y, begin_s + k * 1e-3, name) for k, (x, y) in enumerate(scan.positions_xy.tolist())]


def interleaved(*streams: Sequence[Entry]) -> list[Entry]:
    return [entry for entries in zip(*streams, strict=True) for entry in entries]


def run(
    model: TrainedModel,
    entries: Sequence[Entry],
    options: StreamOptions | None = None,
    *,
    work_every: int = 1,
    during: Callable[[LiveStream], None] = lambda stream: None,
) -> tuple[list[EndedScan], LiveStream]:
    """Hand entries in, work on the way, and end."""
    ended: list[EndedScan] = []
    stream = LiveStream(model, options, on_end=ended.append, clock=lambda: 0.0)
    for count, entry in enumerate(entries):
        if isinstance(entry, Frame):
            stream.take_frame(entry)
        else:
            stream.take_position(entry)
        if count % work_every == 0:
            stream.work()
            during(stream)
    stream.end()
    return ended, stream


def as_used(scan: RawData, ended: EndedScan) -> RawData:
    """Return the scan of the frames of an object, in the order in which they were added."""
    return scan.select(ended.object.log.numbers.astype(int))


def balance(stream: LiveStream) -> int:
    """Return how many frames are not accounted for."""
    c = stream.counters
    return c.frames - (c.used + c.repeated + c.late + c.refused + c.unpaired + c.dropped + c.waiting)


def nan_frame(frame: Frame) -> Frame:
    counts = frame.counts.astype(np.float32)
    counts[3, 3] = np.nan
    return Frame(frame.number, counts, frame.time_s, frame.scan)
