"""Groups of neighbouring scan points: neighbours over the whole scan first, then the draw.

Rules and sign convention: specs/data.md. Nothing here loops over groups.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from ptychopinn_backend.arrays import BoolArray, Float64Array, IntArray
from ptychopinn_backend.config.checks import is_number, require_choice, require_non_negative, require_positive_integer
from ptychopinn_backend.data.group_cache import cache_path, cached_neighbours, positions_fingerprint
from ptychopinn_backend.data.neighbours import (
    QUADRANTS,
    NeighbourPools,
    find_at_distance,
    find_neighbours,
    sort_into_quadrants,
    within_bounds,
)
from ptychopinn_backend.errors import ConfigError, DataError

NEIGHBOR_FUNCTIONS: Final = ("Nearest", "Min_dist", "4_quadrant")


@dataclass(frozen=True, eq=False)
class Groups:
    """Which scan points form each group, and where they lie; axis 2 of coordinates is (x, y), in pixels."""

    nn_indices: IntArray
    """Scan points of every group (group, channel) int32."""
    coords_nn: Float64Array
    """Their positions (group, 1, 2, channel)."""
    coords_offsets: Float64Array
    """Mean position of every group (group, 1, 2, 1)."""
    coords_relative: Float64Array
    """-(coords_nn - coords_offsets), (group, 1, 2, channel)."""
    coords_start_nn: Float64Array | None = None
    """Nominal positions (group, 1, 2, channel), or None."""
    coords_start_offsets: Float64Array | None = None
    """Mean nominal position (group, 1, 2, 1), or None."""
    coords_start_relative: Float64Array | None = None
    """-(coords_start_nn - coords_start_offsets), or None."""


@dataclass(frozen=True)
class GroupingOptions:
    """How groups are drawn from a scan."""

    n_groups: int | None = None
    """Groups to form; None means `groups_per_point` for every point that may seed one."""
    gridsize: int = 1
    """Neighbouring patterns along each side of a group; with 1 every seed point is its own group."""
    neighbor_count: int = 4
    """Nearest neighbours of the seed point from which a group is drawn (K)."""
    seed: int | None = None
    """Makes the draw reproducible."""
    sequential_sampling: bool = False
    """Seed points are the first `n_groups`, each with its nearest neighbours."""
    enable_oversampling: bool = False
    """Allows more groups than points by drawing several subsets of each pool of neighbours."""
    neighbor_pool_size: int | None = None
    """Neighbours in that pool; None means `neighbor_count`. Only used with `enable_oversampling`."""
    dataset_path: str | Path | None = None
    """File whose folder keeps the neighbour cache of 'Nearest'; None keeps none."""
    groups_per_point: int = 1
    """Groups of every seed point where `n_groups` is None; more than 1 needs `enable_oversampling`."""
    neighbor_function: str = "Nearest"
    """'Nearest': the nearest neighbours. 'Min_dist': the nearest of those between two distances. '4_quadrant': one
    neighbour from each quadrant around the seed point, for gridsize 2."""
    min_neighbor_distance: float = 0.0
    """Least distance of neighbours for 'Min_dist', pixels."""
    max_neighbor_distance: float = 3.0
    """Greatest distance of neighbours for 'Min_dist', pixels."""
    quadrant_neighbor_count: int = 30
    """Nearest neighbours that '4_quadrant' sorts into quadrants."""
    x_bounds: tuple[float, float] = (0.0, 1.0)
    """Part of the scan's width whose points seed groups, as fractions; neighbours may lie outside."""
    y_bounds: tuple[float, float] = (0.0, 1.0)
    """Part of the scan's height whose points seed groups, as fractions; neighbours may lie outside."""

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ConfigError: one breaks its rule.
        """
        for name in ("gridsize", "neighbor_count", "groups_per_point", "quadrant_neighbor_count"):
            require_positive_integer(name, getattr(self, name))
        for name in ("n_groups", "neighbor_pool_size"):
            if getattr(self, name) is not None:
                require_positive_integer(name, getattr(self, name))
        require_choice("neighbor_function", self.neighbor_function, NEIGHBOR_FUNCTIONS)
        for name in ("min_neighbor_distance", "max_neighbor_distance"):
            require_non_negative(name, getattr(self, name))
        if self.neighbor_function == "Min_dist" and self.max_neighbor_distance < self.min_neighbor_distance:
            raise ConfigError(
                f"min_neighbor_distance = {self.min_neighbor_distance:g} is above max_neighbor_distance = "
                f"{self.max_neighbor_distance:g}. Give the smaller one as the minimum."
            )
        if self.neighbor_function == "4_quadrant" and self.channels not in (1, QUADRANTS):
            raise ConfigError(
                f"neighbor_function = '4_quadrant' takes one pattern from each quadrant; gridsize {self.gridsize} "
                f"groups {self.channels}. Use gridsize 2, or another neighbor_function."
            )
        for name in ("x_bounds", "y_bounds"):
            _require_fractions(name, getattr(self, name))

    @property
    def channels(self) -> int:
        """Patterns in a group, gridsize**2."""
        return self.gridsize**2

    @property
    def pool_size(self) -> int:
        """Neighbours of the seed point from which a group is drawn."""
        if self.enable_oversampling and self.neighbor_pool_size is not None:
            return self.neighbor_pool_size
        return self.neighbor_count


def group_positions(
    xcoords: Float64Array,
    ycoords: Float64Array,
    options: GroupingOptions,
    *,
    scan_index: IntArray | None = None,
    xcoords_start: Float64Array | None = None,
    ycoords_start: Float64Array | None = None,
) -> Groups:
    """Form groups of gridsize**2 neighbouring scan points.

    Args:
        xcoords: columns of the scan positions (pattern,), pixels.
        ycoords: rows of the scan positions (pattern,), pixels.
        options: how groups are drawn.
        scan_index: object every point belongs to (pattern,); groups never mix objects. None means one object.
        xcoords_start: nominal columns (pattern,), or None.
        ycoords_start: nominal rows (pattern,), or None.

    Returns:
        The groups.

    Raises:
        DataError: too few neighbours or points for the group size, or more groups than points.
    """
    positions = np.column_stack([xcoords, ycoords])
    objects = np.zeros(len(xcoords), np.int32) if scan_index is None else scan_index
    rng = np.random.default_rng(0 if options.sequential_sampling and options.seed is None else options.seed)
    may_seed = within_bounds(positions, objects, options.x_bounds, options.y_bounds)
    nn_indices: IntArray
    if options.channels == 1:
        points = _required_seeds(may_seed, options)
        seeds = _seed_points(len(points), _capped(options, len(points)), options.sequential_sampling, rng)
        nn_indices = points[seeds][:, np.newaxis]
    else:
        _check_sizes(objects, options)
        pools = _pools(positions, objects, options)
        points = _required_seeds(may_seed & pools.suffice(options.channels), options)
        n_groups = _checked_count(options, len(points))
        seeds = points[_seed_points(len(points), n_groups, options.sequential_sampling, rng)]
        n_nearest = len(points) if options.sequential_sampling else 0
        nn_indices = pools.draw(seeds, options.channels, n_nearest, rng)
    nn_indices = nn_indices.astype(np.int32)
    coordinates = group_coordinates(xcoords, ycoords, nn_indices)
    if xcoords_start is None or ycoords_start is None:
        return Groups(nn_indices, *coordinates)
    return Groups(nn_indices, *coordinates, *group_coordinates(xcoords_start, ycoords_start, nn_indices))


def group_coordinates(
    xcoords: Float64Array, ycoords: Float64Array, nn_indices: IntArray
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return where the members of groups lie.

    Args:
        xcoords: columns (pattern,), pixels.
        ycoords: rows (pattern,), pixels.
        nn_indices: (group, channel).

    Returns:
        coords_nn (group, 1, 2, channel), coords_offsets (group, 1, 2, 1), coords_relative (group, 1, 2, channel).
    """
    coords_nn = np.stack([xcoords[nn_indices], ycoords[nn_indices]], axis=1)[:, np.newaxis]
    return (coords_nn, *centred(coords_nn))


