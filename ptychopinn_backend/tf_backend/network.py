"""The 'cnn' generator in TensorFlow: a function of canonical weights, drawn from the framework-neutral plan."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, TypeAlias

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.networks.backprojection_unet import INPUT_MAPS, unet_plan
from ptychopinn_backend.networks.cnn import BOTTLENECK, DecoderPlan, cnn_plan, stage_prefix
from ptychopinn_backend.networks.layers import Convolution, initial_weights
from ptychopinn_backend.networks.upsampling import FOLDING
from ptychopinn_backend.tf_backend.attention import Weights, attend
from ptychopinn_backend.tf_backend.attention import convolve as _convolve
from ptychopinn_backend.tf_backend.framework import tf
from ptychopinn_backend.tf_backend.gradients import with_gradient

Pair: TypeAlias = tuple[Convolution, Convolution]
Activation: TypeAlias = "Callable[[tf.Tensor], tf.Tensor]"

Gradients: TypeAlias = "tuple[tf.Tensor | None, ...]"

_SILU, _UP_SAMPLING = "PtychopinnSilu", "PtychopinnUpSampling"


def _unchanged(maps: tf.Tensor) -> tf.Tensor:
    return maps


class CnnNetwork:
    """Encoder, amplitude decoder and phase decoder; holds no weights of its own."""

    def __init__(self, model: ModelConfig) -> None:
        """Plan the network.

        Args:
            model: sizes, heads and activations.
        """
        self._model = model
        self._plan = cnn_plan(model)
        self.first_kernel = self._plan.encoder[0][0].kernel

    def initial_weights(self, seed: int) -> dict[str, AnyArray]:
        """Return the starting weights, canonical name -> float32 array.

        Args:
            seed: seed of the run.

        Returns:
            Kernels (height, width, in, out) and biases (out,).
        """
        return initial_weights(self._plan.layers, seed)

    def patches(self, inputs: tf.Tensor, weights: Weights) -> tf.Tensor:
        """Return the object patches the network makes of diffraction patterns.

        Args:
            inputs: tensor (group, N, N, channel); its type is the type the convolutions compute in.
            weights: canonical name -> tensor.

        Returns:
            complex64 tensor (group, N, N, out channel).
        """
        maps = inputs
        for stage in self._plan.encoder:
            maps = self._pooled_stage(maps, stage, weights)
        maps = self._attended(maps, BOTTLENECK, weights)
        first, second = self._plan.decoders
        of_first = self._stages(maps, first, weights)
        of_second = of_first if self._plan.shares_decoder else self._stages(maps, second, weights)
        if self._model.cnn_output_mode == "real_imag":
            return tf.complex(self._head(of_first, first, weights), self._head(of_second, second, weights))
        amplitude_activation = _AMPLITUDE_ACTIVATIONS[self._model.amp_activation]
        amplitude = self._head(of_first, first, weights, amplitude_activation, _silu)
        phase = self._head(of_second, second, weights, _phase_activation, _silu)
        return tf.complex(amplitude * tf.cos(phase), amplitude * tf.sin(phase))

    def _pooled_stage(self, maps: tf.Tensor, stage: Pair, weights: Weights) -> tf.Tensor:
        first, second = stage
        maps = _convolve(_relu_convolutions(maps, (first,), weights), second, weights)
        prefix = stage_prefix(stage)
        if prefix in self._plan.attention:
            return tf.nn.max_pool2d(self._attended(tf.nn.relu(maps), prefix, weights), 2, 2, "VALID")
        # The greatest of four positive parts is the positive part of the greatest: a quarter of the numbers.
        return tf.nn.relu(tf.nn.max_pool2d(maps, 2, 2, "VALID"))

    def _attended(self, maps: tf.Tensor, prefix: str, weights: Weights) -> tf.Tensor:
        for attention in self._plan.attention.get(prefix, ()):
            maps = attend(attention, maps, weights)
        return maps

    def _stage(self, maps: tf.Tensor, stage: Pair, weights: Weights) -> tf.Tensor:
        return self._attended(_relu_convolutions(maps, stage, weights), stage_prefix(stage), weights)

    def _stages(self, maps: tf.Tensor, plan: DecoderPlan, weights: Weights) -> tf.Tensor:
        first, *others = plan.stages
        maps = self._stage(maps, first, weights)
        for stage in others:
            maps = self._stage(_up_sample(maps), stage, weights)
        return maps

    def _head(
        self,
        maps: tf.Tensor,
        plan: DecoderPlan,
        weights: Weights,
        activation: Activation = _unchanged,
        of_border: Activation = _unchanged,
    ) -> tf.Tensor:
        if plan.full is not None:
            return activation(_up_sampling_block(maps, plan.full, weights))
        if plan.centre is None:
            raise AssertionError("a decoder has either a full or a central head")
        quarter = self._model.N // 4
        # The gradient of a split is one concatenation; that of two slices took a sixth of a training step.
        parts = plan.centre.in_channels, maps.shape[-1] - plan.centre.in_channels
        for_centre, for_border = tf.split(maps, parts, axis=-1)
        centre = activation(_convolve_up_sampled(for_centre, plan.centre, weights))
        patch = tf.pad(centre, ((0, 0), (quarter, quarter), (quarter, quarter), (0, 0)))
        if plan.border is None:
            return patch
        border = of_border(_up_sampling_block(for_border, plan.border, weights))
        return patch + border * _border_mask(self._model.N)


class BackprojectionUnet:
    """Each pattern by itself, one U-Net for all (`networks.backprojection_unet`); holds no weights of its own."""

    def __init__(self, model: ModelConfig) -> None:
        """Plan the network.

        Args:
            model: the configuration.
        """
        self._channels = model.channels
        self._plan = unet_plan(model)
        self.first_kernel = self._plan.down[0][0].kernel

    def initial_weights(self, seed: int) -> dict[str, AnyArray]:
        """Return the starting weights, canonical name -> float32 array.

        Args:
            seed: seed of the run.

        Returns:
            Kernels (height, width, in, out), zeros in the last layer, and biases (out,).
        """
        return initial_weights(self._plan.convolutions, seed)

    def patches(self, inputs: tf.Tensor, weights: Weights) -> tf.Tensor:
        """Return the patches 1 + r + i t.

        Args:
            inputs: tensor (group, N, N, channel * 3), the maps of a channel side by side.
            weights: canonical name -> tensor.

        Returns:
            complex64 tensor (group, N, N, channel).
        """
        N, channels = inputs.shape[1], self._channels
        split = tf.reshape(inputs, (-1, N, N, channels, INPUT_MAPS))
        maps = tf.reshape(tf.transpose(split, (0, 3, 1, 2, 4)), (-1, N, N, INPUT_MAPS))
        skipped = []
        for level, pair in enumerate(self._plan.down):
            if level > 0:
                maps = tf.nn.max_pool2d(maps, 2, 2, "VALID")
            maps = _silu_convolutions(maps, pair, weights)
            skipped.append(maps)
        for pair, skip in zip(self._plan.up, skipped[-2::-1], strict=True):
            maps = _silu_convolutions(tf.concat((_up_sample(maps), skip), axis=-1), pair, weights)
        found = tf.reshape(_float32(_convolve(maps, self._plan.last, weights)), (-1, channels, N, N, 2))
        real, imaginary = tf.unstack(found, axis=-1)
        return tf.transpose(tf.complex(1 + real, imaginary), (0, 2, 3, 1))


def _silu_convolutions(maps: tf.Tensor, convolutions: tuple[Convolution, ...], weights: Weights) -> tf.Tensor:
    for convolution in convolutions:
        maps = _silu(_convolve(maps, convolution, weights))
    return maps


def _silu(maps: tf.Tensor) -> tf.Tensor:
    """Return x sigmoid(x) with a gradient of our own: that of `tf.nn.silu` leaves its graph behind (`gradients`)."""
    return with_gradient(_SILU, maps * tf.sigmoid(maps), maps)


@tf.RegisterGradient(_SILU)
def _gradient_of_silu(operation: tf.Operation, upstream: tf.Tensor, _: tf.Tensor) -> Gradients:
    activated, maps = operation.inputs
    # In bfloat16 it takes far longer here.
    sigmoid = tf.cast(tf.sigmoid(_float32(maps)), maps.dtype)
    return None, upstream * (activated + sigmoid * (1 - activated))


_AMPLITUDE_ACTIVATIONS: Final = {
    "sigmoid": tf.sigmoid,
    "swish": _silu,
    "softplus": tf.nn.softplus,
    "relu": tf.nn.relu,
}


def _phase_activation(values: tf.Tensor) -> tf.Tensor:
    return math.pi * tf.tanh(values)


def _relu_convolutions(maps: tf.Tensor, convolutions: tuple[Convolution, ...], weights: Weights) -> tf.Tensor:
    for convolution in convolutions:
        maps = tf.nn.relu(_convolve(maps, convolution, weights))
    return maps


def _up_sampling_block(
    maps: tf.Tensor, block: tuple[Convolution, Convolution, Convolution], weights: Weights
) -> tf.Tensor:
    first, second, last = block
    return _convolve_up_sampled(_relu_convolutions(_up_sample(maps), (first, second), weights), last, weights)


def _convolve_up_sampled(maps: tf.Tensor, convolution: Convolution, weights: Weights) -> tf.Tensor:
    """Return the convolution of the up-sampled maps in float32; see `networks.upsampling`."""
    kernel, bias = weights[convolution.kernel], weights[f"{convolution.name}/bias"]
    kernel = tf.einsum("hwabrs,hwio->rsiabo", FOLDING, kernel)
    kernel = tf.reshape(kernel, (3, 3, convolution.in_channels, 4 * convolution.out_channels))
    found = tf.nn.conv2d(maps, tf.cast(kernel, maps.dtype), 1, "SAME")
    return tf.nn.depth_to_space(_float32(tf.nn.bias_add(found, tf.cast(tf.tile(bias, [4]), maps.dtype))), 2)


def _up_sample(maps: tf.Tensor) -> tf.Tensor:
    """Return every pixel as two by two; the gradient sums them up again, by a pooling, which is fast."""
    return with_gradient(_UP_SAMPLING, _repeated(maps), maps)


@tf.RegisterGradient(_UP_SAMPLING)
def _gradient_of_up_sampling(_operation: tf.Operation, upstream: tf.Tensor, _: tf.Tensor) -> Gradients:
    return None, 4 * tf.nn.avg_pool2d(upstream, 2, 2, "VALID")


def _repeated(maps: tf.Tensor) -> tf.Tensor:
    shape = tf.shape(maps)
    n_groups, rows, columns, channels = shape[0], maps.shape[1], maps.shape[2], maps.shape[3]
    repeated = tf.broadcast_to(maps[:, :, None, :, None, :], (n_groups, rows, 2, columns, 2, channels))
    return tf.reshape(repeated, (n_groups, 2 * rows, 2 * columns, channels))


def _float32(values: tf.Tensor) -> tf.Tensor:
    return tf.cast(values, tf.float32)


def _border_mask(N: int) -> tf.Tensor:
    centre = tf.zeros((1, N // 2, N // 2, 1))
    quarter = N // 4
    return tf.pad(centre, ((0, 0), (quarter, quarter), (quarter, quarter), (0, 0)), constant_values=1.0)
