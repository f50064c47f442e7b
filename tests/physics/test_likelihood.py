"""Laws of noise: their steps are those of the likelihoods they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.physics.likelihood import LIKELIHOODS, Likelihood, likelihood_for, poisson_deviance


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_counts_that_are_as_predicted_change_nothing(name: str) -> None:
    counts = np.array([[[0.5, 3.0], [40.0, 1000.0]]], np.float32)
    change = Likelihood(name, excess=0.01).far_field_change(np.sqrt(counts), counts)
    np.testing.assert_allclose(change, 0, atol=1e-6)


def test_the_amplitude_step_puts_the_measured_modulus_in_place() -> None:
    counts, predicted = np.array([9.0, 0.0], np.float32), np.array([4.0, 1.0], np.float32)
    change = Likelihood("amplitude").far_field_change(np.sqrt(counts), predicted)
    np.testing.assert_allclose(np.sqrt(predicted) * (1 + change), np.sqrt(counts), atol=1e-6)


def test_the_poisson_step_is_a_quarter_of_the_score_of_the_modulus() -> None:
    counts, modulus = 7.0, 3.1
    law = Likelihood("poisson", background=0.0)

    def minus_log_likelihood(m: float) -> float:
        return m**2 - counts * float(np.log(m**2))

    score = -(minus_log_likelihood(modulus + 1e-4) - minus_log_likelihood(modulus - 1e-4)) / 2e-4
    change = law.far_field_change(np.sqrt(np.array([counts], np.float32)), np.array([modulus**2], np.float32))
    assert change[0] * modulus == pytest.approx(score / 4, rel=1e-3)


def test_over_dispersion_takes_weight_from_bright_pixels_alone() -> None:
    counts, predicted = np.array([2.0, 2000.0], np.float32), np.array([1.0, 1000.0], np.float32)
    poisson = Likelihood("poisson").far_field_change(np.sqrt(counts), predicted)
    wider = Likelihood("overdispersed", excess=0.01).far_field_change(np.sqrt(counts), predicted)
    assert wider[0] == pytest.approx(poisson[0], rel=0.02)
    assert wider[1] < poisson[1] / 10


def test_mean_steps_vanish_at_the_true_intensity_for_poisson_and_not_for_amplitudes_of_few_photons() -> None:
    counts = np.random.default_rng(0).poisson(0.2, 100_000).astype(np.float32)
    predicted = np.full_like(counts, 0.2)
    means = {name: Likelihood(name).far_field_change(np.sqrt(counts), predicted).mean() for name in LIKELIHOODS}
    assert abs(means["poisson"]) < 0.02
    assert means["amplitude"] < -0.4


def test_deviance_of_poisson_counts_is_one_a_pixel() -> None:
    rng = np.random.default_rng(1)
    predicted = np.full((3, 64, 64), 50.0, np.float32)
    deviance = poisson_deviance(np.sqrt(rng.poisson(predicted)).astype(np.float32), predicted)
    np.testing.assert_allclose(deviance / 64**2, 1.0, atol=0.1)


def test_masked_pixels_have_no_deviance() -> None:
    valid = np.ones((4, 4), np.bool_)
    valid[0, 0] = False
    predicted, measured = np.ones((1, 4, 4), np.float32), np.ones((1, 4, 4), np.float32)
    measured[0, 0, 0] = 30.0
    assert poisson_deviance(measured, predicted, valid)[0] == pytest.approx(0, abs=1e-5)
    assert poisson_deviance(measured, predicted)[0] > 100


def test_an_unknown_law_is_refused() -> None:
    with pytest.raises(ConfigError, match="likelihood"):
        likelihood_for("gauss", 1.0)
