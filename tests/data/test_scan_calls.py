"""Calls of existing scripts that make or group a scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend import params
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.errors import ConfigError, DataError
from ptychopinn_backend.legacy.params_bridge import update_legacy_dict
from ptychopinn_backend.physics.scan_model import scan_intensities

pytestmark = pytest.mark.usefixtures("kept_parameters")


@pytest.fixture(scope="module")
def scan() -> RawData:
    return simulate_scan(SimulationConfig(size=32, patterns=40, photons=1e4), seed=1)


@pytest.fixture
def given(scan: RawData) -> tuple[object, ...]:
    return scan.xcoords, scan.ycoords, scan.probeGuess, scan.objectGuess


def test_two_files_are_read_at_once(scan: RawData, tmp_path: Path) -> None:
    scan.to_file(tmp_path / "train.npz")
    scan.subsample(10, seed=0).to_file(tmp_path / "test.npz")
    train, test = RawData.from_files(tmp_path / "train.npz", str(tmp_path / "test.npz"))
    assert (train.n_patterns, test.n_patterns) == (40, 10)
    np.testing.assert_array_equal(train.diff3d, scan.diff3d)


def test_simulated_patterns_are_those_of_object_and_probe(given: tuple[object, ...]) -> None:
    made = RawData.from_simulation(*given, nphotons=2e4, seed=None)
    assert made.probeGuess is not None
    assert made.objectGuess is not None
    expected = scan_intensities(made.objectGuess, (0.0, 0.0), made.probeGuess, made.positions_xy)
    np.testing.assert_allclose(made.diff3d**2, expected, rtol=1e-3, atol=1e-3)
    assert made.mean_photons == pytest.approx(2e4, rel=1e-4)


def test_simulated_counts_are_whole_and_come_again_with_the_seed(given: tuple[object, ...]) -> None:
    made, again, other = (RawData.from_simulation(*given, nphotons=2e4, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_allclose(made.diff3d**2, np.round(made.diff3d**2), atol=1e-3)
    np.testing.assert_array_equal(made.diff3d, again.diff3d)
    assert not np.array_equal(made.diff3d, other.diff3d)


def test_the_dose_of_a_simulation_is_that_of_params_cfg(given: tuple[object, ...]) -> None:
    params.set("nphotons", 5e4)
    index = np.repeat([0, 1], 20)
    made = RawData.from_simulation(*given, index)
    assert made.mean_photons == pytest.approx(5e4, rel=0.01)
    np.testing.assert_array_equal(made.scan_index, index)


def test_what_cannot_be_simulated_is_refused(given: tuple[object, ...]) -> None:
    x, y, probe, obj = given
    with pytest.raises(DataError, match="39 xcoords and 40 ycoords are given; each position has one of both"):
        RawData.from_simulation(x[1:], y, probe, obj)  # type: ignore[index]
    with pytest.raises(DataError, match=r"give 0\.0 photons to a pattern on average.*pixels of objectGuess"):
        RawData.from_simulation(x + 1e4, y, probe, obj)  # type: ignore[operator]
    with pytest.raises(ConfigError, match="nphotons = -1 must be a finite number above 0"):
        RawData.from_simulation(x, y, probe, obj, nphotons=-1)
    with pytest.raises(DataError, match=r"objectGuess has shape \(3,\)"):
        RawData.from_simulation(x, y, probe, np.ones(3))


def test_groups_without_a_gridsize_have_that_of_params_cfg(scan: RawData) -> None:
    for gridsize in (1, 2):
        update_legacy_dict(params.cfg, ModelConfig(N=32, gridsize=gridsize))
        grouped = scan.generate_grouped_data(32, K=6, nsamples=5, seed=0)
        assert grouped["diffraction"].shape == (5, 32, 32, gridsize**2)
    assert scan.generate_grouped_data(32, K=6, nsamples=5, seed=0, gridsize=1)["nn_indices"].shape == (5, 1)
