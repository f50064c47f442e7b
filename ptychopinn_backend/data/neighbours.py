"""Which scan points a group may be drawn from: the neighbours of every point, by one of three rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ptychopinn_backend.arrays import BoolArray, Float64Array, IntArray

QUADRANTS: Final = 4
# Points times neighbours looked at together, which bounds the memory of a search.
_SEARCHED_TOGETHER: Final = 2**22


@dataclass(frozen=True, eq=False)
class NeighbourPools:
    """The neighbours of every scan point, nearest first, and the sector of its surroundings each lies in."""

    points: IntArray
    """(pattern, pool) int32, -1 where a point has fewer neighbours."""
    sectors: IntArray
    """(pattern, pool) int8: sector, -1 where there is no neighbour to use."""
    n_sectors: int
    """Sectors; every group takes equally many points from each."""

    @classmethod
    def undivided(cls, points: IntArray) -> NeighbourPools:
        """Return pools of a single sector.

        Args:
            points: (pattern, pool), -1 where there is none.

        Returns:
            The pools.
        """
        return cls(points, np.where(points < 0, -1, 0).astype(np.int8), 1)

    def suffice(self, channels: int) -> BoolArray:
        """Return which points have neighbours enough for a group.

        Args:
            channels: patterns in a group, a multiple of the sectors.

        Returns:
            (pattern,).
        """
        enough = np.ones(len(self.points), np.bool_)
        for sector in range(self.n_sectors):
            enough &= (self.sectors == sector).sum(axis=1) >= channels // self.n_sectors
        return enough

    def draw(self, seeds: IntArray, channels: int, n_nearest: int, rng: np.random.Generator) -> IntArray:
        """Draw the members of groups without replacement.

        Args:
            seeds: seed point of every group (group,).
            channels: patterns in a group, a multiple of the sectors.
            n_nearest: the first groups, this many, take their nearest neighbours instead.
            rng: of the draw.

        Returns:
            (group, channel) scan points, sector by sector.
        """
        pools, sectors = self.points[seeds], self.sectors[seeds]
        keys = rng.random(pools.shape)
        keys[:n_nearest] = np.arange(pools.shape[1])
        drawn = []
        for sector in range(self.n_sectors):
            order = np.argsort(np.where(sectors == sector, keys, np.inf), axis=1)
            drawn.append(order[:, : channels // self.n_sectors])
        return np.take_along_axis(pools, np.concatenate(drawn, axis=1), axis=1)


def find_neighbours(positions: Float64Array, scan_index: IntArray, count: int, channels: int) -> IntArray:
    """Return the nearest neighbours of every scan point within its own scan, nearest first.

    A point is not its own neighbour, unless its scan has exactly `channels` points: the only group then is all of
    them.

    Args:
        positions: (pattern, 2), pixels.
        scan_index: (pattern,).
        count: neighbours to return for each point.
        channels: patterns in a group.

    Returns:
        (pattern, neighbour) int32, -1 where a scan has fewer points.
    """
    from scipy.spatial import KDTree

    neighbours = np.full((len(positions), count), -1, np.int32)
    for scan in np.unique(scan_index):
        members = np.flatnonzero(scan_index == scan)
        n_members = len(members)
        n_nearest = min(count + 1, n_members)
        tree = KDTree(positions[members])
        for piece in _pieces(np.arange(n_members), n_nearest):
            nearest = _columns(tree.query(positions[members[piece]], k=n_nearest, workers=-1)[1], piece)
            if n_members > channels:
                nearest = _without_self(nearest, piece)
            nearest = nearest[:, :count]
            neighbours[members[piece], : nearest.shape[1]] = members[nearest]
    return neighbours


def find_at_distance(
    positions: Float64Array, scan_index: IntArray, count: int, min_distance: float, max_distance: float
) -> IntArray:
    """Return the nearest of those neighbours whose distance lies within limits, nearest first.

    Args:
        positions: (pattern, 2), pixels.
        scan_index: (pattern,); neighbours share it.
        count: neighbours to return for each point.
        min_distance: least distance, pixels; included.
        max_distance: greatest distance, pixels; included.

    Returns:
        (pattern, neighbour) int32, -1 where a point has fewer.
    """
    from scipy.spatial import KDTree

    neighbours = np.full((len(positions), count), -1, np.int32)
    for scan in np.unique(scan_index):
        members = np.flatnonzero(scan_index == scan)
        tree = KDTree(positions[members])
        pending: IntArray = np.arange(len(members))
        n_looked_at = min(count + 1, len(members))
        while len(pending):
            unfinished = []
            for piece in _pieces(pending, n_looked_at):
                limit = np.nextafter(max_distance, np.inf)
                found = tree.query(positions[members[piece]], k=n_looked_at, distance_upper_bound=limit, workers=-1)
                distances, nearest = _columns(found[0], piece), _columns(found[1], piece)
                usable = np.isfinite(distances) & (distances >= min_distance) & (nearest != piece[:, np.newaxis])
                finished = (usable.sum(axis=1) >= count) | ~np.isfinite(distances[:, -1])
                finished |= n_looked_at == len(members)
                order = np.argsort(~usable, axis=1, kind="stable")[:, :count]
                usable = np.take_along_axis(usable, order, axis=1)
                picked = np.where(usable, np.take_along_axis(nearest, order, axis=1), 0)
                rows = members[piece[finished]]
                neighbours[rows, : order.shape[1]] = np.where(usable, members[picked], -1)[finished]
                unfinished.append(piece[~finished])
            pending = np.concatenate(unfinished)
            n_looked_at = min(2 * n_looked_at, len(members))
    return neighbours


def sort_into_quadrants(positions: Float64Array, neighbours: IntArray) -> NeighbourPools:
    """Divide the neighbours of every point by the quadrant around the point they lie in.

    Quadrants are half-open and map onto one another by quarter turns, so a neighbour on an axis belongs to one of
    them; a neighbour at the same place belongs to none.

    Args:
        positions: (pattern, 2), axis 1 = (x, y), pixels.
        neighbours: (pattern, pool), -1 where there is none.

    Returns:
        Pools of four sectors.
    """
    sectors = np.full(neighbours.shape, -1, np.int8)
    for piece in _pieces(np.arange(len(neighbours)), neighbours.shape[1]):
        offsets = positions[neighbours[piece]] - positions[piece][:, np.newaxis]
        dx, dy = offsets[..., 0], offsets[..., 1]
        there = neighbours[piece] >= 0
        rules = [(dx > 0) & (dy >= 0), (dx <= 0) & (dy > 0), (dx < 0) & (dy <= 0), (dx >= 0) & (dy < 0)]
        sectors[piece] = np.select([rule & there for rule in rules], range(QUADRANTS), -1)
    return NeighbourPools(neighbours, sectors, QUADRANTS)


def within_bounds(
    positions: Float64Array, scan_index: IntArray, x_bounds: tuple[float, float], y_bounds: tuple[float, float]
) -> BoolArray:
    """Return which scan points lie within fractions of the extent of their own scan.

    Args:
        positions: (pattern, 2), axis 1 = (x, y), pixels.
        scan_index: (pattern,).
        x_bounds: low and high fraction of the width, both included.
        y_bounds: low and high fraction of the height, both included.

    Returns:
        (pattern,).
    """
    low, high = np.array([x_bounds, y_bounds]).T
    inside = np.empty(len(positions), np.bool_)
    for scan in np.unique(scan_index):
        members = scan_index == scan
        offsets = positions[members] - positions[members].min(axis=0)
        extent = offsets.max(axis=0)
        inside[members] = ((offsets >= low * extent) & (offsets <= high * extent)).all(axis=1)
    return inside


def _without_self(nearest: IntArray, points: IntArray) -> IntArray:
    is_self: BoolArray = nearest == points[:, np.newaxis]
    # Among coinciding positions the point itself may be missing: the farthest then goes.
    is_self[~is_self.any(axis=1), -1] = True
    return nearest[~is_self].reshape(len(nearest), -1)


def _columns(found: Any, points: IntArray) -> Any:
    """Give the answer of a search its neighbour axis, which a search for one neighbour leaves out."""
    return np.asarray(found).reshape(len(points), -1)


def _pieces(points: IntArray, neighbours_each: int) -> list[IntArray]:
    step = max(1, _SEARCHED_TOGETHER // max(1, neighbours_each))
    return [points[start : start + step] for start in range(0, len(points), step)]
