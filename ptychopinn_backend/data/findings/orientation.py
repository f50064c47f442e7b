"""Whether positions and patterns agree on which axis is which, seen in the centres of mass of the patterns.

The centre of mass of a pattern is the mean phase gradient of the light behind the object, so that over the scan it is
the gradient of something and has no curl; with x and y exchanged, or one of them turned round, it has as much curl as
divergence. This is how electron microscopists find the rotation between scan and detector (Savitzky et al., Microsc.
Microanal. 27, 712, 2021). Both axes turned round at once leave a gradient a gradient, and are not seen.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ptychopinn_backend.arrays import Float64Array, IntArray
from ptychopinn_backend.data.findings.finding import Finding
from ptychopinn_backend.data.findings.points import distance_from_middle, points_by_object

MOST_FOLLOWED: Final = 400
"""Patterns whose centres of mass are looked at: the nearest to one point of the scan."""
_FEWEST: Final = 40
_NEIGHBOURS: Final = 6
_MOST_CURL: Final = 0.35
"""Part of the curl, of curl and divergence squared, up to which an orientation explains the patterns."""
_LESS_CURL: Final = 0.15
"""By how much it must be less than that of the orientation given, in a scan of any size ..."""
_LESS_CURL_OF_NOISE: Final = 2.75
"""... and over the square root of the number of patterns, where noise decides."""
_ALIKE: Final = 0.3
"""Correlation of a centre of mass with the mean of its neighbours' below which they are noise."""
ORIENTATIONS: Final = {
    "as given": ((1.0, 0.0), (0.0, 1.0)),
    "x and y exchanged": ((0.0, 1.0), (1.0, 0.0)),
    "one of x and y negated": ((-1.0, 0.0), (0.0, 1.0)),
    "x and y exchanged and one of them negated": ((0.0, 1.0), (-1.0, 0.0)),
}
"""What is done to (x, y) -> matrix; those that differ by half a turn leave the same curl."""


def points_to_follow(positions_xy: Float64Array, scan_index: IntArray) -> IntArray:
    """Choose scan points close together, for which centres of mass are kept.

    Args:
        positions_xy: (pattern, 2), object pixels.
        scan_index: object of every point (pattern,).

    Returns:
        Points of the largest object (point,), in rising order; none where it is too small to tell.
    """
    members = max(points_by_object(scan_index), key=len)
    if len(members) < _FEWEST:
        return members[:0]
    distance = distance_from_middle(positions_xy[members])
    nearest = np.argpartition(distance, MOST_FOLLOWED)[:MOST_FOLLOWED] if len(members) > MOST_FOLLOWED else slice(None)
    return np.sort(members[nearest])


def curl_shares(positions_xy: Float64Array, centres_xy: Float64Array) -> dict[str, float]:
    """Return how much curl the centres of mass have over the scan, for every orientation of the positions.

    Args:
        positions_xy: (pattern, 2), object pixels.
        centres_xy: centres of mass of the patterns (pattern, 2), axis 1 = (column, row), detector pixels.

    Returns:
        Orientation -> sum of curl^2 / (sum of curl^2 + sum of divergence^2), 0 for a gradient; empty where the
        positions do not allow to tell.
    """
    from scipy.spatial import KDTree

    count = min(_NEIGHBOURS, len(positions_xy) - 1)
    near = KDTree(positions_xy).query(positions_xy, k=count + 1)[1]
    there = positions_xy[near] - positions_xy[near].mean(axis=1, keepdims=True)
    moved = centres_xy[near] - centres_xy[near].mean(axis=1, keepdims=True)
    spread = np.einsum("pki,pkj->pij", there, there)
    largest = np.trace(spread, axis1=1, axis2=2)
    # Neighbours on a line tell the slope along it only.
    usable = np.linalg.det(spread) > 1e-2 * largest**2
    if usable.sum() < _FEWEST:
        return {}
    slopes = np.linalg.solve(spread[usable], np.einsum("pki,pkj->pij", there, moved)[usable])
    shares = {}
    for name, matrix in ORIENTATIONS.items():
        # The slopes of the same field over positions M r are M^-T times those over r, and M is orthogonal.
        turned = np.asarray(matrix) @ slopes
        curl = float(np.sum((turned[:, 0, 1] - turned[:, 1, 0]) ** 2))
        divergence = float(np.sum((turned[:, 0, 0] + turned[:, 1, 1]) ** 2))
        if curl + divergence == 0:
            return {}
        shares[name] = curl / (curl + divergence)
    return shares


