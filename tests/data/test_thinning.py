"""Counts split by chance: the parts are independent, their sum is what was measured, the scale is kept."""

from __future__ import annotations

import numpy as np
import pytest

from ptychopinn_backend.arrays import Float64Array
from ptychopinn_backend.data.thinning import ThinnedGroups
from ptychopinn_backend.errors import ConfigError, DataError
from tests.contract.array_source import ArraySource

FACTORS = np.array([4.0, 7.0])


def counted(mean: float, n_groups: int = 6) -> tuple[ArraySource, Float64Array]:
    """Return groups of two scans with whole counts, and the counts (group, N, N, channel)."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(mean, (n_groups, 32, 32, 4)).astype(np.float64)
    scan_index = (np.arange(n_groups) % 2).astype(np.int32)
    X = np.sqrt(counts) / FACTORS[scan_index][:, None, None, None]
    source = ArraySource(
        X.astype(np.float32),
        np.zeros((n_groups, 1, 2, 4), np.float32),
        scan_index,
        np.ones((2, 1, 32, 32), np.complex64),
        np.ones((2, 32, 32), np.float32),
    )
    return source, counts


def parts(mean: float, fraction: float, copies: int = 3) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return the counts, and both parts at the scale of the whole, for every group and split."""
    source, counts = counted(mean)
    thinned = ThinnedGroups(source, FACTORS, target_fraction=1 - fraction, seed=5, copies=copies)
    batch = thinned.batch(np.arange(thinned.n_groups))
    factors = FACTORS[batch.scan_index][:, None, None, None]
    whole = np.concatenate([counts] * copies)
    return whole, np.square(batch.X * factors), np.square(batch.measured * factors)


@pytest.mark.parametrize("fraction", [0.5, 0.8])
def test_the_parts_are_the_whole(fraction: float) -> None:
    whole, given, target = parts(3.0, fraction)
    np.testing.assert_allclose(fraction * given + (1 - fraction) * target, whole, atol=1e-4)


def test_each_part_has_the_scale_of_the_whole() -> None:
    whole, given, target = parts(3.0, 0.8)
    # 73,728 pixels of 3 counts: the standard error of the target's mean is 0.013.
    assert given.mean() == pytest.approx(whole.mean(), abs=0.05)
    assert target.mean() == pytest.approx(whole.mean(), abs=0.05)


def test_the_parts_are_independent() -> None:
    _, given, target = parts(3.0, 0.5, copies=1)
    noise = np.corrcoef((given - 3).ravel(), (target - 3).ravel())[0, 1]
    # 24,576 pairs: one standard deviation of the correlation of independent numbers is 0.0064.
    assert abs(noise) < 0.02


def test_splits_of_a_group_differ_and_are_repeated_by_the_seed() -> None:
    source, _ = counted(3.0)
    thinned = ThinnedGroups(source, FACTORS, target_fraction=0.5, seed=5)
    first, second = thinned.batch(np.array([0])), thinned.batch(np.array([source.n_groups]))
    assert not np.array_equal(first.X, second.X)
    np.testing.assert_array_equal(
        first.X, ThinnedGroups(source, FACTORS, target_fraction=0.5, seed=5).batch(np.array([0])).X
    )
    other = ThinnedGroups(source, FACTORS, target_fraction=0.5, seed=6).batch(np.array([0]))
    assert not np.array_equal(first.X, other.X)


def test_a_batch_does_not_depend_on_its_neighbours() -> None:
    source, _ = counted(3.0)
    thinned = ThinnedGroups(source, FACTORS, target_fraction=0.5, seed=5)
    together = thinned.batch(np.array([1, 8, 3]))
    np.testing.assert_array_equal(together.X[1], thinned.batch(np.array([8])).X[0])


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, float("nan")])
def test_a_fraction_that_splits_nothing_is_refused(fraction: float) -> None:
    source, _ = counted(3.0)
    with pytest.raises(ConfigError, match=r"target_photon_fraction = .*Give a number between 0 and 1"):
        ThinnedGroups(source, FACTORS, target_fraction=fraction, seed=0)


def test_values_that_are_no_counts_are_refused() -> None:
    source, _ = counted(3.0)
    source.X *= np.float32(1.3)
    with pytest.raises(DataError, match=r"holds? values between whole numbers, for example .*Set it to 0"):
        ThinnedGroups(source, FACTORS, target_fraction=0.2, seed=0)
