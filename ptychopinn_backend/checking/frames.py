"""Patterns that are there twice."""

from __future__ import annotations

from typing import Final

import numpy as np

from ptychopinn_backend.arrays import Float32Array, IntArray
from ptychopinn_backend.checking.subject import NOTHING, Outcome, Subject
from ptychopinn_backend.data.findings.finding import Finding, numbered

_BY_CHANCE: Final = 1e-6
"""Patterns of so few photons that a scan has two alike with more than this probability are left alone."""


def repeated_patterns(subject: Subject) -> Outcome:
    """Find patterns that are the same as an earlier one, value by value.

    Args:
        subject: the scan.

    Returns:
        The finding, and the scan without the later ones; or nothing.
    """
    later = _repeats(subject)
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


def _repeats(subject: Subject) -> IntArray:
    patterns = subject.raw.diff3d
    order = np.lexsort((np.arange(len(patterns)), subject.photons))
    same = np.flatnonzero(np.diff(subject.photons[order]) == 0)
    later = []
    least = np.log(len(patterns) ** 2 / _BY_CHANCE)
    # Of one sum of photons, which hardly ever is that of two different patterns.
    for start in same:
        first, second = order[start], order[start + 1]
        if np.array_equal(patterns[first], patterns[second]) and _surprise(patterns[first]) > least:
            later.append(second)
    return np.sort(np.array(later, np.int64))


def _surprise(pattern: Float32Array) -> float:
    """Return minus the logarithm of the probability that another exposure gives the same counts (N, N)."""
    counts = np.square(pattern[pattern > 0], dtype=np.float64)
    # Two Poisson numbers of mean n are the same once in about sqrt(4 pi n) times.
    return float(np.log(np.maximum(4 * np.pi * counts, 2.0)).sum() / 2)