def centred(coords_nn: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return the mean position of every group and its members' offsets, in the package's sign convention.

    Args:
        coords_nn: (group, 1, 2, channel), pixels.

    Returns:
        coords_offsets (group, 1, 2, 1) and coords_relative = -(coords_nn - coords_offsets).
    """
    offsets = coords_nn.mean(axis=3, keepdims=True)
    return offsets, offsets - coords_nn


def _pools(positions: Float64Array, scans: IntArray, options: GroupingOptions) -> NeighbourPools:
    count = options.pool_size
    if options.neighbor_function == "Min_dist":
        low, high = options.min_neighbor_distance, options.max_neighbor_distance
        return NeighbourPools.undivided(find_at_distance(positions, scans, count, low, high))
    if options.neighbor_function == "4_quadrant":
        nearest = find_neighbours(positions, scans, options.quadrant_neighbor_count, options.channels)
        return sort_into_quadrants(positions, nearest)

    def compute() -> IntArray:
        return find_neighbours(positions, scans, count, options.channels)

    if options.dataset_path is None:
        return NeighbourPools.undivided(compute())
    path = cache_path(options.dataset_path, options.gridsize, count)
    fingerprint = positions_fingerprint(positions, scans)
    return NeighbourPools.undivided(cached_neighbours(path, fingerprint, (len(positions), count), compute))


def _require_fractions(name: str, bounds: tuple[float, float]) -> None:
    fractions = len(bounds) == 2 and all(is_number(bound) for bound in bounds)
    if not (fractions and 0 <= bounds[0] < bounds[1] <= 1):
        raise ConfigError(
            f"{name} = {bounds!r} must be two fractions, 0 <= low < high <= 1. Use (0.0, 1.0) to keep the whole scan."
        )


def _required_seeds(may_seed: BoolArray, options: GroupingOptions) -> IntArray:
    points = np.flatnonzero(may_seed)
    if len(points) == 0:
        rule = f"x_bounds = {options.x_bounds}, y_bounds = {options.y_bounds}"
        if options.channels > 1:
            rule += f", neighbor_function = '{options.neighbor_function}'"
        if options.channels > 1 and options.neighbor_function == "Min_dist":
            rule += f" from {options.min_neighbor_distance:g} to {options.max_neighbor_distance:g} pixels"
        raise DataError(
            f"None of the {len(may_seed)} scan points can seed a group of {options.channels} with {rule}. "
            "Widen the bounds or the distances."
        )
    return points


def _wanted(options: GroupingOptions, n_points: int) -> int:
    return options.groups_per_point * n_points if options.n_groups is None else options.n_groups


def _capped(options: GroupingOptions, n_points: int) -> int:
    n_groups = _wanted(options, n_points)
    if n_groups > n_points:
        warnings.warn(
            f"n_groups = {n_groups} is capped at the scan's {n_points} points: with gridsize 1 each is one group. "
            f"Set n_groups to {n_points} or less.",
            UserWarning,
            stacklevel=3,
        )
    return min(n_groups, n_points)


def _checked_count(options: GroupingOptions, n_points: int) -> int:
    n_groups = _wanted(options, n_points)
    if n_groups > n_points and not options.enable_oversampling:
        raise DataError(
            f"n_groups = {n_groups} is more than the scan's {n_points} points that can seed one. "
            f"Ask for {n_points} or fewer, or set enable_oversampling=True to draw several groups per point."
        )
    return n_groups


def _check_sizes(scans: IntArray, options: GroupingOptions) -> None:
    channels, gridsize = options.channels, options.gridsize
    values, sizes = np.unique(scans, return_counts=True)
    smallest = int(sizes.argmin())
    if sizes[smallest] < channels:
        raise DataError(
            f"Scan {values[smallest]} has {sizes[smallest]} points; gridsize {gridsize} groups {channels}. "
            "Use a smaller gridsize or more scan points."
        )
    if options.pool_size < channels:
        name = "neighbor_count (K)" if options.pool_size == options.neighbor_count else "neighbor_pool_size"
        raise DataError(
            f"{name} = {options.pool_size} is less than the {channels} patterns of a group at gridsize {gridsize}. "
            f"Set it to {channels} or more, or use a smaller gridsize."
        )


def _seed_points(n_points: int, n_groups: int, sequential: bool, rng: np.random.Generator) -> IntArray:
    if sequential or n_groups == n_points:
        return np.arange(n_groups) % n_points
    rounds, rest = divmod(n_groups, n_points)
    whole = np.tile(np.arange(n_points), rounds)
    return np.concatenate([whole, np.sort(rng.choice(n_points, rest, replace=False))])
