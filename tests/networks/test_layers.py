"""Names, shapes and starting values of the layers of plans."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ptychopinn_backend.networks.layers import (
    BatchNormalisation,
    ChannelConvolution,
    Convolution,
    Layer,
    SpectralConvolution,
    TransposedConvolution,
    initial_weights,
)
from ptychopinn_backend.networks.weights import is_kernel

SHAPES: dict[Layer, dict[str, tuple[int, ...]]] = {
    Convolution("a", 3, 5): {"a/kernel": (3, 3, 3, 5), "a/bias": (5,)},
    TransposedConvolution("a", 3, 5): {"a/kernel": (4, 4, 5, 3), "a/bias": (5,)},
    ChannelConvolution("a", 5): {"a/kernel": (1, 5, 1, 1)},
    SpectralConvolution("a", 3, 5, 4, 6): {"a/kernel_real": (8, 6, 3, 5), "a/kernel_imaginary": (8, 6, 3, 5)},
    SpectralConvolution("a", 3, 5, 4, 0): {"a/kernel_real": (4, 1, 3, 5), "a/kernel_imaginary": (4, 1, 3, 5)},
    SpectralConvolution("a", 3, 5, 0, 4): {"a/kernel_real": (1, 4, 3, 5), "a/kernel_imaginary": (1, 4, 3, 5)},
    BatchNormalisation("a", 5): {"a/scale": (5,), "a/shift": (5,), "a/mean": (5,), "a/variance": (5,)},
}


@pytest.mark.parametrize("layer", SHAPES, ids=repr)
def test_weights_start_with_the_shapes_of_the_plan(layer: Layer) -> None:
    start = layer.start(3)
    assert layer.shapes == SHAPES[layer]
    assert {name: array.shape for name, array in start.items()} == SHAPES[layer]
    assert {array.dtype for array in start.values()} == {np.dtype(np.float32)}
    again, other = layer.start(3), layer.start(4)
    for name, array in start.items():
        np.testing.assert_array_equal(again[name], array)
        random = is_kernel(name)
        assert np.array_equal(other[name], array) != random


def test_every_name_has_a_stream_of_its_own() -> None:
    one, other = (Convolution(name, 3, 5) for name in "ab")
    weights = initial_weights((one, other), 1)
    assert not np.array_equal(weights["a/kernel"], weights["b/kernel"])
    np.testing.assert_array_equal(initial_weights((other,), 1)["b/kernel"], weights["b/kernel"])


def test_a_zero_layer_starts_at_its_bias() -> None:
    start = Convolution("a", 3, 2, zero=True, bias_start=1.0).start(1)
    assert not start["a/kernel"].any()
    assert start["a/bias"].tolist() == [1.0, 1.0]


def test_batch_normalisation_starts_as_the_identity() -> None:
    start = BatchNormalisation("a", 2).start(1)
    assert {name: array.tolist() for name, array in start.items()} == {
        "a/scale": [1.0, 1.0],
        "a/shift": [0.0, 0.0],
        "a/mean": [0.0, 0.0],
        "a/variance": [1.0, 1.0],
    }


def test_a_spectral_kernel_keeps_the_power_of_a_frequency() -> None:
    layer = SpectralConvolution("a", 64, 64, 4, 4)
    real, imaginary = layer.start(1).values()
    assert np.abs(real).max() <= math.sqrt(3 / 128)
    # Each of 64 inputs adds |w|^2 of its power; their mean is 1/64.
    assert np.mean(real**2 + imaginary**2) == pytest.approx(1 / 64, rel=0.02)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("encoder/stage0/conv0/kernel", True),
        ("encoder/block0/spectral/kernel_real", True),
        ("encoder/stage0/conv0/bias", False),
        ("encoder/stage0/conv0/norm/scale", False),
        ("physics/probe", False),
        ("kernel/bias", False),
    ],
)
def test_kernels_are_known_by_their_name(name: str, expected: bool) -> None:
    assert is_kernel(name) == expected
