"""Loss terms and how the configuration weighs them; the reference both backends are tested against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np

from ptychopinn_backend.arrays import ComplexArray, FloatArray
from ptychopinn_backend.config import TrainingConfig
from ptychopinn_backend.errors import ConfigError

INTENSITY_FLOOR: Final = 1e-6
"""Counts added to a predicted intensity inside the logarithm, so that it is bounded away from 0."""
MODULUS_FLOOR: Final = 1e-12
"""Added under the square root of a squared modulus, so that its gradient stays finite at 0."""


@dataclass(frozen=True)
class LossWeights:
    """Weight of each term of the training loss; a term of weight 0 is not computed."""

    nll: float = 0.0
    """Poisson negative log-likelihood of the far-field intensity, counts."""
    mae: float = 0.0
    """Mean absolute error of the far-field amplitude, square root of counts."""
    mse: float = 0.0
    """Mean squared error of the far-field amplitude, counts; its noise is the same in every pixel, 1/4."""
    realspace_mae: float = 0.0
    """Mean absolute complex error of the patches to their labels."""
    tv: float = 0.0
    """Total variation of the patches."""
    mean_deviation: float = 0.0
    """Mean absolute deviation of the patch amplitude from its mean."""
    is_staged: bool = False
    """Whether the sum is blended with the normalised amplitude error; see `total_loss`."""

    @property
    def needs_labels(self) -> bool:
        """Whether a batch must carry Y."""
        return self.realspace_mae > 0

    @property
    def needs_far_field(self) -> bool:
        """Whether the loss compares with the measured counts."""
        return self.is_staged or self.nll > 0 or self.mae > 0 or self.mse > 0

    def active(self) -> dict[str, float]:
        """Return the terms of weight above 0, by name."""
        return {name: weight for name, weight in self._terms().items() if weight > 0}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of everything the loss is made of, and 'loss'."""
        return (*self.active(), *(("normalised",) if self.is_staged else ()), "loss")

    def _terms(self) -> dict[str, float]:
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name != "is_staged"}


def loss_weights(training: TrainingConfig) -> LossWeights:
    """Return the weights a configuration means.

    The terms are added as they are: at the noise floor the gradients of the Poisson likelihood and of the amplitude
    error per pixel are of one size, so that no hidden factor brings them together.

    Args:
        training: the configuration; `model.model_type` 'supervised' trains on the labels alone, and
            `torch_loss_mode` 'mae' exchanges the roles of nll_weight and mae_weight.

    Returns:
        The weights.

    Raises:
        ConfigError: every weight is 0.
    """
    if training.model.model_type == "supervised":
        return LossWeights(realspace_mae=1.0)
    nll, mae = training.nll_weight, training.mae_weight
    if training.torch_loss_mode == "mae":
        nll, mae = mae, nll
    weights = LossWeights(
        nll=nll,
        mae=mae,
        mse=training.mse_weight,
        realspace_mae=training.realspace_weight * training.realspace_mae_weight,
        tv=training.realspace_weight * training.tv_weight,
        mean_deviation=training.realspace_weight * training.mean_deviation_weight,
        is_staged=training.is_staged,
    )
    if not weights.active():
        raise ConfigError(
            "All loss weights are 0, so there is nothing to train for. Set nll_weight or mse_weight to 1."
        )
    return weights


def total_loss(terms: Mapping[str, Any], weights: LossWeights, physics_weight: Any) -> Any:
    """Return w * (weighted sum of the terms) + (1 - w) * normalised amplitude error; without stages the sum alone.

    Args:
        terms: term name -> scalar, of NumPy or of a framework; 'normalised' among them in a training with stages.
        weights: weights of the terms.
        physics_weight: w in [0, 1]; see `schedule.physics_weight`.

    Returns:
        Scalar of the same kind.
    """
    configured = sum(weight * terms[name] for name, weight in weights.active().items())
    if not weights.is_staged:
        return configured
    return physics_weight * configured + (1 - physics_weight) * terms["normalised"]


def normalised_amplitude_mae(amplitude: FloatArray, measured: FloatArray, valid: FloatArray) -> float:
    """Return the mean absolute difference of amplitudes that are divided by their own root mean square, per pattern.

    A factor common to all pixels of a pattern changes nothing, so the intensity scale need not be known.

    Args:
        amplitude: predicted far-field amplitude (group, N, N, channel).
        measured: measured amplitude, same shape.
        valid: weight of every pixel, broadcastable to them; also in the root mean square.

    Returns:
        Mean over valid pixels.
    """
    weight = np.broadcast_to(valid, amplitude.shape)
    count = weight.sum(axis=(1, 2), keepdims=True)

    def by_own_size(values: FloatArray) -> FloatArray:
        power = np.sum(values**2 * weight, axis=(1, 2), keepdims=True) / count
        return np.asarray(values / np.sqrt(power + MODULUS_FLOOR))

    return weighted_mean(np.abs(by_own_size(amplitude) - by_own_size(measured)), weight)


def poisson_nll_terms(predicted: FloatArray, measured: FloatArray) -> FloatArray:
    """Return p - t log(p) pixel by pixel, in counts; the constant log(t!) is left out.

    Args:
        predicted: intensities p.
        measured: intensities t, same shape.

    Returns:
        Terms of the same shape.
    """
    return np.asarray(predicted - measured * np.log(predicted + INTENSITY_FLOOR))


def weighted_mean(values: FloatArray, weights: FloatArray) -> float:
    """Return the mean over groups of sum(weights * values) / sum(weights) of each; groups of any weight count alike.

    Args:
        values: (group, ...).
        weights: broadcastable to the values.

    Returns:
        The mean, which for a batch is the mean over its parts.
    """
    axes = tuple(range(1, values.ndim))
    weights = np.broadcast_to(weights, values.shape)
    return float(np.mean(np.sum(values * weights, axis=axes) / np.sum(weights, axis=axes)))


def complex_mae(patches: ComplexArray, labels: ComplexArray, window: FloatArray) -> float:
    """Return the mean modulus of the complex error inside a window.

    Args:
        patches: (group, N, N, channel).
        labels: same shape.
        window: (N, N) weight.

    Returns:
        Mean of |patch - label|.
    """
    error = patches - labels
    modulus = np.sqrt(error.real**2 + error.imag**2 + MODULUS_FLOOR)
    return weighted_mean(modulus, window[np.newaxis, :, :, np.newaxis])


def total_variation(patches: ComplexArray) -> float:
    """Return the mean modulus of neighbour differences along rows plus the same along columns.

    Args:
        patches: (group, N, N, channel).

    Returns:
        Anisotropic total variation per pixel.
    """
    total = 0.0
    for axis in (1, 2):
        step = np.diff(patches, axis=axis)
        total += float(np.mean(np.sqrt(step.real**2 + step.imag**2 + MODULUS_FLOOR)))
    return total


def mean_deviation(patches: ComplexArray) -> float:
    """Return the mean absolute deviation of the patch amplitude from its mean over each patch.

    Args:
        patches: (group, N, N, channel).

    Returns:
        Mean of | |patch| - mean |patch| |.
    """
    amplitude = np.sqrt(patches.real**2 + patches.imag**2 + MODULUS_FLOOR)
    return float(np.mean(np.abs(amplitude - amplitude.mean(axis=(1, 2), keepdims=True))))
