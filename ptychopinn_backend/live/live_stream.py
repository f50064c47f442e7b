"""Objects from two streams: frames and positions are paired, predicted in batches, and separated into scans.

`LiveStream` knows no network. Its owner gives it the entries and calls `work`, both from one thread.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np

from ptychopinn_backend.arrays import BoolArray, Complex64Array
from ptychopinn_backend.config.checks import require_choice
from ptychopinn_backend.data.measurement import AMPLITUDES, COUNTS
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import ConfigError, DataError, OutputError
from ptychopinn_backend.live.counters import Counters
from ptychopinn_backend.live.frame_amplitudes import FrameAmplitudes
from ptychopinn_backend.live.kept_frames import KeptFrames
from ptychopinn_backend.live.live_object import BATCH, LiveObject, require_one_by_one
from ptychopinn_backend.live.messages import Frame, Pair, Position, known_time, positions_of
from ptychopinn_backend.live.no_pairs import why_nothing_pairs
from ptychopinn_backend.live.numbering import SOON_S, Numbering, State
from ptychopinn_backend.live.pairing import (
    BY_NUMBER,
    BY_TIME,
    MOST_FRAMES,
    PAIRINGS,
    PairByNumber,
    PairByTime,
    Pairing,
    TimeRule,
)
from ptychopinn_backend.runs.trained_model import TrainedModel

logger = logging.getLogger(__name__)

_MOST_ENDED: Final = 1024
_WAITING_BYTES: Final = 1 << 29
"""Largest number of bytes of the frames that wait for their position, at four bytes a pixel."""
_FEWEST_WAITING: Final = 64
_SURELY: Final = 64
"""If none of so many frames finds a position, this is no chance."""


@dataclass(frozen=True, eq=False)
class StreamOptions:
    """Options for the pairing and the prediction of streams."""

    pairing: str = BY_NUMBER
    """Rule of pairing, 'number' or 'time'."""
    time_rule: TimeRule = field(default_factory=TimeRule)
    """How frames are paired by time."""
    apart_s: float = SOON_S
    """Largest difference in seconds between the stamps of a frame and its position.

    It is used if pairing is by number and scans have no names. It is infinite if the clocks have nothing to do with
    each other."""
    measurement: str = COUNTS
    """Content of the frames, 'counts' or 'amplitudes'."""
    photons: float | None = None
    """Mean photons of a pattern, which normalise the growing object; None takes the mean of the first frames."""
    start_frames: int = 64
    """Number of frames that give the brightness of a scan, before the first one is predicted."""
    start_wait_s: float = 1.0
    """Time after which fewer frames are enough, seconds."""
    batch_wait_s: float = 0.02
    """Time that a pass waits for a complete batch of frames, seconds."""
    most_waiting: int = 512
    """Largest number of paired frames that wait for the network. If there are more, the oldest one is dropped."""
    probe: Complex64Array | None = None
    """Modes of the probe (mode, N, N); None takes the probe of the archive."""
    bad_pixels: BoolArray | None = None
    """Mask (N, N), True for bad pixels; None if all are good."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: a choice does not exist, or a time is not a number above 0.
        """
        require_choice("pairing", self.pairing, PAIRINGS)
        if not self.apart_s > 0:
            raise ConfigError(f"apart_s = {self.apart_s} must be a number of seconds above 0. Choose one, or infinity.")
        require_choice("measurement", self.measurement, (COUNTS, AMPLITUDES))


@dataclass(frozen=True, eq=False)
class EndedScan:
    """A scan that is over."""

    index: int
    """Number of the scan in the stream, from 1."""
    name: str
    """Name of the scan, as its sender gives it."""
    object: LiveObject
    """The object with all of its frames."""
    kept: KeptFrames | None
    """The frames on disk, or None."""


class LiveStream:
    """Follows a stream of frames and a stream of positions."""

    def __init__(
        self,
        model: TrainedModel,
        options: StreamOptions | None = None,
        *,
        on_end: Callable[[EndedScan], None] | None = None,
        folder_of: Callable[[int], Path] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start before the first entry.

        Args:
            model: a trained model.
            options: options for pairing and prediction; None takes the defaults.
            on_end: called with every scan that has ended.
            folder_of: returns the folder in which the frames of a scan are kept, by its index; None keeps no frames.
            clock: returns the time in seconds; it is the clock of `Frame.arrived_s`.

        Raises:
            UnsupportedOptionError: the model needs the neighbours of a frame.
            DataError: neither the options nor the archive have a probe.
        """
        self._model = require_one_by_one(model)
        self._options = options or StreamOptions()
        if self._options.probe is None and model.given_probes is None and model.trained_probes is None:
            raise DataError(
                "The stream carries no probe, and the archive holds none that could stand in for it. Name a scan of "
                "this instrument that has one: the object is defined relative to it."
            )
        self._on_end, self._folder_of, self._clock = on_end, folder_of, clock
        self._by_time = self._options.pairing == BY_TIME
        self._frame_numbers, self._position_numbers = (Numbering(by_time=self._by_time) for _ in range(2))
        self._frame_numbers.couple(self._position_numbers)
        waiting = min(MOST_FRAMES, max(_FEWEST_WAITING, _WAITING_BYTES // (4 * self._model.model.N**2)))
        self._pairing: Pairing = (
            PairByTime(self._options.time_rule, waiting)
            if self._by_time
            else PairByNumber(self._options.apart_s, waiting)
        )
        self._ready: deque[Pair] = deque()
        self._counters = Counters()
        self._positions_left = 0
        self._names: dict[type, str] = {}
        self._is_explained = False
        self._scan = ""
        self._ended: dict[str, None] = {}
        self._kept: KeptFrames | None = None
        self._dtype = np.dtype(np.uint16)
        self._amplitudes: FrameAmplitudes | None = None
        self.object: LiveObject | None = None
        """The growing object; None between scans."""

    @property
    def counters(self) -> Counters:
        """Counters for everything that has arrived so far."""
        found = self._counters
        found.unpaired = self._pairing.given_up_frames
        found.positions_left = self._positions_left + self._pairing.given_up_positions
        found.waiting = self._pairing.waiting + len(self._ready)
        found.missing = 0 if self._by_time else self._frame_numbers.missing
        return found

    def frames_returned(self) -> None:
        """Note that the sender of the frames was away."""
        self._counters.connections_lost += 1
        self._frame_numbers.sender_returned()

    def positions_returned(self) -> None:
        """Note that the sender of the positions was away."""
        self._counters.connections_lost += 1
        self._position_numbers.sender_returned()

    def drop_frame(self) -> None:
        """Count a frame that was dropped before it arrived here, because it waited too long."""
        self._counters.frames += 1
        self._counters.dropped += 1
        self._frame_numbers.lost_unseen()

    def drop_position(self) -> None:
        """Count a position that was dropped before it arrived here."""
        self._counters.positions += 1
        self._positions_left += 1

    def take_frame(self, frame: Frame) -> None:
        """Take a frame.

        Args:
            frame: any frame. A frame that cannot be used is only counted.
        """
        self._counters.frames += 1
        frame = known_time(frame)
        if self._by_time and math.isnan(frame.time_s):
            self._counters.refused += 1
            return
        state, scan = self._frame_numbers.place(frame.number, frame.time_s, frame.scan)
        if state is State.REPEATED:
            self._counters.repeated += 1
        elif state is State.LATE or scan in self._ended:
            self._counters.late += 1
        elif self._is_unfit(frame):
            self._counters.refused += 1
        else:
            self._names[Frame] = frame.scan
            self._take_pairs(self._pairing.add_frame(scan, frame))
            self._explain_no_pairs()

    def take_position(self, position: Position) -> None:
        """Take a position.

        Args:
            position: any position. A position that cannot be used is only counted.
        """
        self._counters.positions += 1
        position = known_time(position)
        numbers = (position.x, position.y, *((position.time_s,) if self._by_time else ()))
        if not all(map(math.isfinite, numbers)):
            self._positions_left += 1
            return
        state, scan = self._position_numbers.place(position.number, position.time_s, position.scan)
        # Without names a stamp says whether it still has a frame; the end of a scan does not.
        is_over = scan in self._ended and bool(position.scan or math.isnan(position.time_s))
        if state not in ((State.NEW,) if self._by_time else (State.NEW, State.FAR)) or is_over:
            self._positions_left += 1
            return
        self._names[Position] = position.scan
        self._take_pairs(self._pairing.add_position(scan, position))

    def work(self, *, is_last: bool = False) -> bool:
        """Do the next step if one is due: end a scan, start a scan, or predict a batch of frames.

        Args:
            is_last: True if no more entries arrive for now, so that the method does not wait for them.

        Returns:
            Whether a step was done; the method should then be called again at once.
        """
        if not self._ready:
            return False
        first = self._ready[0]
        scan, waited_s = first.scan, self._clock() - first.frame.arrived_s
        if scan in self._ended:
            self._ready.popleft()
            self._counters.late += 1
        elif self.object is None:
            count, is_whole = self._first_scan(self._options.start_frames)
            if not (is_whole or is_last or waited_s >= self._options.start_wait_s):
                return False
            self._begin(scan, count)
        elif scan != self._scan:
            self._finish()
        else:
            count, is_whole = self._first_scan(BATCH)
            if not (is_whole or is_last or waited_s >= self._options.batch_wait_s):
                return False
            self._predict([self._ready.popleft() for _ in range(count)])
        return True

    def end(self) -> None:
        """End all scans: predict the frames that wait, and hand over the objects."""
        self._work_off()
        self._finish()
        for pair in self._pairing.end_all():
            self._take_pairs([pair])
            if len(self._ready) >= self._options.most_waiting:
                self._work_off()
        self._work_off()
        self._finish()

    def _work_off(self) -> None:
        while self.work(is_last=True):
            pass

    def _is_unfit(self, frame: Frame) -> bool:
        counts, N = frame.counts, self._model.model.N
        if counts.shape != (N, N) or counts.dtype.kind not in "iuf":
            return True
        if counts.dtype.kind == "f":
            good = counts if self._options.bad_pixels is None else counts[~self._options.bad_pixels]
            return not np.isfinite(good).all()
        return False

    def _take_pairs(self, pairs: list[Pair]) -> None:
        for pair in pairs:
            self._counters.paired += 1
            self._ready.append(pair)
            if len(self._ready) > self._options.most_waiting:
                self._ready.popleft()
                self._counters.dropped += 1

    def _explain_no_pairs(self) -> None:
        """Say once why nothing pairs, if the reason is known."""
        if self._is_explained or self._counters.paired or self._counters.frames < _SURELY or len(self._names) < 2:
            return
        why = why_nothing_pairs(self._names[Frame], self._names[Position], self._pairing.apart, self._options.apart_s)
        if why:
            logger.warning(why)
            self._is_explained = True

    def _first_scan(self, most: int) -> tuple[int, bool]:
        """Return how many frames of one scan wait first, up to `most`, and whether waiting for more is useless."""
        scan = self._ready[0].scan
        for count, other in enumerate(islice(self._ready, most)):
            if other.scan != scan:
                return count, True
        return min(most, len(self._ready)), len(self._ready) >= most

    def _begin(self, scan: str, count: int) -> None:
        """Begin an object. If its first frames cannot begin one, they are refused."""
        options, dtype = self._options, self._ready[0].frame.counts.dtype
        waiting = list(islice(self._ready, count))
        first = [pair for pair in waiting if pair.frame.counts.dtype == dtype]
        positions = positions_of(first)
        try:
            start = RawData.from_arrays(
                positions[:, 0],
                positions[:, 1],
                np.stack([pair.frame.counts for pair in first]),
                options.probe,
                measurement=options.measurement,
                bad_pixels=options.bad_pixels,
            )
            self.object = LiveObject(self._model, start, options.photons)
        except DataError as error:
            logger.warning("%d frames of scan %s cannot begin an object and are refused: %s", count, scan, error)
            for _ in waiting:
                self._ready.popleft()
            self._counters.refused += count
            return
        self._amplitudes = FrameAmplitudes(start, options.measurement)
        self._scan, self._dtype = scan, dtype
        self._counters.scans += 1
        folder = None if self._folder_of is None else self._folder_of(self._counters.scans)
        try:
            self._kept = None if folder is None else KeptFrames(folder)
        except OutputError as error:
            logger.warning(
                "The frames of scan %s are not kept, and the object as it grows is the result. %s", scan, error
            )

    def _predict(self, pairs: list[Pair]) -> None:
        assert self.object is not None
        assert self._amplitudes is not None
        fitting = [pair for pair in pairs if pair.frame.counts.dtype == self._dtype]
        if fitting and not self.object.fits(positions_of(fitting)):
            fitting = [pair for pair in fitting if self.object.fits(positions_of([pair]))]
        counts = [pair.frame.counts for pair in fitting]
        amplitudes, mended = self._amplitudes.of(np.stack(counts)) if counts else (np.zeros((0, 0, 0), np.float32), 0)
        self._counters.mended += mended
        lit = [index for index, image in enumerate(amplitudes) if image.any() and not np.isnan(image).any()]
        self._counters.refused += len(pairs) - len(lit)
        if not lit:
            return
        used = [fitting[index] for index in lit]
        numbers = [pair.frame.time_s if self._by_time else float(pair.frame.number) for pair in used]
        self.object.add(amplitudes[lit], positions_of(used), numbers)
        if self._kept is not None:
            self._kept.add(np.stack([pair.frame.counts for pair in used]))
        self._counters.used += len(used)
        now_s = self._clock()
        self._counters.lags_s.extend(now_s - pair.frame.arrived_s for pair in used)

    def _finish(self) -> None:
        """End the present scan."""
        if self.object is None:
            return
        last = self._pairing.end(self._scan)
        self._counters.paired += len(last)
        for start in range(0, len(last), BATCH):
            self._predict(last[start : start + BATCH])
        self.break_off()

    def break_off(self) -> None:
        """End the present scan as it is, without the frames that wait."""
        if self.object is None:
            return
        self._ended[self._scan] = None
        if len(self._ended) > _MOST_ENDED:
            self._ended.pop(next(iter(self._ended)))
        found = EndedScan(self._counters.scans, self._scan, self.object, self._kept)
        self.object, self._kept, self._scan = None, None, ""
        if self._on_end is not None:
            self._on_end(found)
