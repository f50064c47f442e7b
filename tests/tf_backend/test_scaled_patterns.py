"""A factor on the inputs of a built-in generator may be one on its first kernel: the same patches."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.networks.backprojection_unet import INPUT_MAPS
from ptychopinn_backend.networks.generator import StartsWithConvolution
from ptychopinn_backend.tf_backend.generators import build_generator

TOLERANCE = 1e-5
"""Absolute, of patches around 1: float32, rounded once more in another place, through nine convolutions."""


@pytest.mark.parametrize(("architecture", "maps"), [("cnn", 1), ("backprojection_unet", INPUT_MAPS)])
def test_patches(architecture: str, maps: int) -> None:
    model = ModelConfig(N=64, gridsize=2, n_filters_scale=1, architecture=architecture)
    generator = build_generator(model)
    assert isinstance(generator, StartsWithConvolution)
    rng = np.random.default_rng(4)
    weights = {}
    for name, array in generator.initial_weights(5).items():
        inputs = array[..., 0].size if array.ndim > 1 else 100
        weights[name] = tf.constant(rng.normal(size=array.shape).astype(np.float32) / np.float32(inputs**0.5))
    inputs = tf.constant(rng.random((2, 64, 64, model.channels * maps), np.float32))
    scaled = {**weights, generator.first_kernel: weights[generator.first_kernel] * 1.7}
    np.testing.assert_allclose(
        generator.patches(inputs, scaled), generator.patches(inputs * 1.7, weights), rtol=0, atol=TOLERANCE
    )
