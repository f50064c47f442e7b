"""Patterns brighter than those around them, or of several levels of brightness, as a changed exposure leaves them.

Neighbouring patterns of a scan receive most of their light through the same part of the object. So their total counts
change slowly. A changed exposure changes them from one pattern to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from ptychopinn_backend.arrays import BoolArray, Float64Array, IntArray
from ptychopinn_backend.data.findings.brightness import FEWEST_PHOTONS, ODD_SHARE
from ptychopinn_backend.data.findings.finding import Finding, numbered

BRIGHTER: Final = 4.0
"""A pattern is too bright if it holds this many times the counts of the usual pattern, and of those around it."""
_NEAR: Final = 0.35
"""Distance, as a part of the width of the light, within which two patterns share most of their light."""
_NEIGHBOURS: Final = 8
_FEWEST_NEIGHBOURS: Final = 2
_APART: Final = 10.0
"""Smallest ratio between two levels of brightness. No pattern lies in between."""
_BRIGHT_PLACES: Final = 0.01
"""Part of the pixels that count as the brightest places of a pattern."""
_FEWEST_PLACES: Final = 9
"""Smallest number of the brightest places."""
_FEW_PHOTONS: Final = 3.0
_ENOUGH: Final = 16
_LEVEL_SHARE: Final = 0.05
"""Smallest part of the patterns that makes a level of its own."""
_MAJORITY: Final = 2 / 3
"""If at least this part of the patterns is at one level, the other levels may be left out."""
_FAR_APART: Final = 50.0
"""They are left out only if all of them differ from that level by this factor."""


def neighbours(positions_xy: Float64Array, points: IntArray, width_px: float) -> list[IntArray]:
    """Return the neighbours of scan points that share most of their light with them.

    Args:
        positions_xy: positions of all patterns (pattern, 2), axis 1 = (x, y), pixels.
        points: numbers of the scan points whose neighbours are wanted (point,).
        width_px: width of the light, pixels.

    Returns:
        For each point, the numbers of its neighbours (neighbour,). There are fewer if the scan is sparse.
    """
    from scipy.spatial import KDTree

    count = min(_NEIGHBOURS + 1, len(positions_xy))
    near = np.asarray(KDTree(positions_xy).query(positions_xy[points], k=[*range(1, count + 1)])[1])
    apart = np.hypot(*np.moveaxis(positions_xy[near] - positions_xy[points][:, np.newaxis], -1, 0))
    is_near = (apart <= _NEAR * width_px) & (near != points[:, np.newaxis])
    return [row[chosen] for row, chosen in zip(near, is_near, strict=True)]


def brighter_than_neighbours(totals: Float64Array, points: IntArray, near: list[IntArray], usual: float) -> IntArray:
    """Return patterns that are far brighter than usual and than most of those next to them.

    Args:
        totals: total counts of every pattern (pattern,), NaN if they are not known.
        points: numbers of the patterns that may be too bright (point,).
        near: numbers of the neighbours (neighbour,) of each of these patterns.
        usual: total counts of a usual pattern.

    Returns:
        Numbers of the patterns that are too bright, in rising order.
    """
    found = []
    for point, beside in zip(points.tolist(), near, strict=True):
        around = totals[beside]
        around = around[np.isfinite(around)]
        if len(around) >= _FEWEST_NEIGHBOURS and totals[point] >= BRIGHTER * max(usual, float(np.median(around))):
            found.append(point)
    return np.array(sorted(found), np.int64)


@dataclass(frozen=True, eq=False)
class UsualBrightness:
    """How bright most patterns are at their brightest places. Hot pixels have no influence."""

    places: BoolArray
    """Mask (N, N), True for the pixels at which most patterns are brightest."""
    middle: float
    """Median of the counts at these places in each pattern, then the median of it over the patterns."""
    unit: float
    """Counts of one photon, in the unit of the patterns."""

    @classmethod
    def of(cls, counts: Float64Array, unit: float) -> UsualBrightness:
        """Find out how bright patterns are.

        Args:
            counts: counts of some patterns (pattern, N, N), 0 at bad pixels.
            unit: counts of one photon, in the unit of `counts`.

        Returns:
            The brightness of most of these patterns.
        """
        # Some tell it as well as all.
        usual = np.median(counts[:: max(1, len(counts) // _ENOUGH)], axis=0)
        count = max(_FEWEST_PLACES, int(_BRIGHT_PLACES * usual.size))
        places = (usual >= np.sort(usual, axis=None)[-min(count, usual.size)]) & (usual > 0)
        light = _median_at(places, counts)
        return cls(places, float(np.quantile(light, 0.5, method="lower")), unit)

    def brighter(self, counts: Float64Array) -> BoolArray:
        """Return which patterns are of a far brighter level.

        In such a pattern one photon counts as many photons of the other patterns.

        Args:
            counts: counts of the patterns (pattern, N, N), 0 at bad pixels.

        Returns:
            True for every far brighter pattern (pattern,).
        """
        return _median_at(self.places, counts) > _APART * max(self.middle, _FEW_PHOTONS * self.unit)

    def alike(self, counts: Float64Array) -> BoolArray:
        """Return True (pattern,) for every pattern (pattern, N, N) whose level is not far brighter or dimmer."""
        alike = ~self.brighter(counts)
        if self.middle >= FEWEST_PHOTONS * self.unit:
            alike &= _median_at(self.places, counts) * _APART >= self.middle
        return alike


def _median_at(places: BoolArray, counts: Float64Array) -> Float64Array:
    return np.asarray(np.median(counts[:, places], axis=1)) if places.any() else np.zeros(len(counts))


class Levels(NamedTuple):
    """Levels of brightness, from the dimmest up."""

    members: tuple[IntArray, ...]
    """Numbers of the patterns (pattern,) of every level."""
    totals: tuple[float, ...]
    """Total counts of a typical pattern of every level."""

    @property
    def main(self) -> int | None:
        """Index of the level of most patterns, so that the others are left out; None if that is not clear."""
        sizes = [len(members) for members in self.members]
        main = int(np.argmax(sizes))
        ratios = [max(total, self.totals[main]) / min(total, self.totals[main]) for total in self.totals]
        others = [ratio for level, ratio in enumerate(ratios) if level != main]
        return main if sizes[main] >= _MAJORITY * sum(sizes) and min(others) >= _FAR_APART else None

    def beside_main(self) -> tuple[IntArray, IntArray]:
        """Return the numbers of the patterns brighter, and of those dimmer, than the patterns of the main level."""
        main = self.main or 0
        none = [np.zeros(0, np.int64)]
        return np.concatenate([*none, *self.members[main + 1 :]]), np.concatenate([*none, *self.members[:main]])

    def above(self, total: float) -> IntArray:
        """Return the numbers of the patterns of levels that are far brighter than a total."""
        brighter = [part for part, level in zip(self.members, self.totals, strict=True) if level >= _APART * total]
        return np.concatenate([np.zeros(0, np.int64), *brighter])

    def described(self) -> Finding:
        """Return the finding for the case that no level is left out."""
        smallest = min(self.members, key=len)
        words = " and ".join(
            f"{numbered('pattern', members)} hold about {total:.3g} counts"
            for members, total in zip(self.members, self.totals, strict=True)
        )
        evidence = (
            f"The patterns come in {len(self.members)} levels of brightness with nothing in between, as an attenuator "
            f"or another exposure leaves them: {words}."
        )
        remedy = "Divide the counts of every pattern by its exposure, or leave out all but one level."
        return Finding("brightness-levels", "patterns", "warning", evidence, remedy, points=smallest)


def brightness_levels(totals: Float64Array, usual: float, unit: float) -> Levels | None:
    """Return the levels that the totals of patterns fall into.

    Args:
        totals: total counts of every pattern (pattern,), NaN if they are not known.
        usual: total counts of a usual pattern.
        unit: counts of one photon, in the unit of `totals`.

    Returns:
        At least two levels. Each holds a good part of the patterns and is narrower than the gap between levels. None if
        there are no such levels.
    """
    if usual < FEWEST_PHOTONS * unit:
        return None
    known = np.flatnonzero(np.isfinite(totals))
    ordered = known[np.argsort(totals[known])]
    logs = np.log(np.maximum(totals[ordered], unit))
    apart = np.log(_APART)
    cuts = np.flatnonzero(np.diff(logs) >= apart) + 1
    if not len(cuts):
        return None
    parts = np.split(np.arange(len(ordered)), cuts)
    members, levels = [], []
    for part in parts:
        if len(part) < _LEVEL_SHARE * len(known):
            continue
        low, high = np.quantile(logs[part], (0.05, 0.95))
        if high - low >= apart:
            return None
        members.append(np.sort(ordered[part]))
        levels.append(float(np.exp(np.median(logs[part]))))
    # Fewer beside one level are looked at one by one.
    others = len(known) - max(map(len, members), default=0)
    return Levels(tuple(members), tuple(levels)) if len(members) > 1 and others > ODD_SHARE * len(known) else None
