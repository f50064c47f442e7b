"""Pixels whose counts are out of all proportion: hot pixels, cosmic rays, and numbers that mark a gap.

A detector sees light through a lens, the probe, so that its pattern is smooth on the scale of a pixel or more: from the
brightest pixel downwards the values follow one another without a jump, and no pixel is far above all of its
neighbours. How sharp a pattern of this probe may be is read off the probe's own far field. Thresholds are an order of
magnitude above what scans without faults show (tests/data/findings/test_no_false_alarm.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray, BoolArray, Complex64Array, Float32Array, FloatArray

_JUMP: Final = 10.0
"""Ratio of one value of a pattern to the next lower one from which on the higher one is out of proportion."""
_LONELY: Final = 40.0
"""Ratio of a pixel to the brightest of its eight neighbours from which on it is."""
_STEEPER: Final = 4.0
"""Patterns may be this much steeper than the probe's own far field."""
_STEEPEST: Final = 1e3
_UNKNOWN: Final = 10.0
"""Without a probe they may be this much steeper than those of a usual one."""
_FLOOR_PHOTONS: Final = 3.0
"""Fewer photons are taken as this many: what chance leaves between neighbours."""
_BRIGHT_SHARE: Final = 0.1
"""Part of a pattern's pixels, from the brightest down, among which a jump is looked for."""
_NOTEWORTHY_SHARE: Final = 0.003
"""Part of a usual pattern's peak below which a lonely pixel does no harm."""
OUT_OF_RANGE: Final = 8.0
"""Peaks this many times as high as usual are looked at one by one."""
_STUCK_PHOTONS: Final = 30.0
_STUCK_PATTERNS: Final = 6
_RING_SHARE: Final = 0.2
"""A pixel that always shows the same is stuck when those around it never reach this part of it; else it saturates."""
_SMALLEST_LIMIT: Final = 2**12
_SPOT_SHARE: Final = 0.2
"""Part of its light that a probe puts on one pixel, as a wide beam does."""
_SPOT_REST: Final = 0.01
"""Without a probe: light beside the middle pixel, over its own, below which there is hardly a sample."""


@dataclass(frozen=True)
class Proportion:
    """What is usual in the patterns of a scan."""

    unit: float
    """A photon, in the unit of the values."""
    jump: float
    """Least ratio of successive values that is out of proportion."""
    lonely: float
    """Least ratio to the neighbours that is."""
    peak: float = 0.0
    """Median over patterns of the brightest pixel."""
    spot: BoolArray | None = None
    """Pixels on which a beam without a sample puts much of its light (N, N); they are never out of proportion."""

    @classmethod
    def of(cls, counts: FloatArray, probe: Complex64Array | None, good: BoolArray, unit: float) -> Proportion:
        """Find out what is usual.

        Args:
            counts: some patterns (pattern, N, N), counts in any unit.
            probe: (mode, N, N), or None.
            good: good pixels (N, N).
            unit: a photon, in the unit of the counts.

        Returns:
            The proportion, without the peak.
        """
        if probe is None:
            return cls(unit, _UNKNOWN * _JUMP, _UNKNOWN * _LONELY, spot=_spot_in_middle(counts))
        light = np.sum(np.abs(np.fft.fftshift(np.fft.fft2(probe), axes=(-2, -1))) ** 2, axis=0)
        total = float(light.sum())
        usual = float(np.median(counts.sum(axis=(1, 2))))
        scaled = np.asarray(light * ((usual or 1.0) / total) * good, np.float32)[np.newaxis]
        floor = _FLOOR_PHOTONS * unit
        steepest_jump = float(_jumps(_descending(scaled), floor).max())
        bright = scaled >= _NOTEWORTHY_SHARE * scaled.max()
        loneliest = float((scaled / np.maximum(_brightest_neighbour(scaled), floor))[bright].max())
        return cls(
            unit,
            min(_STEEPEST, max(_JUMP, _STEEPER * steepest_jump)),
            min(_STEEPEST, max(_LONELY, _STEEPER * loneliest)),
            spot=light >= _SPOT_SHARE * total,
        )

    def with_peak(self, counts: FloatArray, hot: BoolArray) -> Proportion:
        """Add the peak.

        Args:
            counts: some patterns (pattern, N, N).
            hot: values that do not count, same shape.

        Returns:
            The proportion.
        """
        peaks = np.where(hot, 0, counts).max(axis=(1, 2))
        return replace(self, peak=float(np.median(peaks[peaks > 0]))) if peaks.any() else self


