from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptychopinn_backend.data.grouping import (
    GroupingOptions,
    group_coordinates,
    group_positions,
)
from ptychopinn_backend.data.neighbours import find_neighbours
from ptychopinn_backend.errors import ConfigError, DataError


def scan(n: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.random.default_rng(seed).uniform(0, 50, (2, n))
    return x, y


@pytest.mark.parametrize("case", ["gs1_seq", "gs2_seq", "gs3_seed42_K9"])
def test_recorded_coordinates_follow_from_recorded_indices(golden, case):
    recorded = np.load(golden / "grouping.npz")
    indices = recorded[f"{case}__nn_indices"]
    computed = group_coordinates(recorded["in_xcoords"], recorded["in_ycoords"], indices)
    for name, values in zip(("coords_nn", "coords_offsets", "coords_relative"), computed, strict=True):
        np.testing.assert_allclose(values, recorded[f"{case}__{name}"], atol=1e-6)


def test_recorded_start_coordinates(golden):
    recorded = np.load(golden / "grouping.npz")
    indices = recorded["gs2_start_coords__nn_indices"]
    computed = group_coordinates(recorded["in_xcoords_start"], recorded["in_ycoords_start"], indices)
    for name, values in zip(("nn", "offsets", "relative"), computed, strict=True):
        np.testing.assert_allclose(values, recorded[f"gs2_start_coords__coords_start_{name}"], atol=1e-6)


def test_sequential_groups_hold_the_recorded_neighbours(golden):
    recorded = np.load(golden / "grouping.npz")
    options = GroupingOptions(n_groups=6, gridsize=2, neighbor_count=4, sequential_sampling=True)
    groups = group_positions(recorded["in_xcoords"], recorded["in_ycoords"], options)
    np.testing.assert_array_equal(np.sort(groups.nn_indices), np.sort(recorded["gs2_seq__nn_indices"]))


@pytest.mark.parametrize("gridsize", [1, 2, 3, 4, 5])
def test_shapes_and_sign(gridsize):
    x, y = scan()
    channels = gridsize**2
    groups = group_positions(
        x, y, GroupingOptions(12, gridsize, neighbor_count=26, seed=3), xcoords_start=x + 1, ycoords_start=y
    )
    assert groups.nn_indices.shape == (12, channels)
    assert groups.nn_indices.dtype == np.int32
    assert groups.coords_nn.shape == (12, 1, 2, channels)
    assert groups.coords_offsets.shape == (12, 1, 2, 1)
    np.testing.assert_array_equal(groups.coords_nn[:, 0, 0], x[groups.nn_indices])
    np.testing.assert_array_equal(groups.coords_nn[:, 0, 1], y[groups.nn_indices])
    np.testing.assert_allclose(groups.coords_relative, -(groups.coords_nn - groups.coords_offsets))
    np.testing.assert_allclose(groups.coords_start_nn[:, 0, 0], groups.coords_nn[:, 0, 0] + 1)
    assert all(len(set(row)) == channels for row in groups.nn_indices.tolist())


def test_gridsize_one_uses_the_seed_points():
    x, y = scan()
    groups = group_positions(x, y, GroupingOptions(n_groups=40, seed=1))
    np.testing.assert_array_equal(groups.nn_indices[:, 0], np.arange(40))
    np.testing.assert_array_equal(groups.coords_relative, 0)
    sequential = group_positions(x, y, GroupingOptions(n_groups=5, sequential_sampling=True))
    np.testing.assert_array_equal(sequential.nn_indices[:, 0], np.arange(5))


def test_members_are_drawn_from_the_nearest_neighbours_without_the_seed_point():
    x, y = scan()
    groups = group_positions(x, y, GroupingOptions(40, gridsize=2, neighbor_count=6, seed=5))
    distance = np.hypot(x[:, None] - x, y[:, None] - y)
    nearest = np.argsort(distance, axis=1)[:, 1:7]
    for point, members in enumerate(groups.nn_indices):
        assert set(members) <= set(nearest[point])


def test_every_neighbour_is_drawn_equally_often():
    x, y = scan()
    options = GroupingOptions(40 * 500, gridsize=2, neighbor_count=6, seed=5, enable_oversampling=True)
    groups = group_positions(x, y, options)
    nearest = find_neighbours(np.column_stack([x, y]), np.zeros(40, int), 6, 4)
    members = groups.nn_indices.reshape(500, 40, 4)
    share = [(members[:, 0] == neighbour).any(axis=1).mean() for neighbour in nearest[0]]
    np.testing.assert_allclose(share, 4 / 6, atol=0.08)


def test_a_seed_makes_the_draw_reproducible():
    x, y = scan()
    draws = [group_positions(x, y, GroupingOptions(20, 2, 7, seed=seed)).nn_indices for seed in (1, 1, 2)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_sequential_draws_need_no_seed():
    x, y = scan()
    options = GroupingOptions(100, 2, 7, sequential_sampling=True, enable_oversampling=True)
    first, again = (group_positions(x, y, options).nn_indices for _ in range(2))
    np.testing.assert_array_equal(first, again)
    distance = np.hypot(x[:, None] - x, y[:, None] - y)
    np.testing.assert_array_equal(first[:40], np.argsort(distance, axis=1)[:, 1:5])


def test_oversampling_draws_from_the_pool():
    x, y = scan()
    options = GroupingOptions(200, 2, 4, seed=1, enable_oversampling=True, neighbor_pool_size=9)
    groups = group_positions(x, y, options)
    assert groups.nn_indices.shape == (200, 4)
    nearest = find_neighbours(np.column_stack([x, y]), np.zeros(40, int), 9, 4)
    assert all(set(row) <= set(nearest[i % 40]) for i, row in enumerate(groups.nn_indices))
    of_one_point = {tuple(sorted(row)) for row in groups.nn_indices[::40].tolist()}
    assert len(of_one_point) > 1


def test_pool_size_is_ignored_without_oversampling():
    x, y = scan()
    plain = group_positions(x, y, GroupingOptions(20, 2, 4, seed=1))
    pooled = group_positions(x, y, GroupingOptions(20, 2, 4, seed=1, neighbor_pool_size=20))
    np.testing.assert_array_equal(plain.nn_indices, pooled.nn_indices)


def test_groups_never_mix_scans():
    x, y = scan(60)
    index = np.repeat([4, 7, 9], [30, 4, 26])[np.random.default_rng(1).permutation(60)]
    groups = group_positions(x, y, GroupingOptions(60, 2, 8, seed=2), scan_index=index)
    assert (index[groups.nn_indices] == index[:, np.newaxis]).all()
    of_four = groups.nn_indices[index == 7]
    np.testing.assert_array_equal(np.sort(of_four), np.tile(np.flatnonzero(index == 7), (4, 1)))


def test_coinciding_positions():
    x = np.repeat([0.0, 10.0], 10)
    neighbours = find_neighbours(np.column_stack([x, x]), np.zeros(20, int), 4, 4)
    assert neighbours.shape == (20, 4)
    assert not (neighbours == np.arange(20)[:, None]).any()
    assert (x[neighbours] == x[:, None]).all()


@pytest.mark.parametrize(
    ("n_points", "options", "words"),
    [
        (40, GroupingOptions(5, 2, 3), r"neighbor_count \(K\) = 3 is less than the 4 patterns .* gridsize 2"),
        (40, GroupingOptions(5, 3, 4), r"neighbor_count \(K\) = 4 is less than the 9 patterns"),
        (3, GroupingOptions(2, 2, 4), "Scan 0 has 3 points; gridsize 2 groups 4"),
        (40, GroupingOptions(41, 2, 4), "n_groups = 41 is more than the scan's 40 points.*enable_oversampling=True"),
        (
            40,
            GroupingOptions(80, 2, 4, enable_oversampling=True, neighbor_pool_size=3),
            "neighbor_pool_size = 3 is less than the 4 patterns",
        ),
    ],
)
def test_impossible_groups_are_refused(n_points, options, words):
    x, y = scan(n_points)
    with pytest.raises(DataError, match=words):
        group_positions(x, y, options)


def test_small_scan_among_several_is_named():
    x, y = scan()
    with pytest.raises(DataError, match="Scan 3 has 2 points"):
        group_positions(x, y, GroupingOptions(5, 2), scan_index=np.repeat([0, 3], [38, 2]))


def test_gridsize_one_is_capped_with_a_warning():
    x, y = scan()
    with pytest.warns(UserWarning, match="n_groups = 41 is capped at the scan's 40 points"):
        groups = group_positions(x, y, GroupingOptions(41))
    assert groups.nn_indices.shape == (40, 1)


@pytest.mark.parametrize("name", ["n_groups", "gridsize", "neighbor_count", "neighbor_pool_size"])
def test_numbers_are_checked(name):
    with pytest.raises(ConfigError, match=f"{name} = 0 must be a whole number above 0"):
        GroupingOptions(**{"n_groups": 1, name: 0})


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_neighbours_do_not_depend_on_translation_or_order(seed, dx, dy):
    rng = np.random.default_rng(seed)
    positions = rng.uniform(0, 100, (30, 2))
    index = rng.integers(0, 2, 30)
    neighbours = np.sort(find_neighbours(positions, index, 5, 4))
    moved = np.sort(find_neighbours(positions + np.array([dx, dy]), index, 5, 4))
    np.testing.assert_array_equal(moved, neighbours)
    order = rng.permutation(30)
    permuted = find_neighbours(positions[order], index[order], 5, 4)
    np.testing.assert_array_equal(np.sort(np.where(permuted < 0, -1, order[permuted])), neighbours[order])
    assert ((neighbours < 0) | (index[neighbours] == index[:, None])).all()


@settings(deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(1, 3),
    st.sampled_from(["Nearest", "Min_dist"]),
    st.integers(-(2**20), 2**20),
    st.integers(-(2**20), 2**20),
)
def test_groups_do_not_depend_on_translation(seed, gridsize, function, dx, dy):
    # Positions on a fine binary grid, so that moving them is exact and no distance changes by rounding.
    x, y = np.random.default_rng(seed).integers(0, 100 * 2**10, (2, 40)) / 2**10
    options = GroupingOptions(
        20, gridsize, neighbor_count=12, seed=seed, neighbor_function=function, max_neighbor_distance=200.0
    )
    groups, moved = group_positions(x, y, options), group_positions(x + dx, y + dy, options)
    np.testing.assert_array_equal(moved.nn_indices, groups.nn_indices)
    np.testing.assert_allclose(moved.coords_relative, groups.coords_relative, atol=1e-6)
    np.testing.assert_allclose(moved.coords_offsets - groups.coords_offsets, [[[[dx], [dy]]]] * 20, atol=1e-6)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3))
def test_groups_do_not_depend_on_the_order_of_points(seed, gridsize):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 100, (2, 40))
    options = GroupingOptions(40, gridsize, neighbor_count=gridsize**2, sequential_sampling=True)
    order = rng.permutation(40)
    groups, permuted = group_positions(x, y, options), group_positions(x[order], y[order], options)
    np.testing.assert_array_equal(np.sort(order[permuted.nn_indices]), np.sort(groups.nn_indices)[order])
