"""Positions of which both axes are negated: the one wrong way that centres of mass do not show when a scan is read."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Final

from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import DataError, ScanWarning
from ptychopinn_backend.runs.orientation import AS_GIVEN, Orientation, search_orientation

HALF_TURN: Final = Orientation(swap_xy=False, negate_x=True, negate_y=True)
_LEAST_GAIN: Final = 0.05
"""Part of the R-factor by which the turned positions must be better: here nobody asked."""


def warn_of_half_turns(scans: Iterable[RawData]) -> None:
    """Warn of scans whose patterns are explained better with both axes of the positions negated.

    It takes two of the eight searches of `ptychopinn check`, a fraction of a second.

    Args:
        scans: those without a probe, or too small to tell, are passed over.
    """
    for scan in scans:
        if scan.probeGuess is None:
            continue
        try:
            search = search_orientation(scan, ways=(AS_GIVEN, HALF_TURN))
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