def swapped_axes(positions_xy: Float64Array, moments: Float64Array) -> Finding | None:
    """Find that another orientation of the positions explains the patterns, and the one given does not.

    Args:
        positions_xy: (pattern, 2), object pixels.
        moments: (pattern, term): sum of a pattern's counts, and of these times column and row.

    Returns:
        The finding, or None.
    """
    lit = np.isfinite(moments).all(axis=1) & (moments[:, 0] > 0)
    if lit.sum() < _FEWEST:
        return None
    centres = moments[lit, 1:] / moments[lit, :1]
    shares = curl_shares(positions_xy[lit], centres)
    if not shares or _likeness(positions_xy[lit], centres) < _ALIKE:
        return None
    given = shares.pop("as given")
    best = min(shares, key=lambda name: shares[name])
    least = max(_LESS_CURL, _LESS_CURL_OF_NOISE / np.sqrt(lit.sum()))
    if shares[best] > _MOST_CURL or given - shares[best] < least:
        return None
    evidence = (
        f"The patterns fit the positions better with {best}: their centres of mass then have {shares[best]:.0%} curl "
        f"over the scan, as given {given:.0%}, where 0 % is right."
    )
    remedy = "Check which axis of the positions is which, and their signs."
    return Finding("swapped-axes", "orientation", "warning", evidence, remedy)


def _likeness(positions_xy: Float64Array, centres_xy: Float64Array) -> float:
    """Return the correlation of centres of mass with the means of their neighbours'."""
    from scipy.spatial import KDTree

    near = np.asarray(KDTree(positions_xy).query(positions_xy, k=_NEIGHBOURS)[1])
    here, around = (values - values.mean(axis=0) for values in (centres_xy, centres_xy[near[:, 1:]].mean(axis=1)))
    scale = np.sqrt(np.sum(here**2) * np.sum(around**2))
    return float(np.sum(here * around) / scale) if scale > 0 else 0.0


def swapped_nominal(positions_xy: Float64Array, nominal_xy: Float64Array) -> Finding | None:
    """Find that nominal and measured positions of one file differ by exchanged axes or a sign.

    Args:
        positions_xy: (pattern, 2), object pixels.
        nominal_xy: nominal ones, same shape.

    Returns:
        The finding, or None.
    """
    if len(positions_xy) < _FEWEST:
        return None
    every = max(1, len(positions_xy) // MOST_FOLLOWED)
    here, there = (values[::every] - values[::every].mean(axis=0) for values in (positions_xy, nominal_xy))
    scale = np.abs(here).mean()

    def misfit(matrix: object) -> float:
        return float(np.abs(here @ np.asarray(matrix).T - there).mean())

    given = misfit(ORIENTATIONS["as given"])
    others = {
        f"{'minus ' * (sign < 0)}{name}": sign * np.asarray(matrix)
        for name, matrix in ORIENTATIONS.items()
        for sign in (1, -1)
    }
    best = min(others, key=lambda name: misfit(others[name]))
    if best == "as given" or misfit(others[best]) > 0.05 * scale or given < 0.3 * scale:
        return None
    evidence = (
        "The nominal positions (xcoords_start, ycoords_start) lie elsewhere than xcoords and ycoords, and would agree "
        "with an axis exchanged or negated."
    )
    return Finding("swapped-nominal", "orientation", "warning", evidence, "Check which of the two is right.")
