"""Positions of which both axes are negated: the one wrong way that centres of mass do not show when a scan is read."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Final

from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import DataError, ScanWarning
from ptychopinn_backend.runs.orientation import AS_GIVEN, Orientation, OrientationSearch, search_orientation

HALF_TURN: Final = Orientation(swap_xy=False, negate_x=True, negate_y=True)
_LEAST_GAIN: Final = 0.05
"""Part of the R-factor by which the turned positions must be better: here nobody asked."""
_FIRST_PATTERNS: Final = 36
_FIRST_STEPS: Final = 4
"""A look at so few patterns, with so few steps, is enough for most scans: the positions as given are clearly better."""


def warn_of_half_turns(scans: Iterable[RawData]) -> None:
    """Warn of scans whose patterns are explained better with both axes of the positions negated.

    A look at a few patterns settles it mostly; else it takes two of the eight searches of `ptychopinn check`.

    Args:
        scans: those without a probe, or too small to tell, are passed over.
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
                f"The patterns fit the positions better with both x and y negated (R {found[HALF_TURN]:.3f} instead of "
                f"{found[AS_GIVEN]:.3f} on {search.n_patterns} patterns). Check the signs of the positions, or of the "
                "probe's curvature; 'ptychopinn check' tries all ways.",
                ScanWarning,
                stacklevel=2,
            )


def half_turn_search(scan: RawData) -> OrientationSearch:
    """Compare the positions as given with both axes negated, with as little work as tells them apart.

    Args:
        scan: with a probe.

    Returns:
        A search over few patterns where it clearly speaks for the positions as given, else the whole one.

    Raises:
        DataError: the scan has too few patterns, or all of them at one place.
    """
    ways = (AS_GIVEN, HALF_TURN)
    first = search_orientation(scan, _FIRST_PATTERNS, _FIRST_STEPS, ways)
    return first if first.best == AS_GIVEN and first.is_clear else search_orientation(scan, ways=ways)
