"""Points of a scan that cover it evenly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from ptychopinn_backend.data.spread_points import spread_points
from ptychopinn_backend.errors import ConfigError

POSITIONS = np.random.default_rng(0).uniform(0, 100, (300, 2))


def test_they_are_further_apart_than_points_by_chance() -> None:
    rows = spread_points(POSITIONS, 30)
    assert len(np.unique(rows)) == 30
    assert (np.diff(rows) > 0).all()
    by_chance = [
        pdist(POSITIONS[np.random.default_rng(seed).choice(300, 30, replace=False)]).min() for seed in range(20)
    ]
    assert pdist(POSITIONS[rows]).min() > 2 * max(by_chance)


def test_all_are_kept_where_there_are_no_more() -> None:
    np.testing.assert_array_equal(spread_points(POSITIONS[:5], 9), np.arange(5))


def test_none_cannot_be_chosen() -> None:
    with pytest.raises(ConfigError, match="n = 0"):
        spread_points(POSITIONS, 0)
