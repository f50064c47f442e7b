"""Faults that make a scan unusable before its patterns are examined: all are found at once, and taken out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray, BoolArray, IntArray
from ptychopinn_backend.data.findings.finding import Finding, numbered
from ptychopinn_backend.data.findings.values import LARGEST, is_noise
from ptychopinn_backend.data.readers.parts import OpenedScan

_PER_POINT: Final = ("xcoords", "ycoords", "xcoords_start", "ycoords_start", "scan_index", "point_index")


@dataclass(frozen=True, eq=False)
class UsableFacts:
    """The arrays of a scan without the parts that cannot be used."""

    members: dict[str, AnyArray]
    """Arrays as in `OpenedScan`, changed if there are findings."""
    count: int
    """Number of patterns that have a position; these are the first ones."""
    unplaced: IntArray
    """Patterns among them without a known position (pattern,). It is filled in, so that the file numbers stay valid."""
    findings: tuple[Finding, ...]
    """Parts that cannot be used, all of severity 'error'."""
    changes: tuple[str, ...]
    """Changes because of the findings, one sentence each."""


def usable_facts(opened: OpenedScan, most: int) -> UsableFacts:
    """Take the parts out of a scan's arrays that would make it unusable.

    Args:
        opened: the scan.
        most: largest number of patterns to examine; these are the first ones.

    Returns:
        The rest; everything if nothing is wrong.
    """
    members, found, changes = dict(opened.members), [], []
    n_patterns = pattern_count(opened)
    n_points = len(np.atleast_1d(members["xcoords"]))
    paired = min(n_patterns, n_points)
    count = min(paired, most)
    if n_patterns != n_points:
        found.append(_unequal(n_patterns, n_points))
        changes.append(f"The first {paired} patterns were paired with the first {paired} positions.")
    if count < n_points:
        members = _first_points(members, count, n_points)
    points = np.flatnonzero(_not_finite(members, count))
    if 0 < len(points) < count:
        one = len(points) == 1
        evidence = f"{numbered('position', points).capitalize()} {'is' if one else 'are'} NaN or infinite."
        remedy = f"Leave out the {'point' if one else 'points'}, or correct the file."
        found.append(Finding("nan-positions", "positions", "error", evidence, remedy, points=points))
        changes.append(f"{numbered('pattern', points).capitalize()} {'was' if one else 'were'} left out: no position.")
        known = np.setdiff1d(np.arange(count), points)
        for name in ("xcoords", "ycoords"):
            members[name] = np.interp(np.arange(count), known, members[name][known])
    probe = members.get("probeGuess")
    fault = None if probe is None else _fault_of_probe(np.asarray(probe))
    if fault is not None:
        remedy = "Give another probe; 'ptychopinn calibrate' finds one."
        found.append(Finding("no-light-in-probe", "probe", "error", f"The probe {fault}.", remedy))
        changes.append("The probe was left out.")
        members["probeGuess"] = None  # type: ignore[assignment]
    return UsableFacts(members, count, points, tuple(found), tuple(changes))


def pattern_count(opened: OpenedScan) -> int:
    """Return the number of patterns in a scan, on whichever axis they are."""
    shape = opened.patterns.shape
    if len(shape) != 3:
        return shape[0]
    n_points = len(np.atleast_1d(opened.members["xcoords"]))
    is_last = shape[2] == n_points != shape[0] or (shape[0] == shape[1] != shape[2] and shape[0] != n_points)
    return shape[2] if is_last else shape[0]


def background(patterns: AnyArray, good: BoolArray | None) -> tuple[Finding | None, AnyArray]:
    """Find negative counts with the scatter that a subtracted background leaves.

    Args:
        patterns: patterns (pattern, N, N), or with the pattern axis last if there is no mask.
        good: mask of the good pixels (N, N), or None.

    Returns:
        The finding of severity 'error', or None, and the patterns with these counts set to 0.
    """
    if patterns.dtype.kind == "u":
        return None, patterns
    with np.errstate(invalid="ignore"):
        negative = (patterns < 0) & (patterns >= -LARGEST)
    concerned = np.asarray(negative.any(axis=(1, 2)))
    mask: BoolArray = np.ones(patterns.shape[1:], np.bool_) if good is None else good
    if not concerned.any() or not is_noise(lambda: iter([patterns]), concerned, mask):
        return None, patterns
    lowest = float(patterns[negative].min())
    evidence = (
        f"{negative.mean():.1%} of the values are negative (down to {lowest:.4g}), scattered as a subtracted "
        "background leaves them; a number of photons is not."
    )
    remedy = "Set them to 0, or store the counts without the subtraction."
    finding = Finding("negative-counts", "detector", "error", evidence, remedy)
    return finding, np.where(negative, patterns.dtype.type(0), patterns)


def _unequal(n_patterns: int, n_points: int) -> Finding:
    which = "patterns have no position" if n_patterns > n_points else "positions have no pattern"
    evidence = f"There are {n_patterns} patterns and {n_points} positions: {abs(n_patterns - n_points)} {which}."
    remedy = (
        "Find out which are missing. --mend pairs them from the first on, which is right only where the last ones "
        "are missing."
    )
    return Finding("unequal-numbers", "positions", "error", evidence, remedy)


def _first_points(members: dict[str, AnyArray], count: int, n_points: int) -> dict[str, AnyArray]:
    return {
        name: values[:count]
        if name in _PER_POINT and values is not None and np.ndim(values) == 1 and len(values) == n_points
        else values
        for name, values in members.items()
    }


def _not_finite(members: dict[str, AnyArray], count: int) -> BoolArray:
    wrong = np.zeros(count, np.bool_)
    for name in ("xcoords", "ycoords"):
        values = np.asarray(members[name])
        if values.shape == (count,) and values.dtype.kind == "f":
            wrong |= ~np.isfinite(values)
    return wrong


def _fault_of_probe(probe: AnyArray) -> str | None:
    if probe.dtype.kind not in "fciu" or not probe.size:
        return None
    if not np.isfinite(probe).all():
        return "holds NaN or infinity"
    return None if np.any(probe) else "is zero everywhere"
