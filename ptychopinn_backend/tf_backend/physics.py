"""The physics of `ptychopinn_backend.physics` in TensorFlow: group object, far field and loss terms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.physics.far_field import smoothing_kernel
from ptychopinn_backend.physics.forward import forward_constants
from ptychopinn_backend.physics.losses import INTENSITY_FLOOR, MODULUS_FLOOR, LossWeights, total_loss
from ptychopinn_backend.physics.placement import MINIMUM_COVERAGE
from ptychopinn_backend.tf_backend.framework import tf
from ptychopinn_backend.tf_backend.placement import Placement


class BatchTensors(NamedTuple):
    """A `GroupBatch` on the device."""

    X: Any
    """float32 (group, N, N, channel)."""
    local_offsets: Any
    """float32 (group, 1, 2, channel), pixels."""
    scan_index: Any
    """int32 (group,)."""
    inputs: Any
    """float32 (group, N, N, channel * maps), what the network is given."""
    Y: Any
    """complex64 (group, N, N, channel); empty where the loss needs no labels."""


class SceneTensors(NamedTuple):
    """What all batches of a source share, on the device."""

    probes: Any
    """complex64 (scan, mode, N, N)."""
    valid_pixels: Any
    """float32 (scan, N, N)."""
    overlap_weights: Any
    """float32 (scan, N, N), weight of every patch pixel where patches overlap."""


class GroupPhysics:
    """The forward model of one configuration."""

    def __init__(self, model: ModelConfig, placement: Callable[[Any, int, int], Placement]) -> None:
        """Keep the constants of the configuration.

        Args:
            model: the configuration.
            placement: `WindowPlacement` or `MatrixPlacement`.
        """
        self._model = model
        self._placement = placement
        self._constants = forward_constants(model)

    def group_patches(self, network_patches: Any, local_offsets: Any, weights: Any, canvas_px: int) -> Any:
        """Return the patch every position of a group sees; see `physics.forward.group_patches`.

        Args:
            network_patches: complex64 (group, N, N, channel), or (group, N, N, 1) without object_big.
            local_offsets: float32 (group, 1, 2, channel), pixels.
            weights: float32 (group, N, N), weight of every patch pixel.
            canvas_px: canvas side.

        Returns:
            complex64 (group, N, N, channel).
        """
        if self._model.channels == 1:
            return network_patches
        placed = self._placement(local_offsets, canvas_px, self._model.N)
        images = tf.transpose(network_patches, (0, 3, 1, 2))
        if self._model.object_big:
            weight = tf.broadcast_to(weights[:, None], tf.shape(images))
            # No weight depends on the network, so this sum needs no gradient.
            coverage = tf.maximum(placed.place(weight), MINIMUM_COVERAGE)
            canvas = placed.place(images * tf.complex(weight, 0.0)) / tf.complex(coverage, 0.0)
        else:
            margin = (canvas_px - self._model.N) // 2
            canvas = tf.pad(images[:, 0], ((0, 0), (margin, margin), (margin, margin)))
        return tf.transpose(placed.cut(canvas), (0, 2, 3, 1))

    def predicted_intensity(self, patches: Any, probes: Any, log_scale: Any) -> Any:
        """Return exp(2 log_scale) * sum over modes |F(P_m O)|^2 in counts.

        Args:
            patches: complex64 (group, N, N, channel).
            probes: complex64 (group, mode, N, N), the probe of every group.
            log_scale: float32 scalar.

        Returns:
            float32 (group, N, N, channel), zero frequency at the array centre.
        """
        if self._constants.probe_mask is not None:
            probes = probes * tf.constant(self._constants.probe_mask, tf.complex64)
        waves = tf.transpose(patches, (0, 3, 1, 2))[:, :, None] * probes[:, None]
        if self._constants.smoothing_sigma_px > 0:
            waves = _smooth(waves, self._constants.smoothing_sigma_px)
        spectrum = tf.signal.fft2d(waves)
        intensity = tf.reduce_sum(_squared_modulus(spectrum), axis=2) * (tf.exp(2 * log_scale) / self._model.N**2)
        return tf.transpose(tf.signal.fftshift(intensity, axes=(2, 3)), (0, 2, 3, 1))

    def loss_terms(
        self,
        patches: Any,
        batch: BatchTensors,
        scene: SceneTensors,
        *,
        intensity_scale: float,
        log_scale: Any,
        weights: LossWeights,
        physics_weight: Any = 1.0,
    ) -> dict[str, Any]:
        """Return every active loss term and 'loss', which they add up to; see `physics.forward.loss_terms`.

        Args:
            patches: consistent patches, complex64 (group, N, N, channel).
            batch: the groups.
            scene: probes and valid pixels of the source.
            intensity_scale: factor from X to the square root of counts.
            log_scale: the model's present logarithm of it, float32 scalar.
            weights: weights of the terms.
            physics_weight: weight of the configured loss in a training with stages, float32 scalar.

        Returns:
            Term name -> float32 scalar.
        """
        terms: dict[str, Any] = {}
        if weights.needs_far_field:
            intensity = self.predicted_intensity(patches, tf.gather(scene.probes, batch.scan_index), log_scale)
            target = batch.X * intensity_scale
            valid = tf.broadcast_to(tf.gather(scene.valid_pixels, batch.scan_index)[..., None], tf.shape(target))
            amplitude = amplitude_of(intensity)
            if weights.nll > 0:
                values = intensity - tf.square(target) * tf.math.log(intensity + INTENSITY_FLOOR)
                terms["nll"] = _weighted_mean(values, valid)
            if weights.mae > 0:
                terms["mae"] = _weighted_mean(tf.abs(amplitude - target), valid)
            if weights.mse > 0:
                terms["mse"] = _weighted_mean(tf.square(amplitude - target), valid)
            if weights.is_staged:
                error = _by_own_size(amplitude, valid) - _by_own_size(target, valid)
                terms["normalised"] = _weighted_mean(tf.abs(error), valid)
        if weights.realspace_mae > 0:
            terms["realspace_mae"] = self._complex_mae(patches, batch.Y)
        if weights.tv > 0:
            terms["tv"] = _total_variation(patches)
        if weights.mean_deviation > 0:
            terms["mean_deviation"] = _mean_deviation(patches)
        terms["loss"] = total_loss(terms, weights, physics_weight)
        return terms

    def _complex_mae(self, patches: Any, labels: Any) -> Any:
        window = tf.constant(self._constants.label_window[None, :, :, None], tf.float32)
        modulus = _modulus(patches - labels)
        return _weighted_mean(modulus, tf.broadcast_to(window, tf.shape(modulus)))


def amplitude_of(intensity: Any) -> Any:
    """Return the square root of an intensity, bounded away from 0 so that its gradient stays finite."""
    return tf.sqrt(intensity + MODULUS_FLOOR)


def _weighted_mean(values: Any, weights: Any) -> Any:
    """Return the mean over groups of the weighted mean of each; values and weights (group, N, N, channel)."""
    axes = (1, 2, 3)
    return tf.reduce_mean(tf.reduce_sum(values * weights, axes) / tf.reduce_sum(weights, axes))


def _by_own_size(amplitude: Any, valid: Any) -> Any:
    """Return amplitudes (group, N, N, channel) divided by the root mean square of each pattern over valid pixels."""
    axes = (1, 2)
    power = tf.reduce_sum(tf.square(amplitude) * valid, axes, keepdims=True)
    return amplitude / tf.sqrt(power / tf.reduce_sum(valid, axes, keepdims=True) + MODULUS_FLOOR)


def _smooth(waves: Any, sigma_px: float) -> Any:
    """Convolve every wave (..., N, N) with the 3 x 3 Gaussian kernel, zeros outside."""
    shape = tf.shape(waves)
    kernel = tf.constant(smoothing_kernel(sigma_px)[:, :, None, None], tf.float32)
    flat = tf.reshape(waves, (-1, shape[-2], shape[-1]))
    parts = tf.concat((tf.math.real(flat), tf.math.imag(flat)), axis=0)[..., None]
    real, imaginary = tf.split(tf.nn.conv2d(parts, kernel, 1, "SAME")[..., 0], 2, axis=0)
    return tf.reshape(tf.complex(real, imaginary), shape)


def _squared_modulus(values: Any) -> Any:
    return tf.square(tf.math.real(values)) + tf.square(tf.math.imag(values))


def _modulus(values: Any) -> Any:
    return tf.sqrt(_squared_modulus(values) + MODULUS_FLOOR)


def _total_variation(patches: Any) -> Any:
    along_rows = _modulus(patches[:, 1:] - patches[:, :-1])
    along_columns = _modulus(patches[:, :, 1:] - patches[:, :, :-1])
    return tf.reduce_mean(along_rows) + tf.reduce_mean(along_columns)


def _mean_deviation(patches: Any) -> Any:
    amplitude = _modulus(patches)
    return tf.reduce_mean(tf.abs(amplitude - tf.reduce_mean(amplitude, axis=(1, 2), keepdims=True)))
