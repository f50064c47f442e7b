"""Conversion of frames to amplitudes. The first frames of a scan tell the bad pixels and the usual values."""

from __future__ import annotations

from typing import Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray, Float32Array
from ptychopinn_backend.data.findings.outliers import Proportion, limit_values, out_of_proportion
from ptychopinn_backend.data.findings.repair import PatternRepair
from ptychopinn_backend.data.measurement import COUNTS
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.scaling import counts_to_amplitudes

_BRIGHT: Final = 2.5
"""A frame is looked at if its peak is this many times as high as usual."""


class FrameAmplitudes:
    """Converts the frames of a scan. Single values out of all proportion are replaced by the values around them."""

    def __init__(self, start: RawData, measurement: str) -> None:
        """Find out which values are usual.

        Args:
            start: the first frames of the scan, which were examined.
            measurement: content of the frames, 'counts' or 'amplitudes'.
        """
        self._measurement = measurement
        N = start.N
        self._bad = np.zeros((N, N), np.bool_) if start.bad_pixels is None else start.bad_pixels
        counts = np.square(start.diff3d.astype(np.float64))
        smallest = float(counts[counts > 0].min(initial=1.0))
        usual = Proportion.of(counts, start.probeGuess, ~self._bad, smallest)
        self._usual = usual.with_peak(counts, np.zeros(counts.shape, np.bool_))

    def of(self, frames: AnyArray) -> tuple[Float32Array, int]:
        """Convert frames.

        Args:
            frames: values of the frames as the detector gave them (frame, N, N).

        Returns:
            Amplitudes (frame, N, N), which are 0 at bad pixels and NaN if a value is below 0, and the number of values
            that were replaced.
        """
        amplitudes = self._converted(frames)
        with np.errstate(invalid="ignore"):
            bright = np.flatnonzero(amplitudes.max(axis=(1, 2)) ** 2 > _BRIGHT * self._usual.peak)
        if not len(bright):
            return amplitudes, 0
        good = ~self._bad
        counts = np.square(amplitudes[bright].astype(np.float64))
        hot = limit_values(counts, np.where(good, frames[bright], 0), good)
        hot |= out_of_proportion(np.where(hot, 0, counts), good, self._usual)
        if hot.any():
            repair = PatternRepair(self._bad, np.zeros(0, np.int64), np.argwhere(hot))
            mended = np.concatenate(list(repair.applied(iter([frames[bright]]))))
            amplitudes[bright] = self._converted(mended)
        return amplitudes, int(hot.sum())

    def _converted(self, frames: AnyArray) -> Float32Array:
        good = ~self._bad if self._bad.any() else None
        if self._measurement == COUNTS:
            with np.errstate(invalid="ignore"):
                return counts_to_amplitudes(frames, good)
        amplitudes = frames.astype(np.float32)
        amplitudes[:, self._bad] = 0
        amplitudes[amplitudes < 0] = np.nan
        return amplitudes
