"""The deviance of counts, and that of photon noise alone."""

from __future__ import annotations

import numpy as np
import pytest

from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.evaluation import scan_fit
from ptychopinn_backend.evaluation.deviance import LEAST_INTENSITY, DevianceSum, deviance, expected_deviance
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction


def test_deviance_is_zero_at_the_counts_and_grows_away_from_them() -> None:
    counts = np.array([0.0, 1.0, 9.0])
    np.testing.assert_allclose(deviance(counts, counts), [2 * LEAST_INTENSITY, 0, 0], atol=1e-12)
    assert (deviance(counts, counts + 1) > deviance(counts, counts + 0.5)).all()
    assert deviance(np.array([1.0]), np.array([0.0]))[0] == pytest.approx(2 * (-np.log(LEAST_INTENSITY) - 1), rel=1e-3)


@pytest.mark.parametrize("intensity", [1e-5, 1e-3, 0.01, 0.2, 1.0, 5.0, 30.0, 99.0, 101.0, 1e4])
def test_expectation_is_that_of_poisson_counts(intensity: float) -> None:
    drawn = np.random.default_rng(3).poisson(intensity, 400_000)
    of_draw = deviance(drawn, np.full(drawn.shape, intensity))
    expected = expected_deviance(np.array([intensity]))[0]
    assert of_draw.mean() == pytest.approx(expected, abs=5 * of_draw.std() / len(drawn) ** 0.5)


def test_bad_pixels_do_not_count() -> None:
    counts = np.ones((3, 4, 4))
    spoilt = counts.copy()
    spoilt[:, 1, 2] = 1e9
    valid = np.ones((4, 4), bool)
    valid[1, 2] = False
    clean, masked = DevianceSum(), DevianceSum()
    clean.add(counts, 2 * counts)
    masked.add(spoilt, 2 * counts, valid)
    assert masked.per_pixel == pytest.approx(clean.per_pixel)
    assert masked.pixels == 3 * 15


def test_at_low_dose_the_deviance_tells_what_the_r_factor_does_not() -> None:
    """200 photons per pattern: R lies above its floor only by a few per cent, for the truth and for a wrong object."""
    scan = simulate_scan(SimulationConfig(size=32, patterns=100, photons=200), seed=5)
    assert scan.objectGuess is not None
    assert scan.probeGuess is not None
    truth = scan_fit(Reconstruction(scan.objectGuess, (0.0, 0.0), scan.probeGuess), scan)
    flat = np.full_like(scan.objectGuess, np.sqrt(np.mean(np.abs(scan.objectGuess) ** 2)))
    wrong = scan_fit(Reconstruction(flat, (0.0, 0.0), scan.probeGuess), scan)
    assert truth.deviance == pytest.approx(truth.poisson_deviance, rel=0.03)
    assert wrong.deviance > 1.3 * wrong.poisson_deviance