def out_of_proportion(counts: FloatArray, good: BoolArray, usual: Proportion) -> BoolArray:
    """Return which values are out of proportion within their own pattern.

    Args:
        counts: patterns (pattern, N, N), 0 at bad pixels.
        good: good pixels (N, N).
        usual: what is usual in the scan.

    Returns:
        (pattern, N, N).
    """
    floor = _FLOOR_PHOTONS * usual.unit
    hot = _above_a_jump(counts, floor, usual)
    framed = np.pad(good.astype(np.int64), 1)
    of_three = framed[:-2] + framed[1:-1] + framed[2:]
    neighbours = of_three[:, :-2] + of_three[:, 1:-1] + of_three[:, 2:] - good
    lonely = counts > usual.lonely * np.maximum(_brightest_neighbour(counts), floor)
    lonely &= counts >= max(floor, _NOTEWORTHY_SHARE * usual.peak)
    usable = good if usual.spot is None else good & ~usual.spot
    return np.asarray((hot | (lonely & (neighbours >= 3))) & usable)


def stuck_pixels(counts: FloatArray, good: BoolArray, usual: Proportion) -> BoolArray:
    """Return pixels that show the same high number in every pattern, which counts of photons do not.

    Args:
        counts: some patterns (pattern, N, N), 0 at bad pixels.
        good: good pixels (N, N).
        usual: what is usual in the scan.

    Returns:
        (N, N); none where too few patterns are given to tell. Pixels that saturate always are not among them.
    """
    stuck = np.zeros(good.shape, np.bool_)
    if len(counts) < _STUCK_PATTERNS:
        return stuck
    most = counts.max(axis=0)
    same = (most == counts.min(axis=0)) & (most >= _STUCK_PHOTONS * usual.unit) & good
    if same.sum() > good.sum() / 4:
        return stuck
    return _islands(same, most, good)


def limit_values(counts: FloatArray, raw: AnyArray, good: BoolArray) -> BoolArray:
    """Return values at the limit of a number's bits, 2**16 - 1 for example, among pixels that are nowhere near it.

    Args:
        counts: patterns (pattern, N, N), 0 at bad pixels.
        raw: the same in the unit of the file.
        good: good pixels (N, N).

    Returns:
        (pattern, N, N). Values at the limit among others near it are saturated ones, and not returned.
    """
    found = np.zeros(counts.shape, np.bool_)
    for index in np.flatnonzero(is_limit(counts.max(axis=(1, 2))) | is_limit(raw.max(axis=(1, 2)))):
        pattern = counts[index]
        found[index] = _islands((pattern == pattern.max()) & good, pattern, good)
    return found


def is_limit(values: AnyArray) -> BoolArray:
    """Return which values are a power of two, or one less, of 12 bits or more, within the rounding of float32.

    Args:
        values: not negative, any shape.

    Returns:
        The same shape.
    """
    values = np.nan_to_num(np.asarray(values, np.float64), posinf=0.0)
    nearest = np.exp2(np.rint(np.log2(np.maximum(values, 1.0))))
    near = np.minimum(np.abs(values - nearest), np.abs(values + 1 - nearest)) <= 2e-7 * nearest
    return np.asarray(near & (nearest >= _SMALLEST_LIMIT))


def _spot_in_middle(counts: FloatArray) -> BoolArray:
    """Return the pixel in the middle of the array if it holds nearly all light of most patterns, as of a plane wave."""
    spot = np.zeros(counts.shape[1:], np.bool_)
    middle = counts.shape[1] // 2
    rest = counts.sum(axis=(1, 2)) - counts[:, middle, middle]
    spot[middle, middle] = np.mean(rest < _SPOT_REST * counts[:, middle, middle]) > 0.5
    return spot


