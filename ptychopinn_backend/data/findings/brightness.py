"""Patterns that are far brighter or darker than the rest, hold no photon at all, or saturate."""

from __future__ import annotations

from typing import Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray, BoolArray, Float64Array, FloatArray, IntArray
from ptychopinn_backend.data.findings.finding import Finding, numbered

_BRIGHTER: Final = 4.0
"""Ratio to the brightest of the other patterns, and to the usual one, from which on a pattern is too bright."""
_DARKER: Final = 10.0
"""Ratio of the darkest other pattern to a pattern that is too dark ..."""
_MUCH_DARKER: Final = 50.0
"""... and of the usual one."""
FEWEST_PHOTONS: Final = 30.0
ODD_SHARE: Final = 0.2
"""More patterns than this part of the scan are no exception."""
_BY_CHANCE: Final = 0.01
_SATURATED: Final = 100.0
_NEAR: Final = 0.8
_FEWEST_SATURATED: Final = 5
_PILED_UP: Final = 3.0


def dark_patterns(totals: Float64Array, empty: IntArray, n_patterns: int, unit: float) -> IntArray:
    """Return patterns without a photon, unless a scan of so few photons has some by chance.

    Args:
        totals: counts of some of the other patterns (pattern,).
        empty: patterns without a photon (pattern,).
        n_patterns: of the whole scan.
        unit: a photon, in the unit of the counts.

    Returns:
        All of them or none (pattern,).
    """
    if not len(empty) or not len(totals):
        return empty[:0]
    by_chance = float(np.exp(-totals / unit).mean())
    return empty if by_chance < _BY_CHANCE * len(empty) / n_patterns else empty[:0]


def odd_patterns(
    totals: Float64Array, points: IntArray, usual: float, n_patterns: int, unit: float
) -> tuple[IntArray, IntArray]:
    """Return patterns that are far too bright or too dark: nothing lies between them and the others.

    Args:
        totals: counts of patterns (pattern,), those that may be odd among them.
        points: which patterns these are.
        usual: counts of a pattern that is not odd.
        n_patterns: of the whole scan.
        unit: a photon, in the unit of the counts.

    Returns:
        Too bright ones and too dark ones, in rising order.
    """
    order = np.argsort(totals)
    ordered = np.maximum(totals[order], unit)
    few = max(1, int(ODD_SHARE * n_patterns))
    none = points[:0]
    if len(ordered) < 4 or usual < FEWEST_PHOTONS * unit:
        return none, none
    steps = ordered[1:] / ordered[:-1]
    bright = np.flatnonzero((steps >= _BRIGHTER) & (ordered[1:] >= _BRIGHTER * usual))
    first = int(bright[0]) + 1 if len(bright) else len(ordered)
    dark = np.flatnonzero((steps >= _DARKER) & (ordered[:-1] <= usual / _MUCH_DARKER))
    last = int(dark[-1]) + 1 if len(dark) else 0
    return (
        np.sort(points[order[first:]]) if len(ordered) - first <= few else none,
        np.sort(points[order[:last]]) if last <= few else none,
    )


def described_patterns(
    bright: IntArray, dark: IntArray, empty: IntArray, unwritten: IntArray, factor: float
) -> list[Finding]:
    """Return findings of patterns that are left out.

    Args:
        bright: too bright ones.
        dark: too dark ones.
        empty: those without a photon.
        unwritten: those that are 0 in a block.
        factor: how many times as bright as usual the too bright ones are at least.

    Returns:
        One for each kind there is.
    """
    kinds = (
        ("hot-patterns", bright, f"at least {factor:.3g} times as bright as the others", "the beam or the detector"),
        ("dark-patterns", dark, "almost without light beside the others", "the shutter"),
        ("empty-patterns", empty, "without a photon", "whether they were ever written"),
        (
            "unwritten-patterns",
            unwritten,
            "0 in a whole block where the others have light",
            "whether all of it was written",
        ),
    )
    findings = []
    for name, points, what, cause in kinds:
        if len(points):
            one = len(points) == 1
            evidence = (
                f"{numbered('pattern', points).capitalize()} {'is' if one else 'are'} {what}; "
                f"{'it is' if one else 'they are'} left out."
            )
            findings.append(Finding(name, "patterns", "warning", evidence, f"Check {cause} there.", points=points))
    return findings


def saturation(sample: AnyArray, highest: Float64Array, good: BoolArray, power: int, unit: float) -> Finding | None:
    """Find pixels that reach the largest number a detector gives and pile up there.

    Args:
        sample: some patterns (pattern, N, N) in the unit of the file, the brightest among them.
        highest: largest value of every pattern of the scan (pattern,).
        good: good pixels (N, N).
        power: 2 where the patterns are amplitudes, else 1.
        unit: a photon, in counts.

    Returns:
        The finding, or None.
    """
    values = np.where(good, sample, 0).astype(np.float64)
    limit = float(highest.max(initial=0.0))
    if limit**power < _SATURATED * unit or not len(values):
        return None
    # Amplitudes are roots in single precision.
    at = np.abs(values - limit) <= 3e-7 * limit
    near = (values**power >= _NEAR * limit**power) & (values < limit) & ~at
    # Counts that end by themselves are spread over all numbers near the largest.
    by_chance = near.sum() / ((1 - _NEAR) * limit**power / unit)
    if at.sum() < max(_FEWEST_SATURATED, _PILED_UP * by_chance):
        return None
    share = float(np.mean(highest >= limit * (1 - 3e-7)))
    evidence = (
        f"{at.sum() / len(at):.2g} pixels of a pattern on average stop at {limit**power:.6g} counts, which {share:.0%} "
        "of the patterns reach: they are saturated, and the light above is lost."
    )
    remedy = "Mark them in bad_pixels, or measure with less light in a pattern."
    return Finding("saturation", "detector", "warning", evidence, remedy, pixels=np.asarray(at.any(axis=0)))


def totals_of(counts: FloatArray) -> Float64Array:
    """Return the photons of patterns (pattern,), from (pattern, N, N)."""
    return np.asarray(counts.sum(axis=(1, 2), dtype=np.float64))
