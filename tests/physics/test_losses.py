"""Loss terms: recorded Poisson terms, where each is smallest, and how the configuration weighs them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.physics.loss_formulas import (
    NUMPY,
    LossInputs,
    complex_mae,
    mean_deviation,
    normalised_amplitude_mae,
    poisson_terms,
    total_variation,
    weighted_mean,
)
from ptychopinn_backend.physics.losses import LOSS_TERMS, loss_weights, total_loss


def of_patches(
    patches: AnyArray, labels: AnyArray | None = None, window: AnyArray | None = None
) -> LossInputs[AnyArray]:
    """Return what the terms of patches need."""
    parts = None if labels is None else (labels.real, labels.imag)
    return LossInputs((patches.real, patches.imag), labels=parts, label_window=window)


def normalised_error(predicted: AnyArray, measured: AnyArray, valid: AnyArray | None) -> float:
    """Return the normalised error of amplitudes."""
    nothing = np.zeros((1, 1, 1, 1))
    inputs = LossInputs((nothing, nothing), intensity=predicted**2, target=measured, valid=valid)
    return float(normalised_amplitude_mae(NUMPY, inputs))


def test_poisson_terms_are_the_recorded_ones(golden: Path) -> None:
    recorded = np.load(golden / "physics.npz")
    predicted, measured = recorded["loss_pred_amp"] ** 2, recorded["loss_true_amp"] ** 2
    np.testing.assert_allclose(
        poisson_terms(NUMPY, predicted, measured), recorded["tf_negloglik_elementwise"], rtol=1e-5, atol=1e-5
    )


def test_the_likelihood_is_largest_at_the_measured_counts() -> None:
    measured = np.array([0.01, 1.0, 5.0, 1000.0])
    at_truth = poisson_terms(NUMPY, measured, measured)
    assert np.all(at_truth < poisson_terms(NUMPY, 1.05 * measured, measured))
    assert np.all(at_truth < poisson_terms(NUMPY, 0.95 * measured, measured))
    assert np.isfinite(poisson_terms(NUMPY, np.zeros(1), measured[:1])).all()


def test_weighted_mean_ignores_pixels_of_weight_zero() -> None:
    values = np.array([[1.0, np.float64(1e9)], [3.0, 5.0]])
    assert weighted_mean(NUMPY, values, np.array([[1.0, 0.0], [1.0, 0.0]])) == pytest.approx(2)
    assert weighted_mean(NUMPY, values[1:], None) == pytest.approx(4)


def test_complex_error_counts_inside_the_window_only() -> None:
    patches = np.ones((1, 4, 4, 1), np.complex128)
    patches[0, 0, 0, 0] = 100
    window = np.zeros((4, 4, 1))
    window[1:3, 1:3] = 1
    inputs = of_patches(patches, np.full_like(patches, 1 - 0.5j), window)
    assert complex_mae(NUMPY, inputs) == pytest.approx(0.5)


def test_variation_and_deviation_of_a_step() -> None:
    patches = np.ones((1, 4, 4, 1), np.complex128)
    patches[:, :, 2:] = 3
    # One of the three column steps is 2; the amplitude is 1 or 3 around its mean 2. The floor under the root adds 1e-6.
    assert total_variation(NUMPY, of_patches(patches)) == pytest.approx(2 / 3, abs=3e-6)
    assert mean_deviation(NUMPY, of_patches(patches)) == pytest.approx(1)
    assert mean_deviation(NUMPY, of_patches(patches * np.exp(0.7j))) == pytest.approx(1)


def test_normalised_error_does_not_know_the_scale_of_either_amplitude() -> None:
    rng = np.random.default_rng(3)
    measured = rng.uniform(1, 2, (2, 8, 8, 3))
    valid = (rng.uniform(size=(2, 8, 8, 1)) > 0.2).astype(float)
    predicted = measured * np.array([1.0, 5.0, 0.1])
    assert normalised_error(predicted, measured, valid) == pytest.approx(0, abs=1e-9)
    other = rng.uniform(1, 2, measured.shape)
    error = normalised_error(other, measured, valid)
    assert error > 0.1
    assert normalised_error(7 * other, 3 * measured, valid) == pytest.approx(error, rel=1e-6)
    # What stands at a pixel that does not count changes nothing, neither the error nor the size divided by.
    assert normalised_error(other + 99 * (1 - valid), measured, valid) == pytest.approx(error, rel=1e-9)


def test_normalised_error_of_a_known_case() -> None:
    # Root mean squares 1 and 5: (1, 1) against (1/5, 7/5).
    one, other = np.array([1.0, 1.0]), np.array([1.0, 7.0])
    for valid in (None, np.ones((1, 1, 1, 1))):
        found = normalised_error(one.reshape(1, 1, 2, 1), other.reshape(1, 1, 2, 1), valid)
        assert found == pytest.approx((0.8 + 0.4) / 2, rel=1e-6)
        zeros = np.zeros((1, 2, 2, 1))
        # The floors under the roots keep a dark pattern finite.
        assert 0 <= normalised_error(zeros, zeros, valid) < 1


def test_the_total_loss_blends_the_configured_one_with_the_normalised_error() -> None:
    terms = {"nll": 4.0, "mae": 2.0, "normalised": 1.0}
    staged = loss_weights(TrainingConfig(nll_weight=0.5, mae_weight=0.25, stage_1_epochs=1))
    assert staged.names == ("nll", "mae", "normalised", "loss")
    assert [total_loss(terms, staged, weight) for weight in (0.0, 0.5, 1.0)] == [1.0, 1.75, 2.5]
    plain = loss_weights(TrainingConfig(nll_weight=0.5, mae_weight=0.25))
    assert total_loss(terms, plain, 0.0) == 2.5


def test_groups_of_any_number_of_valid_pixels_count_alike() -> None:
    values = np.array([[1.0, 2.0], [5.0, 7.0]])
    assert weighted_mean(NUMPY, values, np.array([[1.0, 0.0], [1.0, 1.0]])) == pytest.approx((1 + 6) / 2)


def test_configuration_decides_the_weights() -> None:
    weights = loss_weights(TrainingConfig(nll_weight=0.5, mae_weight=0.25))
    assert weights.by_name == {"nll": 0.5, "mae": 0.25}
    assert loss_weights(TrainingConfig(torch_loss_mode="mae")).by_name == {"mae": 1.0}
    realspace = TrainingConfig(realspace_weight=0.5, realspace_mae_weight=0.5, tv_weight=0.2, mean_deviation_weight=0.4)
    assert dict(loss_weights(realspace).by_name) == pytest.approx(
        {"nll": 1.0, "realspace_mae": 0.25, "tv": 0.1, "mean_deviation": 0.2}
    )
    assert loss_weights(realspace).needs_labels
    supervised = loss_weights(TrainingConfig(model=ModelConfig(model_type="supervised")))
    assert supervised.by_name == {"realspace_mae": 1.0}
    assert not supervised.needs_far_field


def test_a_loss_without_terms_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"All loss weights are 0.*nll_weight or mse_weight"):
        loss_weights(TrainingConfig(nll_weight=0.0))


def test_the_table_has_one_row_for_every_term_with_what_it_needs() -> None:
    assert {term.name: term.needs for term in LOSS_TERMS} == {
        "nll": "far field",
        "mae": "far field",
        "mse": "far field",
        "realspace_mae": "labels",
        "tv": "patches",
        "mean_deviation": "patches",
        "normalised": "far field",
    }
    assert len(LOSS_TERMS) == 7
