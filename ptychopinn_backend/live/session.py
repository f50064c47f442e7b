"""A session of live inference: it follows channels, lets the object grow, shows it, and writes the results."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ptychopinn_backend.errors import ConfigError, DataError
from ptychopinn_backend.live.channels import (
    SCAN_ATTRIBUTE,
    Network,
    PositionUnits,
    Subscription,
    channel_name,
    frame_of,
    open_client,
    positions_of,
)
from ptychopinn_backend.live.display import Display, views_of
from ptychopinn_backend.live.endings import write_final, write_streamed
from ptychopinn_backend.live.kept_frames import NAME
from ptychopinn_backend.live.live_object import LiveObject
from ptychopinn_backend.live.live_stream import EndedScan, LiveStream, StreamOptions
from ptychopinn_backend.live.pairing import MOST_POSITIONS
from ptychopinn_backend.live.publishing import Publisher
from ptychopinn_backend.runs.trained_model import TrainedModel

logger = logging.getLogger(__name__)

_COUNTERS_EVERY_S: Final = 0.25
_SHARE_OF_PICTURES: Final = 0.05
"""Largest part of the time for pictures."""
_REST_S: Final = 0.001


@dataclass(frozen=True)
class SessionOptions:
    """Options of a session: the channels, the pictures and the results."""

    frames: str
    """Address of the frames, 'pva://NAME'."""
    positions: str
    """Address of the positions."""
    output: Path
    """Folder of the results of the first scan; those of later scans are in its folders scan_2, scan_3 and so on."""
    stop: str | None = None
    """Address of a channel that ends the session when its value becomes true, or None."""
    prefix: str | None = "ptychopinn:live"
    """Prefix of the channels that publish the object; None publishes none."""
    idle_s: float = 60.0
    """Time without an update after which the session ends, once an update has arrived, seconds."""
    first_s: float = 3600.0
    """Time without an update after which the session ends, if no update has arrived yet, seconds."""
    picture_every_s: float = 0.5
    """Shortest time between two pictures, seconds."""
    keep_frames: bool = True
    """True keeps the used frames, and reconstructs them once more at the end, as `infer` does."""
    polish_steps: int | None = 0
    """Number of polish steps in this last reconstruction; None as for `reconstruct`."""
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
        self._model, self._measurement, self._options = model, stream.measurement, options
        self._ended: list[int] = []
        self.written: list[Path] = []
        """Files that were written."""
        self._unreadable = 0
        folder_of = self._folder if options.keep_frames else None
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
        self._is_told_to_stop = False
        self._shown = 0
        self._next_picture_s = self._next_count_s = 0.0

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
        last_s, has_begun = time.monotonic(), False
        reason = ""
        while not reason:
            came = self._take()
            worked = self.stream.work()
            now_s = time.monotonic()
            if came:
                last_s, has_begun = now_s, True
            self._show(now_s)
            reason = self._reason_to_end(is_asked_to_stop, now_s - last_s, has_begun, is_busy=came or worked)
            if not (came or worked):
                time.sleep(_REST_S)
        self._take()
        self.stream.end()
        self._show(math.inf)
        self._write_final()
        return reason

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

    def _take_frame(self, value: Any, arrived_s: float) -> None:
        frame = frame_of(value, arrived_s, self._options.scan_attribute)
        if frame is None:
            self._unreadable += 1
        else:
            self.stream.take_frame(frame)

    def _take_positions(self, value: Any, _: float) -> None:
        found = positions_of(value, self._options.units)
        if not found:
            self._unreadable += 1
        for position in found:
            self.stream.take_position(position)

    def _take_stop(self, value: Any, _: float) -> None:
        self._is_told_to_stop = self._is_told_to_stop or bool(value.get("value"))

    def _reason_to_end(
        self, is_asked_to_stop: Callable[[], bool], quiet_s: float, has_begun: bool, *, is_busy: bool
    ) -> str:
        if is_asked_to_stop():
            return "asked to"
        if self._is_told_to_stop and not is_busy:
            return "the stop channel"
        if quiet_s > (self._options.idle_s if has_begun else self._options.first_s):
            return f"nothing came for {quiet_s:.0f} s"
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

    def _folder(self, index: int) -> Path:
        return self._options.output if index == 1 else self._options.output / f"scan_{index}"

    def _take_end(self, ended: EndedScan) -> None:
        """Write a scan as it grew. Work that takes long waits until the streams are over."""
        self._show_picture(ended.object)
        written = write_streamed(self._model, ended, self._folder(ended.index), self._measurement)
        self.written += [path for path in written if path not in self.written]
        self._ended.append(ended.index)
        self._shown = 0
        logger.info("Scan %d (%s): %d frames.", ended.index, ended.name, ended.object.n_frames)

    def _show_picture(self, growing: LiveObject) -> None:
        picture = growing.picture()
        if picture is not None:
            views = views_of(picture)
            self._display.show(views)
            if self._publisher is not None:
                self._publisher.show(views)

    def _write_final(self) -> None:
        for index in self._ended:
            folder = self._folder(index)
            if folder / NAME not in self.written:
                continue
            try:
                write_final(self._model, folder / NAME, folder, self._options.polish_steps)
            except DataError as error:
                logger.warning("Scan %d stays as it grew with the stream: %s", index, error)
