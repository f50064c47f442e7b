"""The forward model in TensorFlow; the formulas are those of `physics.placement` and `physics.far_field`."""

from __future__ import annotations

from collections.abc import Callable

from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.physics.far_field import smoothing_kernel
from ptychopinn_backend.physics.forward import forward_constants
from ptychopinn_backend.physics.placement import MINIMUM_COVERAGE
from ptychopinn_backend.tf_backend.framework import tf
from ptychopinn_backend.tf_backend.placement import Placement


def group_patches(
    network_patches: tf.Tensor,
    local_offsets: tf.Tensor,
    canvas_px: int,
    model: ModelConfig,
    weights: tf.Tensor,
    placement: Callable[[tf.Tensor, int, int], Placement],
) -> tf.Tensor:
    """Return the patch every position of a group sees, consistent within the group (`physics.forward.group_patches`).

    Args:
        network_patches: complex64 (group, N, N, channel), or (group, N, N, 1) without object_big.
        local_offsets: float32 (group, 1, 2, channel), pixels.
        canvas_px: canvas side.
        model: the configuration.
        weights: float32 (group, N, N), weight of every patch pixel.
        placement: `WindowPlacement` or `MatrixPlacement`.

    Returns:
        complex64 (group, N, N, channel).
    """
    if model.channels == 1:
        return network_patches
    placed = placement(local_offsets, canvas_px, model.N)
    images = tf.transpose(network_patches, (0, 3, 1, 2))
    if model.object_big:
        weight = tf.broadcast_to(weights[:, None], tf.shape(images))
        # No weight depends on the network, so this sum needs no gradient.
        coverage = tf.maximum(placed.place(weight), MINIMUM_COVERAGE)
        canvas = placed.place(images * tf.complex(weight, 0.0)) / tf.complex(coverage, 0.0)
    else:
        margin = (canvas_px - model.N) // 2
        canvas = tf.pad(images[:, 0], ((0, 0), (margin, margin), (margin, margin)))
    return tf.transpose(placed.cut(canvas), (0, 2, 3, 1))


class FarField:
    """From patches and probes to far-field intensity, zero frequency at the array centre."""

    def __init__(self, model: ModelConfig) -> None:
        """Keep the constants.

        Args:
            model: the configuration.
        """
        self._N = model.N
        self._constants = forward_constants(model)

    def intensity(self, patches: tf.Tensor, probes: tf.Tensor, log_scale: tf.Tensor) -> tf.Tensor:
        """Return exp(2 log_scale) * sum over modes |F(P_m O)|^2 in counts.

        Args:
            patches: complex64 (group, N, N, channel).
            probes: complex64 (group, mode, N, N), the probe of every group.
            log_scale: float32 scalar.

        Returns:
            float32 (group, N, N, channel).
        """
        if self._constants.probe_mask is not None:
            probes = probes * tf.constant(self._constants.probe_mask, tf.complex64)
        waves = tf.transpose(patches, (0, 3, 1, 2))[:, :, None] * probes[:, None]
        if self._constants.smoothing_sigma_px > 0:
            waves = _smooth(waves, self._constants.smoothing_sigma_px)
        real, imaginary = parts(tf.signal.fft2d(waves))
        by_mode = tf.square(real) + tf.square(imaginary)
        intensity = tf.reduce_sum(by_mode, axis=2) * (tf.exp(2 * log_scale) / self._N**2)
        return tf.transpose(tf.signal.fftshift(intensity, axes=(2, 3)), (0, 2, 3, 1))


def parts(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return real and imaginary part."""
    return tf.math.real(values), tf.math.imag(values)


def _smooth(waves: tf.Tensor, sigma_px: float) -> tf.Tensor:
    """Convolve every wave (..., N, N) with the 3 x 3 Gaussian kernel, zeros outside."""
    shape = tf.shape(waves)
    kernel = tf.constant(smoothing_kernel(sigma_px)[:, :, None, None], tf.float32)
    flat = tf.reshape(waves, (-1, shape[-2], shape[-1]))
    images = tf.concat(parts(flat), axis=0)[..., None]
    real, imaginary = tf.split(tf.nn.conv2d(images, kernel, 1, "SAME")[..., 0], 2, axis=0)
    return tf.reshape(tf.complex(real, imaginary), shape)
