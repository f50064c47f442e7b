"""Gates of attention against their formulas in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.networks.attention import (
    Attention,
    block_attention,
    efficient_channel_attention,
    spatial_attention,
)
from ptychopinn_backend.torch_backend.attention import attend
from ptychopinn_backend.torch_backend.layers import PlannedModule

CHANNELS = 32
MAPS = np.random.default_rng(3).normal(size=(2, CHANNELS, 8, 8)).astype(np.float32)


def logistic(values: AnyArray) -> AnyArray:
    return np.asarray(1 / (1 + np.exp(-values)))


def attended(attention: Attention) -> tuple[AnyArray, dict[str, AnyArray]]:
    network = PlannedModule()
    network.add_layers(attention.layers)
    rng = np.random.default_rng(4)
    weights = {n: rng.normal(size=shape) for layer in attention.layers for n, shape in layer.shapes.items()}
    with torch.no_grad():
        for name, array in weights.items():
            layer, _, kind = name.rpartition("/")
            values = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array
            tensor = network.get_submodule(layer).get_parameter("weight" if kind == "kernel" else kind)
            tensor.copy_(torch.from_numpy(values))
        return attend(network, attention, torch.from_numpy(MAPS)).numpy(), weights


def spatially_gated(maps: AnyArray, weights: dict[str, AnyArray], name: str) -> AnyArray:
    kernel, bias = weights[f"{name}/kernel"], weights[f"{name}/bias"]
    pooled = np.stack((maps.mean(axis=1), maps.max(axis=1)), axis=1)
    gates = [
        sum(correlate(image[k], kernel[:, :, k, 0], mode="constant") for k in range(2)) + bias[0] for image in pooled
    ]
    return maps * logistic(np.stack(gates))[:, np.newaxis]


def test_efficient_channel_attention_weighs_maps_by_their_neighbours() -> None:
    found, weights = attended(efficient_channel_attention("a", CHANNELS))
    kernel = weights["a/eca/channel/kernel"][0, :, 0, 0]
    means = MAPS.mean(axis=(2, 3))
    gates = logistic(correlate(means, kernel[np.newaxis], mode="constant"))
    np.testing.assert_allclose(found, MAPS * gates[:, :, np.newaxis, np.newaxis], atol=1e-5)


def test_block_attention_weighs_maps_and_then_pixels() -> None:
    found, weights = attended(block_attention("a", CHANNELS))

    def perceptron(pooled: AnyArray) -> AnyArray:
        hidden = pooled @ weights["a/cbam/reduce/kernel"][0, 0] + weights["a/cbam/reduce/bias"]
        return np.asarray(np.maximum(hidden, 0) @ weights["a/cbam/expand/kernel"][0, 0] + weights["a/cbam/expand/bias"])

    gates = logistic(perceptron(MAPS.mean(axis=(2, 3))) + perceptron(MAPS.max(axis=(2, 3))))
    weighed = MAPS * gates[:, :, np.newaxis, np.newaxis]
    np.testing.assert_allclose(found, spatially_gated(weighed, weights, "a/cbam/spatial"), atol=1e-5)


@pytest.mark.parametrize("size", [3, 7])
def test_spatial_attention_weighs_pixels(size: int) -> None:
    found, weights = attended(spatial_attention("a", size))
    expected = spatially_gated(MAPS, weights, "a/spatial_attention/spatial")
    np.testing.assert_allclose(found, expected, atol=1e-5)
