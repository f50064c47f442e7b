"""Examination of the detector by the mean pattern: dead pixels, gaps, a beam stop, and a centre at another place."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy import ndimage

from ptychopinn_backend.arrays import BoolArray, Float64Array, IntArray
from ptychopinn_backend.checking.subject import NOTHING, Outcome, Subject
from ptychopinn_backend.data.findings.finding import Finding
from ptychopinn_backend.data.findings.values import place_of

_TELLING_PHOTONS: Final = 100.0
"""Least counts of all patterns together on both sides of a pixel that never counts."""
_FAINT: Final = 0.05
"""Least part of the light on its sides that the probe's far field must have at a pixel; a weaker one may be dark."""
_STOP_PIXELS: Final = 4
_BAND_SHARE: Final = 0.4
"""Least part of a row that is dark between lit pixels at which the whole row counts as a gap."""
_CENTRE_PX: Final = 2.0
_CORNER: Final = 0.5
"""Largest ratio of the spread of the light around the corners to that around the middle for a shifted pattern."""
_OFF_PX: Final = 1.5
_OFF_SHARE: Final = 0.03
_MOST_OFF_PX: Final = 2.0
"""However large the patterns, where the probe says where light belongs; a lopsided beam alone looks off centre."""


def unlit(subject: Subject) -> Outcome:
    """Find pixels that never count although there is light on both sides of them.

    Args:
        subject: the scan.

    Returns:
        Dead pixels and gaps, a beam stop, or nothing. The mended scan marks them as bad.
    """
    total, good = subject.total, subject.good
    zero = (total == 0) & good
    expected = _light_across(total, good & ~zero)
    dark = zero & (expected >= _TELLING_PHOTONS * _unit(subject))
    light = subject.light_of_probe
    if light is not None:
        # A dark ring of the probe's far field stays dark if the object hardly scatters.
        dark &= light >= _FAINT * _light_across(light, good & ~zero)
    if not dark.any() or dark.sum() > good.sum() / 3:
        return NOTHING
    labels, _ = ndimage.label(zero, np.ones((3, 3), np.bool_))
    chosen = np.isin(labels, np.unique(labels[dark])) & (dark | _filled(dark) | _bands(dark) | _bands(dark.T).T)
    stop = _beam_stop(labels, chosen)
    found = [_described_stop(stop)] if stop.any() else []
    rest = chosen & ~stop
    if rest.any():
        found.append(_described_dead(rest))
    marked = int(chosen.sum())
    change = f"{marked} pixel{'s' * (marked > 1)} that never count{'s' * (marked == 1)} {_are(marked)} marked as bad."
    return Outcome(tuple(found), subject.with_bad(chosen), change)


def corner(subject: Subject) -> Outcome:
    """Find patterns whose zero frequency lies in the corner of the array.

    Args:
        subject: the scan.

    Returns:
        The finding, and the scan with its patterns shifted by half their side; or nothing.
    """
    total = subject.total
    shifted = np.fft.fftshift(total)
    if not total.any() or _spread(shifted) >= _CORNER * _spread(total):
        return NOTHING
    share = float(shifted[_middle(len(total))].sum() / total.sum())
    evidence = (
        f"{share:.0%} of the light lies in the four corners of the patterns: their zero frequency is at pixel (0, 0), "
        "and here it must be at the middle of the array."
    )
    remedy = "Apply numpy.fft.fftshift along both axes of every pattern."
    bad = subject.raw.bad_pixels
    mended = subject.with_raw(
        diff3d=np.fft.fftshift(subject.raw.diff3d, axes=(1, 2)),
        bad_pixels=None if bad is None else np.fft.fftshift(bad),
    )
    finding = Finding("corner", "detector", "error", evidence, remedy)
    return Outcome((finding,), mended, "The zero frequency of the patterns was moved from the corner to the middle.")


def off_centre(subject: Subject) -> Outcome:
    """Find patterns whose centre is not that of the array.

    Args:
        subject: the scan.

    Returns:
        The finding, and the scan with patterns that are moved by whole pixels; or nothing.
    """
    N = subject.raw.N
    centre = _centre(subject.total, subject.good)
    light = subject.light_of_probe
    of_probe = np.zeros(2) if light is None else _centre(light, subject.good)
    off = centre - of_probe
    allowed = max(_OFF_PX, _OFF_SHARE * N)
    if np.abs(off).max() <= (allowed if light is None else min(allowed, _MOST_OFF_PX)):
        return NOTHING
    row, column = off
    against = "the middle of the array" if light is None else "that of the probe's far field"
    evidence = (
        f"The centre of the patterns lies {row:+.1f} rows and {column:+.1f} columns from {against}; the object gets a "
        f"phase ramp of {2 * np.pi * np.hypot(row, column) / N:.2g} rad per pixel, and light is lost at one border."
    )
    remedy = "Crop the patterns around their centre."
    step = -np.rint(off).astype(int)
    moved = np.zeros_like(subject.raw.diff3d)
    here, there = zip(*(_overlap(N, int(by)) for by in step), strict=True)
    moved[:, there[0], there[1]] = subject.raw.diff3d[:, here[0], here[1]]
    bad = np.ones((N, N), np.bool_)
    bad[there] = ~subject.good[here]
    change = f"Patterns were moved by {step[0]:+d} rows and {step[1]:+d} columns; what came in at the border is bad."
    finding = Finding("off-centre", "detector", "warning", evidence, remedy)
    return Outcome((finding,), subject.with_raw(diff3d=moved, bad_pixels=bad), change)


