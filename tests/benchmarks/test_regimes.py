"""The regimes of the comparison with peers, and how it judges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.peers import phase_correlation
from benchmarks.regimes import in_regime
from ptychopinn_backend.arrays import Complex64Array
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction


@pytest.fixture(scope="module")
def whole() -> RawData:
    return simulate_scan(SimulationConfig(size=32, patterns=96, photons=1e6, probe="zone_plate"), seed=2)


def true_object(scan: RawData) -> Complex64Array:
    assert scan.objectGuess is not None
    return scan.objectGuess


def test_thinned_counts_fit_their_dimmer_probe(whole: RawData) -> None:
    dim = in_regime(whole, "p1e4")
    assert dim.mean_photons == pytest.approx(1e4, rel=0.01)
    np.testing.assert_allclose(dim.diff3d**2, np.rint(dim.diff3d**2), atol=1e-3)
    assert whole.probeGuess is not None
    assert dim.probeGuess is not None
    light = [
        np.sum(np.abs(scan.probeGuess) ** 2) / scan.mean_photons for scan in (whole, dim) if scan.probeGuess is not None
    ]
    assert light[0] == pytest.approx(light[1], rel=0.01)


def test_positions_are_left_out_or_moved(whole: RawData) -> None:
    assert in_regime(whole, "e8").n_patterns == 12
    moved = in_regime(whole, "j1.5").positions_xy - whole.positions_xy
    assert moved.std() == pytest.approx(1.5, rel=0.2)
    assert in_regime(whole, "full") is whole


def test_a_guessed_probe_has_the_light_of_the_patterns(whole: RawData) -> None:
    assert whole.probeGuess is not None
    guessed = in_regime(whole, "init", replace(whole, probeGuess=7 * whole.probeGuess))
    assert guessed.probeGuess is not None
    assert np.sum(np.abs(guessed.probeGuess) ** 2) == pytest.approx(whole.mean_photons, rel=1e-3)


def test_an_unknown_regime_is_named(whole: RawData) -> None:
    with pytest.raises(ValueError, match="unknown regime 'x4'"):
        in_regime(whole, "x4")


def test_what_ptychography_leaves_open_does_not_count(whole: RawData) -> None:
    obj = true_object(whole)
    row, column = np.indices(obj.shape)
    turned = np.asarray(1.3 * obj * np.exp(1j * (0.4 + 0.01 * row - 0.02 * column)), np.complex64)
    made = Reconstruction(turned, (0.0, 0.0), whole.probeGuess, positions_xy=whole.positions_xy)  # type: ignore[arg-type]
    assert phase_correlation(made, whole, (obj, (0.0, 0.0))) > 0.999
    noise = np.exp(1j * np.random.default_rng(0).normal(0, 1, obj.shape))
    worse = replace(made, object=np.asarray(turned * noise, np.complex64))
    assert phase_correlation(worse, whole, (obj, (0.0, 0.0))) < 0.9
