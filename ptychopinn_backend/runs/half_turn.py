"""A check for positions with both axes negated when a scan is read.

Centres of mass show every other wrong orientation, but not this one.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from ptychopinn_backend.data.dataset.stored_scan import StoredScan
from ptychopinn_backend.data.dataset.whole_scan import without_patterns
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import DataError, ScanWarning
from ptychopinn_backend.runs.orientation import (
    AS_GIVEN,
    Orientation,
    OrientationSearch,
    points_to_try,
    search_orientation,
)

HALF_TURN: Final = Orientation(swap_xy=False, negate_x=True, negate_y=True)
_LEAST_GAIN: Final = 0.05
"""Least part of the R-factor by which the turned positions must be better; high, since nobody asked for this check."""
_FIRST_PATTERNS: Final = 36
_FIRST_STEPS: Final = 4
"""Patterns and steps of the first look. Most scans need no more, since their given positions are clearly better."""


def warn_of_half_turns(scans: Iterable[RawData]) -> None:
    """Warn of scans whose patterns are explained better with both axes of the positions negated.

    A look at a few patterns is mostly enough. Otherwise this takes two of the eight searches of `ptychopinn check`.

    Args:
        scans: the scans; those without a probe or with too few patterns are left out.
    """
    for scan in scans:
        if scan.probeGuess is None:
            continue
        try:
            search = half_turn_search(scan)
        except DataError:
            continue
        if search.best == HALF_TURN and search.is_clear and search.margin >= _LEAST_GAIN:
            found = search.r_factors
            warnings.warn(
                f"{scan.heading}The patterns fit the positions better with both x and y negated (R "
                f"{found[HALF_TURN]:.3f} instead of {found[AS_GIVEN]:.3f} on {search.n_patterns} patterns). Check the "
                "signs of the positions, or of the probe's curvature; 'ptychopinn check' tries all ways.",
                ScanWarning,
                stacklevel=2,
            )


def middles_of(scans: Iterable[StoredScan]) -> Iterator[RawData]:
    """Yield the middle of every scan of a data set, which is all that a search looks at.

    Args:
        scans: the scans as they lie on disk.

    Yields:
        Scans of few patterns.

    Raises:
        DataError: a file of the data set is damaged.
    """
    for stored in scans:
        whole = without_patterns(stored)
        points = points_to_try(whole)
        yield replace(whole.select(points), diff3d=stored.patterns[points], files=(stored.shown_path,))


def half_turn_search(scan: RawData) -> OrientationSearch:
    """Compare the given positions with the same positions, both axes negated, with as little work as possible.

    Args:
        scan: a scan with a probe.

    Returns:
        The search over a few patterns if it clearly prefers the given positions, otherwise the search over more.

    Raises:
        DataError: the scan has no probe, too few patterns, or all patterns at one place.
    """
    ways = (AS_GIVEN, HALF_TURN)
    first = search_orientation(scan, _FIRST_PATTERNS, _FIRST_STEPS, ways)
    return first if first.best == AS_GIVEN and first.is_clear else search_orientation(scan, ways=ways)
