"""Groups of neighbouring scan points: neighbours over the whole scan first, then the draw.

Rules and sign convention: specs/data.md. Nothing here loops over groups.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import KDTree

from ptychopinn_backend.arrays import BoolArray, Float64Array, IntArray
from ptychopinn_backend.config_checks import require_positive_integer
from ptychopinn_backend.data.group_cache import cache_path, cached_neighbours, positions_fingerprint
from ptychopinn_backend.errors import DataError


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

    n_groups: int
    """Groups to form."""
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
    """File whose folder keeps the neighbour cache; None keeps none."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigError: one is not a whole number above 0.
        """
        for name in ("n_groups", "gridsize", "neighbor_count"):
            require_positive_integer(name, getattr(self, name))
        if self.neighbor_pool_size is not None:
            require_positive_integer("neighbor_pool_size", self.neighbor_pool_size)

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
    n_points = len(xcoords)
    rng = np.random.default_rng(0 if options.sequential_sampling and options.seed is None else options.seed)
    nn_indices: IntArray
    if options.channels == 1:
        n_groups = _capped(options.n_groups, n_points)
        nn_indices = _seed_points(n_points, n_groups, options.sequential_sampling, rng)[:, np.newaxis]
    else:
        scans = np.zeros(n_points, np.int32) if scan_index is None else scan_index
        _check_sizes(scans, options)
        neighbours = _neighbours(np.column_stack([xcoords, ycoords]), scans, options)
        seeds = _seed_points(n_points, options.n_groups, options.sequential_sampling, rng)
        n_nearest = n_points if options.sequential_sampling else 0
        nn_indices = _draw(neighbours[seeds], options.channels, n_nearest, rng)
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
    neighbours = np.full((len(positions), count), -1, np.int32)
    for scan in np.unique(scan_index):
        members = np.flatnonzero(scan_index == scan)
        n_members = len(members)
        n_nearest = min(count + 1, n_members)
        found = KDTree(positions[members]).query(positions[members], k=n_nearest, workers=-1)[1]
        nearest: IntArray = np.asarray(found).reshape(n_members, n_nearest)
        if n_members > channels:
            nearest = _without_self(nearest)
        nearest = nearest[:, :count]
        neighbours[members, : nearest.shape[1]] = members[nearest]
    return neighbours


def _without_self(nearest: IntArray) -> IntArray:
    is_self: BoolArray = nearest == np.arange(len(nearest))[:, np.newaxis]
    # Among coinciding positions the point itself may be missing: the farthest then goes.
    is_self[~is_self.any(axis=1), -1] = True
    return nearest[~is_self].reshape(len(nearest), -1)


def _neighbours(positions: Float64Array, scans: IntArray, options: GroupingOptions) -> IntArray:
    count = options.pool_size

    def compute() -> IntArray:
        return find_neighbours(positions, scans, count, options.channels)

    if options.dataset_path is None:
        return compute()
    path = cache_path(options.dataset_path, options.gridsize, count)
    return cached_neighbours(path, positions_fingerprint(positions, scans), (len(positions), count), compute)


def _capped(n_groups: int, n_points: int) -> int:
    if n_groups > n_points:
        warnings.warn(
            f"n_groups = {n_groups} is capped at the scan's {n_points} points: with gridsize 1 each is one group. "
            f"Set n_groups to {n_points} or less.",
            UserWarning,
            stacklevel=3,
        )
    return min(n_groups, n_points)


def _check_sizes(scans: IntArray, options: GroupingOptions) -> None:
    channels, gridsize, n_points = options.channels, options.gridsize, len(scans)
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
    if options.n_groups > n_points and not options.enable_oversampling:
        raise DataError(
            f"n_groups = {options.n_groups} is more than the scan's {n_points} points. "
            f"Ask for {n_points} or fewer, or set enable_oversampling=True to draw several groups a point."
        )


def _seed_points(n_points: int, n_groups: int, sequential: bool, rng: np.random.Generator) -> IntArray:
    if sequential or n_groups == n_points:
        return np.arange(n_groups) % n_points
    rounds, rest = divmod(n_groups, n_points)
    whole = np.tile(np.arange(n_points), rounds)
    return np.concatenate([whole, np.sort(rng.choice(n_points, rest, replace=False))])


def _draw(pools: IntArray, channels: int, n_nearest: int, rng: np.random.Generator) -> IntArray:
    """Draw `channels` of each row of `pools` without replacement; the first `n_nearest` rows keep their nearest."""
    keys = rng.random(pools.shape)
    keys[pools < 0] = 2
    keys[:n_nearest] = np.arange(pools.shape[1])
    order = np.argsort(keys, axis=1)[:, :channels]
    return np.take_along_axis(pools, order, axis=1)
