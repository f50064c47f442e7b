"""What TensorFlow can do at best: the same convolutions one by one, and a dense matrix product."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.convolutions import Layer
from ptychopinn_backend.tf_backend.framework import tf

PEAK_SIDE = 1536
_TYPES = {"float32": tf.float32, "bf16": tf.bfloat16}


def bare_convolutions(layers: Sequence[Layer], groups: int, precision: str, training: bool) -> Callable[[], None]:
    """Return a function that runs every convolution once, forward and in training backward too."""
    prepared = []
    for layer in layers:
        place = (groups * layer.images, layer.side, layer.side)
        kernel = tf.Variable(_random((layer.size, layer.size, layer.in_maps, layer.out_maps), precision))
        bias = tf.Variable(_random((layer.out_maps,), precision))
        images, gradient = (_random((*place, maps), precision) for maps in (layer.in_maps, layer.out_maps))
        prepared.append((images, kernel, bias, gradient))

    @tf.function
    def train() -> object:
        found = []
        for number, (images, kernel, bias, gradient) in enumerate(prepared):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                # The first one's input is data.
                watched = [kernel, bias] if number == 0 else [kernel, bias, images]
                tape.watch(watched)
                maps = tf.nn.bias_add(tf.nn.conv2d(images, kernel, 1, "SAME"), bias)
            # What is not returned is not computed, and no gradient of a convolution needs its result.
            found.append((maps, tape.gradient(maps, watched, output_gradients=gradient)))
        return found

    @tf.function
    def predict() -> object:
        return [tf.nn.bias_add(tf.nn.conv2d(i, kernel, 1, "SAME"), bias) for i, kernel, bias, _ in prepared]

    def run() -> None:
        (train if training else predict)()

    return run


def matrix_product(precision: str) -> Callable[[], None]:
    """Return a function that multiplies two square matrices of side `PEAK_SIDE`."""
    left, right = (_random((PEAK_SIDE, PEAK_SIDE), precision) for _ in range(2))

    def multiply() -> None:
        tf.linalg.matmul(left, right).numpy()

    return multiply


def _random(shape: tuple[int, ...], precision: str) -> object:
    return tf.cast(np.random.default_rng(0).standard_normal(shape, np.float32), _TYPES[precision])
