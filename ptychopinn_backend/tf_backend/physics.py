"""The physics of `ptychopinn_backend.physics` in TensorFlow: group object, far field and loss terms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.physics.far_field import smoothing_kernel
from ptychopinn_backend.physics.forward import forward_constants
from ptychopinn_backend.physics.loss_formulas import MODULUS_FLOOR, ArrayOperations, LossInputs
from ptychopinn_backend.physics.losses import LossWeights, loss_terms
from ptychopinn_backend.physics.placement import MINIMUM_COVERAGE
from ptychopinn_backend.tf_backend.framework import tf
from ptychopinn_backend.tf_backend.placement import Placement

OPERATIONS: Final = ArrayOperations[Any](
    image_axes=(1, 2),
    sqrt=tf.sqrt,
    log=tf.math.log,
    absolute=tf.abs,
    square=tf.square,
    mean=tf.reduce_mean,
    mean_along=lambda values, axes: tf.reduce_mean(values, axes, keepdims=True),
    sum_along=lambda values, axes: tf.reduce_sum(values, axes, keepdims=True),
    broadcast=lambda values, like: tf.broadcast_to(values, tf.shape(like)),
)
"""What the formulas of the loss need."""


class BatchTensors(NamedTuple):
    """A `GroupBatch` on the device."""

    X: Any
    """float32 (group, N, N, channel), normalised amplitudes the loss compares with."""
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
        intensity = target = valid = labels = None
        if weights.needs_far_field:
            intensity = self.predicted_intensity(patches, tf.gather(scene.probes, batch.scan_index), log_scale)
            target = batch.X * intensity_scale
            valid = tf.gather(scene.valid_pixels, batch.scan_index)[..., None]
        if weights.needs_labels:
            labels = _parts(batch.Y)
        window = tf.constant(self._constants.label_window[None, :, :, None], tf.float32)
        inputs = LossInputs(_parts(patches), intensity, target, valid, labels, window)
        return loss_terms(OPERATIONS, inputs, weights, physics_weight)


def amplitude_of(intensity: Any) -> Any:
    """Return the square root of an intensity, bounded away from 0 so that its gradient stays finite."""
    return tf.sqrt(intensity + MODULUS_FLOOR)


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


def _parts(values: Any) -> tuple[Any, Any]:
    return tf.math.real(values), tf.math.imag(values)
