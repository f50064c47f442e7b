"""The three neighbour functions and the bounds, against loops over points."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.data.grouping import GroupingOptions, group_positions
from ptychopinn_backend.data.neighbours import find_at_distance, within_bounds
from ptychopinn_backend.errors import ConfigError, DataError


def scan(n: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.random.default_rng(seed).uniform(0, 30, (2, n))
    return x, y


def distances_to(x: np.ndarray, y: np.ndarray, point: int) -> np.ndarray:
    return np.hypot(x - x[point], y - y[point])


def test_neighbours_at_a_distance_are_the_nearest_within_the_limits() -> None:
    x, y = scan()
    index = np.arange(120) % 2
    found = find_at_distance(np.column_stack([x, y]), index, 5, 3.0, 7.0)
    for point in range(120):
        distances = distances_to(x, y, point)
        allowed = np.flatnonzero((index == index[point]) & (distances >= 3) & (distances <= 7))
        nearest = allowed[np.argsort(distances[allowed])][:5]
        np.testing.assert_array_equal(found[point][found[point] >= 0], nearest)


def test_limits_of_distance_are_included_and_equal_places_are_allowed() -> None:
    places = np.array([[0.0, 0.0], [0.0, 0.0], [3.0, 0.0], [5.0, 0.0]])
    found = find_at_distance(places, np.zeros(4, int), 3, 0.0, 3.0)
    assert {int(point) for point in found[0] if point >= 0} == {1, 2}
    assert found[3].tolist() == [2, -1, -1]
    assert find_at_distance(places, np.zeros(4, int), 3, 3.0, 3.0)[0].tolist() == [2, -1, -1]


def test_groups_at_a_distance() -> None:
    x, y = scan()
    options = GroupingOptions(
        gridsize=2,
        neighbor_count=6,
        seed=1,
        neighbor_function="Min_dist",
        min_neighbor_distance=2,
        max_neighbor_distance=6,
    )
    groups = group_positions(x, y, options)
    everyone = GroupingOptions(
        60, 2, 6, 1, neighbor_function="Min_dist", min_neighbor_distance=2, max_neighbor_distance=6
    )
    assert len(group_positions(x, y, everyone).nn_indices) == 60
    in_ring = [(distances_to(x, y, point) >= 2) & (distances_to(x, y, point) <= 6) for point in range(120)]
    enough = [point for point in range(120) if in_ring[point].sum() >= 4]
    assert len(groups.nn_indices) == len(enough)
    for point, members in zip(enough, groups.nn_indices, strict=True):
        assert in_ring[point][members].all()
        assert len(set(members.tolist())) == 4


@pytest.mark.parametrize("sequential", [False, True])
def test_groups_take_one_neighbour_from_each_quadrant(sequential: bool) -> None:
    x, y = scan()
    options = GroupingOptions(
        gridsize=2, seed=1, neighbor_function="4_quadrant", quadrant_neighbor_count=16, sequential_sampling=sequential
    )
    groups = group_positions(x, y, options)
    taken = 0
    for point in range(120):
        near = np.argsort(distances_to(x, y, point))[1:17]
        right, up = x[near] > x[point], y[near] > y[point]
        quadrants = [near[right & up], near[~right & up], near[~right & ~up], near[right & ~up]]
        if min(map(len, quadrants)) == 0:
            continue
        members = groups.nn_indices[taken]
        taken += 1
        for member, quadrant in zip(members, quadrants, strict=True):
            assert member in (quadrant[:1] if sequential else quadrant)
    assert taken == len(groups.nn_indices) > 50


def test_raster_neighbours_on_the_axes_belong_to_one_quadrant_each() -> None:
    x, y = (axis.ravel().astype(float) for axis in np.meshgrid(np.arange(5), np.arange(5)))
    options = GroupingOptions(
        gridsize=2, seed=0, neighbor_function="4_quadrant", quadrant_neighbor_count=4, sequential_sampling=True
    )
    groups = group_positions(x, y, options)
    assert len(groups.nn_indices) == 9
    np.testing.assert_array_equal(groups.coords_offsets[:, 0, :, 0].min(axis=0), [1, 1])
    np.testing.assert_array_equal(np.sort(groups.nn_indices[0]), [1, 5, 7, 11])


def test_points_outside_the_bounds_seed_no_group_but_may_be_members() -> None:
    x, y = scan(400)
    options = GroupingOptions(gridsize=2, neighbor_count=4, seed=0, x_bounds=(0.4, 0.6), y_bounds=(0.4, 0.6))
    inside = within_bounds(np.column_stack([x, y]), np.zeros(400, int), options.x_bounds, options.y_bounds)
    groups = group_positions(x, y, options)
    assert len(groups.nn_indices) == inside.sum() > 5
    assert not inside[groups.nn_indices].all()
    for point, members in zip(np.flatnonzero(inside), groups.nn_indices, strict=True):
        nearest = np.argsort(distances_to(x, y, point))[1:5]
        np.testing.assert_array_equal(np.sort(members), np.sort(nearest))


def test_whole_bounds_keep_every_point() -> None:
    x, y = np.random.default_rng(0).normal(1e6, 1, (2, 500))
    assert within_bounds(np.column_stack([x, y]), np.zeros(500, int), (0, 1), (0, 1)).all()
    line = np.column_stack([np.arange(5.0), np.ones(5)])
    assert within_bounds(line, np.zeros(5, int), (0.2, 0.8), (0.1, 0.9)).tolist() == [False, True, True, True, False]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"neighbor_function": "Farthest"}, "neighbor_function = 'Farthest'"),
        ({"gridsize": 3, "neighbor_function": "4_quadrant"}, "gridsize 3 groups 9. Use gridsize 2"),
        ({"neighbor_function": "Min_dist", "min_neighbor_distance": 4.0}, "is above max_neighbor_distance = 3"),
        ({"max_neighbor_distance": -1.0}, "max_neighbor_distance = -1"),
        ({"x_bounds": (0.9, 0.1)}, "x_bounds = .* must be two fractions"),
        ({"y_bounds": (0.0, 1.5)}, "y_bounds = .* must be two fractions"),
        ({"groups_per_point": 0}, "groups_per_point = 0"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        GroupingOptions(**options)


def test_too_few_points_are_refused() -> None:
    x, y = scan()
    far = GroupingOptions(gridsize=2, neighbor_function="Min_dist", max_neighbor_distance=1e-3)
    with pytest.raises(DataError, match=r"None of the 120 scan points can seed a group of 4 .*from 0 to 0.001 pixels"):
        group_positions(x, y, far)
    nobody = GroupingOptions(x_bounds=(0.5, 0.500001))
    with pytest.raises(DataError, match=r"None of the 120 .*Widen the bounds"):
        group_positions(x, y, nobody)
    few = GroupingOptions(100, 2, x_bounds=(0.4, 0.6))
    with pytest.raises(DataError, match=r"n_groups = 100 is more than .*enable_oversampling=True"):
        group_positions(x, y, few)
    several = GroupingOptions(gridsize=2, neighbor_count=6, groups_per_point=3)
    with pytest.raises(DataError, match=r"n_groups = 360 .*enable_oversampling=True"):
        group_positions(x, y, several)
