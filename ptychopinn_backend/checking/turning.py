"""The orientation of the positions relative to the patterns, as a finding with its remedy."""

from __future__ import annotations

from typing import Final

import numpy as np

from ptychopinn_backend.arrays import Float64Array
from ptychopinn_backend.checking.subject import Outcome, Subject, note
from ptychopinn_backend.config.reading import Reading
from ptychopinn_backend.data.findings.finding import Finding
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.runs.orientation import (
    AS_GIVEN,
    Orientation,
    OrientationSearch,
    scan_angle_deg,
    search_orientation,
)

_FIND_PROBE: Final = "'ptychopinn calibrate' finds one."
_NO_ROWS: Final = "Whether they are turned by an angle was not tried: the scan has no rows that show one."
_SOME_ANGLE_DEG: Final = 20.0


def orientation(subject: Subject, reading: Reading) -> tuple[Outcome, OrientationSearch | None]:
    """Try all possible orientations of the positions.

    Args:
        subject: the scan.
        reading: what the user states about the files; the remedy takes it into account.

    Returns:
        A note if positions and patterns agree, or if this cannot be decided. A warning with the options for another
        orientation, and the scan with turned positions, if that one is clearly better. The search, or None.
    """
    if subject.raw.probeGuess is None:
        evidence = "Which way the positions run cannot be told without a probe, through which patterns are compared."
        return Outcome((note("orientation", "orientation", evidence, _FIND_PROBE),)), None
    try:
        search = search_orientation(subject.raw)
    except DataError as error:
        return Outcome((note("orientation", "orientation", f"Not compared. {error}"),)), None
    best = search.best
    told = f"R {search.r_factors[best]:.3f} on {search.n_patterns} patterns, {100 * search.margin:.0f} % below the next"
    untold = "" if _has_rows(subject.raw.positions_xy) else f" {_NO_ROWS}"
    if not search.is_clear:
        evidence = f"The ways positions may run cannot be told apart by these patterns ({told}).{untold}"
        return Outcome((note("orientation", "orientation", evidence, "Compare reconstructions of each."),)), search
    if best == AS_GIVEN:
        evidence = f"Positions run as the patterns do ({told}).{untold}"
        return Outcome((note("orientation", "orientation", evidence),)), search
    given = Orientation(reading.swap_xy, reading.negate_x, reading.negate_y, reading.rotate_deg)
    whole = best.after(given)
    remedy = (
        f"Give {whole.options} to every command."
        if whole.options
        else "Leave out --rotate, --swap-xy, --negate-x and --negate-y."
    )
    if best == Orientation(False, True, True):
        remedy += " A probe whose curvature has the wrong sign looks the same."
    evidence = f"Positions do not run as the patterns do; {best} explains the counts ({told}).{untold}"
    finding = Finding("orientation", "orientation", "warning", evidence, remedy)
    return Outcome((finding,), _turned(subject, best), f"Positions were turned as {best.options} does."), search


def _has_rows(positions_xy: Float64Array) -> bool:
    """Return whether the steps of a scan agree on a direction: turned by some angle, it is seen to be turned."""
    return scan_angle_deg(Orientation(False, False, False, rotate_deg=_SOME_ANGLE_DEG).of(positions_xy)) != 0


def _turned(subject: Subject, way: Orientation) -> Subject:
    positions = {"": subject.raw.positions_xy}
    if subject.raw.xcoords_start is not None and subject.raw.ycoords_start is not None:
        positions["_start"] = np.stack([subject.raw.xcoords_start, subject.raw.ycoords_start], axis=1)
    turned = {name: way.of(values) for name, values in positions.items()}
    # The scan keeps its place, so that an object of the scan still lies under it.
    here, there = (values.min(axis=0) + values.max(axis=0) for values in (positions[""], turned[""]))
    changes = {}
    for name, values in turned.items():
        moved = values + (here - there) / 2
        changes[f"xcoords{name}"], changes[f"ycoords{name}"] = moved[:, 0].copy(), moved[:, 1].copy()
    return subject.with_raw(**changes)