def _unit(subject: Subject) -> float:
    positive = subject.sample[subject.sample > 0]
    return 1.0 if not len(positive) else min(1.0, float(positive.min()))


def _light_across(total: Float64Array, lit: BoolArray) -> Float64Array:
    """Return the smaller value of the nearest lit pixels on both sides, from the brighter of the two axes (N, N)."""
    reach = max(4, len(total) // 5)
    along = []
    for turned, there in ((total, lit), (total.T, lit.T)):
        ahead, behind = _next_lit(turned, there, reach), _next_lit(turned[::-1], there[::-1], reach)[::-1]
        along.append(np.minimum(ahead, behind))
    return np.maximum(along[0], along[1].T)


def _next_lit(total: Float64Array, lit: BoolArray, reach: int) -> Float64Array:
    """Return the value of the nearest lit pixel with a smaller row, within reach; 0 if there is none."""
    rows = np.arange(len(total))[:, np.newaxis]
    last = np.maximum.accumulate(np.where(lit, rows, -reach - 1), axis=0)
    before = np.vstack([np.full((1, total.shape[1]), -reach - 1), last[:-1]])
    near = rows - before <= reach
    return np.where(near, np.take_along_axis(total, np.maximum(before, 0), axis=0), 0.0)


def _filled(dark: BoolArray) -> BoolArray:
    """Return the dark pixels, and the pixels between them within their rows and columns."""
    return np.asarray(ndimage.binary_closing(np.pad(dark, 3), np.ones((5, 5), np.bool_))[3:-3, 3:-3])


def _bands(dark: BoolArray) -> BoolArray:
    """Return whole rows if most of their lit part is dark, since a gap continues where no light shows it."""
    is_band = dark.sum(axis=1) >= max(_BAND_SHARE * dark.shape[1], 1)
    return np.broadcast_to(is_band[:, np.newaxis], dark.shape)


def _beam_stop(labels: IntArray, chosen: BoolArray) -> BoolArray:
    """Return those chosen pixels that form a compact spot around the middle (N, N)."""
    middle = len(labels) / 2
    rows, columns = np.indices(labels.shape)
    near = np.hypot(rows - middle, columns - middle) <= _CENTRE_PX
    parts = np.unique(labels[near & chosen])
    stop = np.isin(labels, parts) & chosen
    compact = stop.any() and max(np.ptp(np.flatnonzero(stop.any(axis=axis))) for axis in (0, 1)) < len(labels) / 2
    return stop if compact and stop.sum() >= _STOP_PIXELS else stop & False


def _described_stop(stop: BoolArray) -> Finding:
    width = int(stop.any(axis=0).sum())
    evidence = (
        f"{int(stop.sum())} pixels in the middle of the patterns never count, as behind a beam stop {width} pixels "
        "wide; read as measured, they say that no light goes there."
    )
    return Finding("beam-stop", "detector", "warning", evidence, "Mark them in bad_pixels.", pixels=stop)


def _described_dead(dead: BoolArray) -> Finding:
    count = int(dead.sum())
    evidence = (
        f"{count} detector pixel{'s' * (count > 1)} ({place_of(dead)}) never count{'s' * (count == 1)} though there is "
        "light on both sides: dead pixels, or a gap between modules."
    )
    return Finding("dead-pixels", "detector", "warning", evidence, "Mark them in bad_pixels.", pixels=dead)


def _are(count: int) -> str:
    return "was" if count == 1 else "were"


def _spread(total: Float64Array) -> float:
    axis = np.arange(len(total)) - len(total) / 2
    return float((total * (axis[:, np.newaxis] ** 2 + axis**2)).sum() / total.sum())


def _middle(side: int) -> tuple[slice, slice]:
    quarter = slice(side // 4, side - side // 4)
    return quarter, quarter


def _centre(total: Float64Array, good: BoolArray) -> Float64Array:
    """Return row and column of the centre of light from the array's middle, over pixels that are good on both sides."""
    N = len(total)
    mirrored = np.zeros_like(good)
    mirrored[1:, 1:] = good[1:, 1:][::-1, ::-1]
    light = total * (good & mirrored)
    axis = np.arange(N) - N / 2
    whole = light.sum() or 1.0
    return np.array([(light.sum(axis=1) @ axis) / whole, (light.sum(axis=0) @ axis) / whole])


def _overlap(side: int, by: int) -> tuple[slice, slice]:
    """Return the slices from which and to which pixels go when they are moved by a number of pixels."""
    return slice(max(0, -by), side - max(0, by)), slice(max(0, by), side - max(0, -by))
