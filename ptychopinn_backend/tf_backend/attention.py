"""Attention (`networks.attention`) applied to feature maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from ptychopinn_backend.networks.attention import Attention, BlockAttention, EfficientChannelAttention
from ptychopinn_backend.networks.layers import Convolution
from ptychopinn_backend.tf_backend.framework import tf

Weights: TypeAlias = "Mapping[str, tf.Tensor]"


def attend(attention: Attention, maps: tf.Tensor, weights: Weights) -> tf.Tensor:
    """Return maps times their gates.

    Args:
        attention: the plan.
        maps: (group, row, column, map); its type is the type to compute in.
        weights: canonical name -> tensor.

    Returns:
        The same shape and type.
    """
    if isinstance(attention, EfficientChannelAttention):
        means = tf.reduce_mean(maps, axis=(1, 2), keepdims=True)
        along = tf.transpose(means, (0, 1, 3, 2))
        (kernel,) = attention.channel.shapes
        mixed = tf.nn.conv2d(along, tf.cast(weights[kernel], maps.dtype), 1, "SAME")
        return maps * tf.sigmoid(tf.transpose(mixed, (0, 1, 3, 2)))
    if isinstance(attention, BlockAttention):
        maps = maps * tf.sigmoid(
            _perceptron(attention, tf.reduce_mean(maps, axis=(1, 2), keepdims=True), weights)
            + _perceptron(attention, tf.reduce_max(maps, axis=(1, 2), keepdims=True), weights)
        )
    pooled = (tf.reduce_mean(maps, axis=3, keepdims=True), tf.reduce_max(maps, axis=3, keepdims=True))
    return maps * tf.sigmoid(convolve(tf.concat(pooled, axis=3), attention.spatial, weights))


def convolve(maps: tf.Tensor, convolution: Convolution, weights: Weights) -> tf.Tensor:
    """Return the 'same' convolution of maps, with bias.

    Args:
        maps: (group, row, column, in); its type is the type to compute in.
        convolution: the layer.
        weights: canonical name -> tensor.

    Returns:
        (group, row, column, out).
    """
    kernel = tf.cast(weights[convolution.kernel], maps.dtype)
    bias = tf.cast(weights[f"{convolution.name}/bias"], maps.dtype)
    return tf.nn.bias_add(tf.nn.conv2d(maps, kernel, 1, "SAME"), bias)


def _perceptron(attention: BlockAttention, pooled: tf.Tensor, weights: Weights) -> tf.Tensor:
    return convolve(tf.nn.relu(convolve(pooled, attention.reduce, weights)), attention.expand, weights)