def _islands(chosen: BoolArray, values: AnyArray, good: BoolArray) -> BoolArray:
    """Return those connected parts of the chosen pixels around which values are much lower."""
    if not chosen.any():
        return chosen & False
    # Not before something is found: it is loaded at the start of every command otherwise.
    from scipy import ndimage

    labels, _ = ndimage.label(chosen, np.ones((3, 3), np.bool_))
    islands = np.zeros(chosen.shape, np.bool_)
    for label, place in enumerate(ndimage.find_objects(labels), start=1):
        window = tuple(slice(max(0, part.start - 1), part.stop + 1) for part in place)
        part = labels[window] == label
        ring = ndimage.binary_dilation(part, np.ones((3, 3), np.bool_)) & (labels[window] == 0) & good[window]
        around = values[window][ring]
        if len(around) and np.median(around) < _RING_SHARE * values[window][part].max():
            islands[window] |= part
    return islands


def _above_a_jump(counts: FloatArray, floor: float, usual: Proportion) -> BoolArray:
    hot = np.zeros(counts.shape, np.bool_)
    chosen = np.flatnonzero(_may_jump(counts, floor))
    if len(chosen):
        hot[chosen] = _certainly_above_a_jump(counts[chosen], floor, usual)
    return hot


def _may_jump(counts: FloatArray, floor: float) -> BoolArray:
    """Return which patterns have no value in two octaves in a row below their highest (pattern,).

    Where values jump by `_JUMP` or more, both of the octaves in between are empty; this is known without sorting.
    """
    octaves = np.frexp(np.maximum(counts.reshape(len(counts), -1), floor))[1]
    octaves -= octaves.min()
    width = int(octaves.max()) + 1
    octaves += width * np.arange(len(octaves), dtype=octaves.dtype)[:, np.newaxis]
    is_there = np.bincount(octaves.ravel(), minlength=width * len(octaves)).reshape(-1, width) > 0
    above = np.logical_or.accumulate(is_there[:, ::-1], axis=1)[:, ::-1]
    return np.asarray((~is_there[:, 1:] & ~is_there[:, :-1] & above[:, 1:]).any(axis=1))


def _certainly_above_a_jump(counts: FloatArray, floor: float, usual: Proportion) -> BoolArray:
    ordered = _descending(counts)
    wide = _jumps(ordered, floor) > usual.jump
    last = wide.shape[1] - 1 - np.argmax(wide[:, ::-1], axis=1)
    threshold = np.where(wide.any(axis=1), ordered[np.arange(len(ordered)), last], np.inf)
    hot = counts >= threshold[:, np.newaxis, np.newaxis]
    # A compact bright disc may have a sharp edge; where the peak is a usual one, only what is thin is not of it.
    compact = ~(ordered[:, 0] > OUT_OF_RANGE * usual.peak) | (usual.peak == 0)
    for index in np.flatnonzero(compact & wide.any(axis=1)):
        from scipy import ndimage

        hot[index] &= ~ndimage.binary_opening(hot[index], np.ones((3, 3), np.bool_))
    return np.asarray(hot)


def _descending(counts: FloatArray) -> FloatArray:
    """Return the brightest values of every pattern (pattern, value), from the highest down."""
    flat = counts.reshape(len(counts), -1)
    count = min(flat.shape[1], max(2, int(_BRIGHT_SHARE * flat.shape[1])))
    return -np.sort(-np.partition(flat, flat.shape[1] - count, axis=1)[:, -count:], axis=1)


def _jumps(ordered: FloatArray, floor: float) -> FloatArray:
    return np.asarray(ordered[:, :-1] / np.maximum(ordered[:, 1:], floor))


def _brightest_neighbour(counts: FloatArray) -> Float32Array:
    beside = np.zeros(counts.shape, counts.dtype)
    beside[:, :, 1:] = counts[:, :, :-1]
    np.maximum(beside[:, :, :-1], counts[:, :, 1:], out=beside[:, :, :-1])
    of_three = np.maximum(beside, counts)
    np.maximum(beside[:, 1:], of_three[:, :-1], out=beside[:, 1:])
    np.maximum(beside[:, :-1], of_three[:, 1:], out=beside[:, :-1])
    return beside
