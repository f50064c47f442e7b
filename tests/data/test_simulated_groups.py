"""Groups simulated on demand with the instrument of a scan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.data.simulation.groups import MAX_POINTS, SimulatedGroups, invented_object
from ptychopinn_backend.errors import DataError

N = 32
MODEL = ModelConfig(N=N, gridsize=2, architecture="backprojection_unet", n_filters_scale=1)


@pytest.fixture(scope="module")
def scan() -> RawData:
    spec = SimulationConfig(size=N, patterns=40, photons=2e4, modes=2, bad_pixel_fraction=0.02, step_px=3)
    return simulate_scan(spec, 5)


def groups_of(*scans: RawData, seed: int = 0, n_objects: int = 3) -> SimulatedGroups:
    return SimulatedGroups(scans, MODEL, n_objects=n_objects, neighbor_count=4, seed=seed)


def test_a_group_depends_on_its_index_and_the_seed_alone(scan: RawData) -> None:
    source = groups_of(scan)
    together, alone = source.batch(np.array([7, 50])), groups_of(scan).batch(np.array([50]))
    assert np.array_equal(together.X[1], alone.X[0])
    assert np.array_equal(together.local_offsets[1], alone.local_offsets[0])
    assert not np.array_equal(groups_of(scan, seed=1).batch(np.array([50])).X, alone.X)


def test_groups_count_scan_points_and_objects(scan: RawData) -> None:
    source = groups_of(scan)
    assert (source.n_groups, source.channels, source.N) == (120, 4, N)
    # The same place on two objects looks different.
    first, second = source.batch(np.array([3, 43])).X
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] < 0.99


def test_measured_patterns_are_not_used(scan: RawData) -> None:
    # Another order of the patterns keeps the dose.
    shuffled = replace(scan, diff3d=scan.diff3d[::-1].copy())
    indices = np.array([0, 60])
    assert np.array_equal(groups_of(scan).batch(indices).X, groups_of(shuffled).batch(indices).X)


def test_dose_and_bad_pixels_are_those_of_the_scan(scan: RawData) -> None:
    source = groups_of(scan)
    X = source.batch(np.arange(source.n_groups)).X
    counts = (X / (N / 2)) ** 2 * scan.mean_photons
    assert counts.sum(axis=(1, 2)).mean() == pytest.approx(scan.mean_photons, rel=0.03)
    assert np.allclose(counts, np.rint(counts), atol=0.01 * counts.max() ** 0.5)
    assert scan.bad_pixels is not None
    assert not X[:, scan.bad_pixels].any()
    assert np.array_equal(source.valid_pixels[0], ~scan.bad_pixels)


def test_scans_with_fewer_modes_are_filled_up(scan: RawData) -> None:
    single = simulate_scan(SimulationConfig(size=N, patterns=20, photons=1e6, step_px=3), 6)
    source = groups_of(scan, single, n_objects=2)
    assert source.n_groups == 2 * 40 + 2 * 20
    assert source.probes.shape == (2, 2, N, N)
    assert not source.probes[1, 1].any()
    batch = source.batch(np.array([79, 80, 119]))
    assert batch.scan_index.tolist() == [0, 1, 1]


def test_few_groups_of_every_object(scan: RawData) -> None:
    few = SimulatedGroups([scan], MODEL, n_objects=3, neighbor_count=4, seed=0, groups_per_object=5)
    assert few.n_groups == 15


def test_large_scans_are_cut_to_their_middle() -> None:
    spec = SimulationConfig(size=N, patterns=MAX_POINTS + 88, photons=1e4, step_px=3)
    large = simulate_scan(spec, 0)
    assert groups_of(large, n_objects=1).n_groups == MAX_POINTS


def test_objects_differ_in_kind_and_range() -> None:
    objects = [invented_object((60, 70), N, (0, k)) for k in range(8)]
    assert all(obj.shape == (60, 70) for obj in objects)
    assert all(np.abs(obj).min() > 0.29 for obj in objects)
    assert all(np.abs(obj).max() < 1.001 for obj in objects)
    assert np.ptp([np.ptp(np.angle(obj)) for obj in objects]) > 0.5


def test_scan_without_probe(scan: RawData) -> None:
    with pytest.raises(DataError, match="no probe"):
        groups_of(replace(scan, probeGuess=None))


def test_patterns_of_another_size(scan: RawData) -> None:
    other = simulate_scan(SimulationConfig(size=64, patterns=10), 0)
    with pytest.raises(DataError, match="side 64; this model was built for N = 32"):
        groups_of(scan, other)
