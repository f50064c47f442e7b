"""A session of live inference: it follows channels, lets the object grow, shows it, and writes the results."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.live.channels import (
    SCAN_ATTRIBUTE,
    Network,
    PositionUnits,
    channel_name,
    frame_of,
    is_true,
    open_client,
    positions_of,
)
from ptychopinn_backend.live.display import Display, views_of
from ptychopinn_backend.live.endings import ScanWriter
from ptychopinn_backend.live.live_object import LiveObject
from ptychopinn_backend.live.live_stream import EndedScan, LiveStream, StreamOptions
from ptychopinn_backend.live.messages import Frame, Position, is_time
from ptychopinn_backend.live.pairing import MOST_POSITIONS
from ptychopinn_backend.live.publishing import Publisher
from ptychopinn_backend.live.subscription import Arrival, Subscription
from ptychopinn_backend.runs.trained_model import TrainedModel

logger = logging.getLogger(__name__)

_COUNTERS_EVERY_S: Final = 0.25
_SHARE_OF_PICTURES: Final = 0.05
"""Largest part of the time for pictures."""
_REST_S: Final = 0.001
_AFTER_STOP_S: Final = 0.25
"""After the stop, the session ends if there was no progress for so many seconds."""
_LONGEST_AFTER_STOP_S: Final = 5.0
"""After the stop, the session ends after so many seconds in any case."""


@dataclass(frozen=True)
class SessionOptions:
    """Options of a session: the channels, the pictures and the results."""

    frames: str
    """Address of the frames, 'pva://NAME'."""
    positions: str
    """Address of the positions."""
    output: Path
    """Folder of the results.

    The first scan is written into it, the next ones into its folders scan_2, scan_3 and so on. Scans that are there
    already stay, and they count."""
    stop: str | None = None
    """Address of a channel that ends the session when its value becomes true, or None."""
    prefix: str | None = "ptychopinn:live"
    """Prefix of the channels that publish the object; None publishes none."""
    idle_s: float = 60.0
    """Time in seconds. The session ends if no frame finds its position for so long, after at least one found it."""
    first_s: float = 3600.0
    """Time in seconds. The session ends if no frame finds its position for so long in the beginning."""
    picture_every_s: float = 0.5
    """Shortest time between two pictures, seconds."""
    keep_frames: bool = True
    """True keeps the used frames, and reconstructs them once more at the end, as `infer` does."""
    polish_steps: int | None = 0
    """Number of polish steps in this last reconstruction; None means the same as for `reconstruct`."""
    network: Network = field(default_factory=Network)
    """Addresses for finding and serving channels."""
    units: PositionUnits = field(default_factory=PositionUnits)
    """Conversion of the positions to object pixels."""
    scan_attribute: str = SCAN_ATTRIBUTE
    """Attribute of a frame with the name of its scan."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: a value breaks its rule.
        """
        for address in (self.frames, self.positions, self.stop):
            if address is not None:
                channel_name(address)
        for name in ("idle_s", "first_s", "picture_every_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"{name} = {value} must be a number of seconds above 0. Choose one.")


class Session:
    """Follows two channels until it is asked to end."""

    def __init__(
        self, model: TrainedModel, stream: StreamOptions, options: SessionOptions, display: Display | None = None
    ) -> None:
        """Open the channels.

        Args:
            model: a trained model that maps frames one by one.
            stream: options for pairing and prediction.
            options: the channels, the pictures and the results.
            display: display for counters and pictures, or None.

        Raises:
            BackendUnavailableError: p4p is not installed.
            UnsupportedOptionError: the model needs the neighbours of a frame.
            DataError: there is no probe.
        """
        self._options = options
        self._writer = ScanWriter(model, options.output, stream.measurement, options.polish_steps)
        self._unreadable = 0
        folder_of = self._writer.folder if options.keep_frames else None
        self.stream = LiveStream(model, stream, on_end=self._take_end, folder_of=folder_of)
        """The stream, which pairs, predicts and counts."""
        self._display = display or Display()
        self._client = open_client(options.network)
        self._frames = Subscription(self._client, channel_name(options.frames))
        self._positions = Subscription(self._client, channel_name(options.positions), MOST_POSITIONS)
        self._stop = None if options.stop is None else Subscription(self._client, channel_name(options.stop), 16)
        self._publisher = (
            None if options.prefix is None else Publisher(options.prefix, options.network, self.counters())
        )
        self._told_to_stop_s: float | None = None
        self._knows_stop = False
        # What was stamped before is of the past.
        self._newest_s: dict[type, float] = {Frame: time.time(), Position: time.time()}
        self._shown = 0
        self._next_picture_s = self._next_count_s = 0.0

    @property
    def written(self) -> list[Path]:
        """Files that were written."""
        return self._writer.written

    def counters(self) -> dict[str, float]:
        """Return every count by name; 'unreadable' counts updates without an image or without positions."""
        return {**self.stream.counters.as_dict(), "unreadable": self._unreadable}

    def run(self, is_asked_to_stop: Callable[[], bool]) -> str:
        """Follow the channels until the end, then write the results of the scans.

        Args:
            is_asked_to_stop: called again and again; True ends the session.

        Returns:
            Reason for the end.

        Raises:
            OutputError: the results cannot be written.
        """
        try:
            reason = self._follow(is_asked_to_stop)
            self._take()
        except Exception:
            # Whatever went wrong with the stream, the light was paid for.
            self._end_streams()
            self._writer.finish()
            raise
        self._end_streams()
        self._show(math.inf)
        self._writer.finish(once_more=True)
        return reason

    def _follow(self, is_asked_to_stop: Callable[[], bool]) -> str:
        """Follow the channels until there is a reason to end, and return it."""
        last_s, progress = time.monotonic(), 0
        while True:
            came = self._take()
            worked = self.stream.work()
            now_s = time.monotonic()
            done = self.stream.counters.paired + self.stream.counters.used
            if done != progress:
                last_s, progress = now_s, done
            self._show(now_s)
            reason = self._reason_to_end(is_asked_to_stop, now_s, now_s - last_s, has_begun=progress > 0)
            if reason:
                return reason
            if not (came or worked):
                time.sleep(_REST_S)

    def _end_streams(self) -> None:
        try:
            self.stream.end()
        except Exception:
            logger.exception("The last frames are lost; the object has those before.")
            self.stream.break_off()

    def close(self) -> None:
        """Close the channels."""
        for subscription in (self._frames, self._positions, self._stop):
            if subscription is not None:
                subscription.close()
        self._client.close()
        if self._publisher is not None:
            self._publisher.close()

    def _take(self) -> bool:
        stream = self.stream
        came = self._positions.take(self._take_positions, stream.positions_returned, stream.drop_position)
        came += self._frames.take(self._take_frame, stream.frames_returned, stream.drop_frame)
        if self._stop is not None:
            self._stop.take(self._take_stop, lambda: None, lambda: None)
        return came > 0

    def _take_frame(self, arrival: Arrival) -> None:
        frame = frame_of(arrival.value, arrival.arrived_s, self._options.scan_attribute)
        if not self._is_of_the_past([] if frame is None else [frame], arrival, Frame):
            if frame is None:
                self._unreadable += 1
            else:
                self.stream.take_frame(frame)

    def _take_positions(self, arrival: Arrival) -> None:
        found = positions_of(arrival.value, self._options.units)
        if not self._is_of_the_past(found, arrival, Position):
            self._unreadable += not found
            for position in found:
                self.stream.take_position(position)

    def _is_of_the_past(self, entries: Sequence[Frame | Position], arrival: Arrival, kind: type) -> bool:
        """Return whether an update is the first one of a connection, and its stamp is not later than all before."""
        newest_s = max((entry.time_s for entry in entries if is_time(entry.time_s)), default=math.nan)
        if arrival.is_first and not newest_s > self._newest_s[kind]:
            return True
        if math.isfinite(newest_s):
            self._newest_s[kind] = newest_s
        return False

    def _take_stop(self, arrival: Arrival) -> None:
        flag = is_true(arrival.value)
        is_known, self._knows_stop = self._knows_stop, True
        if flag is None:
            self._unreadable += not arrival.is_first
        elif flag and not is_known:
            logger.warning(
                "The stop channel is true already, which is taken for that of an earlier scan. The session ends when "
                "it is set anew."
            )
        elif flag and self._told_to_stop_s is None:
            self._told_to_stop_s = time.monotonic()

    def _reason_to_end(
        self, is_asked_to_stop: Callable[[], bool], now_s: float, quiet_s: float, *, has_begun: bool
    ) -> str:
        if is_asked_to_stop():
            return "asked to"
        if self._told_to_stop_s is not None:
            told_s = now_s - self._told_to_stop_s
            if min(quiet_s, told_s) > _AFTER_STOP_S or told_s > _LONGEST_AFTER_STOP_S:
                return "the stop channel"
        if quiet_s > (self._options.idle_s if has_begun else self._options.first_s):
            return f"no frame found its position for {quiet_s:.0f} s"
        return ""

    def _show(self, now_s: float) -> None:
        if now_s >= self._next_count_s:
            self._next_count_s = now_s + _COUNTERS_EVERY_S
            counters = self.counters()
            self._display.tell({**counters, "connected": self._frames.is_connected and self._positions.is_connected})
            if self._publisher is not None:
                self._publisher.count(counters)
        growing = self.stream.object
        if growing is None or now_s < self._next_picture_s or growing.n_frames == self._shown:
            return
        before_s = time.monotonic()
        self._show_picture(growing)
        self._shown = growing.n_frames
        after_s = time.monotonic()
        self._next_picture_s = after_s + max(
            self._options.picture_every_s, (after_s - before_s) * (1 / _SHARE_OF_PICTURES - 1)
        )

    def _take_end(self, ended: EndedScan) -> None:
        """Hand a scan over to be written. Work that takes long waits until the streams are over."""
        try:
            self._show_picture(ended.object)
        finally:
            self._writer.write(ended)
        self._shown = 0
        logger.info("Scan %d (%s): %d frames.", ended.index, ended.name, ended.object.n_frames)

    def _show_picture(self, growing: LiveObject) -> None:
        picture = growing.picture()
        if picture is not None:
            views = views_of(picture)
            self._display.show(views)
            if self._publisher is not None:
                self._publisher.show(views)
