"""Search for patterns that occur twice."""

from __future__ import annotations

from typing import Final

import numpy as np

from ptychopinn_backend.arrays import Float32Array, Float64Array, IntArray
from ptychopinn_backend.checking.subject import NOTHING, Outcome, Subject
from ptychopinn_backend.data.findings.finding import Finding, numbered

_MIDDLE_PX: Final = 8
_MOST_COMPARED: Final = 500
_BY_CHANCE: Final = 1e-6
"""Largest probability that a scan has two equal patterns by chance; patterns with so few photons are left alone."""


def repeated_patterns(subject: Subject) -> Outcome:
    """Find patterns that are equal to an earlier one, value by value.

    Args:
        subject: the scan.

    Returns:
        The finding, and the scan without the later patterns; or nothing.
    """
    return _outcome(subject, _repeats(subject.raw.diff3d, subject.photons, subject.raw.n_patterns))


def repeated_middles(subject: Subject) -> Outcome:
    """Find the same without a look at all of the patterns: those whose middles hold equally much are compared.

    Args:
        subject: the scan.

    Returns:
        As `repeated_patterns`.
    """
    N = subject.raw.N
    middle = slice(max(0, N // 2 - _MIDDLE_PX // 2), N // 2 + _MIDDLE_PX // 2)
    light = np.einsum("pij->p", subject.raw.diff3d[:, middle, middle], dtype=np.float64)
    return _outcome(subject, _repeats(subject.raw.diff3d, light, _MOST_COMPARED))


def _outcome(subject: Subject, later: IntArray) -> Outcome:
    if not len(later):
        return NOTHING
    points = subject.rows[later]
    one = len(points) == 1
    named = numbered("pattern", points).capitalize()
    what = "is the same as an earlier one" if one else "are the same as earlier ones"
    done = "it was" if one else "they were"
    evidence = f"{named} {what}, value by value: two exposures never are, so that {done} written twice."
    remedy = "Check the detector's trigger; leave the later ones out."
    finding = Finding("repeated-patterns", "patterns", "warning", evidence, remedy, points=points)
    change = f"{named} {'was' if one else 'were'} left out as repeated."
    left = subject.raw.n_patterns - len(later)
    return Outcome((finding,), subject.without(later) if left >= 1 else None, change if left >= 1 else "")


def _repeats(patterns: Float32Array, light: Float64Array, most: int) -> IntArray:
    """Return patterns that are the same as an earlier one (pattern,).

    Args:
        patterns: amplitudes (pattern, N, N).
        light: a number of every pattern (pattern,) in which equal ones agree.
        most: pairs that are compared.

    Returns:
        The later of each pair, in rising order.
    """
    order = np.lexsort((np.arange(len(patterns)), light))
    same = np.flatnonzero(np.diff(light[order]) == 0)[:most]
    later = []
    least = np.log(len(patterns) ** 2 / _BY_CHANCE)
    # Only patterns with the same sum of photons are compared; two different patterns hardly ever have the same sum.
    for start in same:
        first, second = order[start], order[start + 1]
        if np.array_equal(patterns[first], patterns[second]) and _surprise(patterns[first]) > least:
            later.append(second)
    return np.sort(np.array(later, np.int64))


def _surprise(pattern: Float32Array) -> float:
    """Return minus the logarithm of the probability that another exposure gives the same counts (N, N)."""
    counts = np.square(pattern[pattern > 0], dtype=np.float64)
    # Two Poisson numbers of mean n are equal in about one of sqrt(4 pi n) cases.
    return float(np.log(np.maximum(4 * np.pi * counts, 2.0)).sum() / 2)
