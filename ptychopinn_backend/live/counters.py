"""Counters for everything that arrives, so that nothing is left out silently."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, fields

import numpy as np

from ptychopinn_backend.arrays import Float64Array

_RECENT = 4096
"""Number of the latest frames over which the percentiles of the lag are taken."""


@dataclass
class Counters:
    """Numbers of frames and positions, by what became of them, over all scans of a stream.

    Every frame that arrived is in exactly one of `used`, `repeated`, `late`, `refused`, `unpaired`, `dropped` and
    `waiting`.
    """

    frames: int = 0
    """Frames that arrived."""
    positions: int = 0
    """Positions that arrived."""
    paired: int = 0
    """Frames that found their position."""
    used: int = 0
    """Frames that are in an object."""
    repeated: int = 0
    """Frames that had arrived before."""
    late: int = 0
    """Frames of a scan that is over, or with a number too far behind the newest."""
    refused: int = 0
    """Frames of another size or type, with NaN or values below 0, without light, or at a position too far away."""
    unpaired: int = 0
    """Frames that were given up because no position arrived for them."""
    dropped: int = 0
    """Frames that were dropped because frames arrived faster than the network predicts them."""
    waiting: int = 0
    """Frames that wait for their position or for the network."""
    missing: int = 0
    """Frames that never came: gaps in the numbers of every scan. It is 0 if pairing is by time: gaps may occur then."""
    mended: int = 0
    """Values of used frames that were out of all proportion, and were replaced by the values around them."""
    positions_left: int = 0
    """Positions that were repeated, late, not finite, or given up because no frame arrived for them."""
    scans: int = 0
    """Objects that were started."""
    connections_lost: int = 0
    """Number of times that a sender returned after it was away."""
    lags_s: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))
    """Lag of the latest frames, in seconds: the time from the arrival of a frame until it is in the object."""

    def lag_ms(self, *percentiles: float) -> Float64Array:
        """Return percentiles of the lag.

        Args:
            *percentiles: percentiles, 0 to 100.

        Returns:
            Lag in milliseconds for every percentile (percentile,); 0 before the first frame.
        """
        return np.percentile(list(self.lags_s) or [0.0], percentiles) * 1e3

    def as_dict(self) -> dict[str, float]:
        """Return every count by name, and the lag in milliseconds: 'lag_ms' (median) and 'lag_ms_p99'."""
        counts: dict[str, float] = {
            item.name: getattr(self, item.name) for item in fields(self) if item.name != "lags_s"
        }
        median, late = self.lag_ms(50, 99).tolist()
        return {**counts, "lag_ms": round(median, 2), "lag_ms_p99": round(late, 2)}
