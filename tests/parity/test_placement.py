"""Coordinate sign, sub-pixel translation, reassembly and extraction: both backends against the NumPy reference."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch

from ptychopinn_backend.arrays import ComplexArray, FloatArray
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.physics import forward
from ptychopinn_backend.physics.forward import overlap_weights
from ptychopinn_backend.physics.placement import canvas_size, translate
from ptychopinn_backend.tf_backend import physics as tensorflow_physics
from ptychopinn_backend.tf_backend.placement import WindowPlacement
from ptychopinn_backend.torch_backend import physics as torch_physics
from tests.parity.comparison import Comparison

TOLERANCE = 1e-5
"""float32 matrices of bilinear weights; offsets of some pixels keep seven digits."""
SUBPIXEL = np.array([[0.0, 0.0], [0.25, 0.0], [0.0, -0.5], [1.375, 2.625], [-3.1, 0.9]])


def tensorflow_patches(
    patches: ComplexArray, offsets: FloatArray, canvas_px: int, model: ModelConfig, weights: FloatArray
) -> ComplexArray:
    arguments = tf.constant(patches, tf.complex64), tf.constant(offsets, tf.float32), canvas_px, model
    found = tensorflow_physics.group_patches(*arguments, tf.constant(weights, tf.float32), WindowPlacement)
    return np.asarray(found.numpy())


def pytorch_patches(
    patches: ComplexArray, offsets: FloatArray, canvas_px: int, model: ModelConfig, weights: FloatArray
) -> ComplexArray:
    channels_first = torch.from_numpy(patches.astype(np.complex64)).permute(0, 3, 1, 2)
    pair = torch_physics.Patches(channels_first.real, channels_first.imag)
    tensors = (torch.from_numpy(array.astype(np.float32)) for array in (offsets, weights))
    offset_tensor, weight_tensor = tensors
    found = torch_physics.group_patches(pair, offset_tensor, canvas_px, model, weight_tensor)
    return torch.complex(*found).permute(0, 2, 3, 1).numpy()


def group_patches(patches: ComplexArray, offsets: FloatArray, model: ModelConfig) -> dict[str, ComplexArray]:
    canvas_px = canvas_size(model.N, float(np.abs(offsets).max()))
    probe = np.ones((1, 1, model.N, model.N), np.complex64)
    weights = overlap_weights(model, probe)[np.zeros(len(patches), int)]
    arguments = (patches, offsets, canvas_px, model, weights)
    return {
        "reference": forward.group_patches(*arguments),
        "tensorflow": tensorflow_patches(*arguments),
        "pytorch": pytorch_patches(*arguments),
    }


@pytest.mark.parametrize("backend", ["reference", "tensorflow", "pytorch"])
def test_a_bright_pixel_appears_where_the_scan_position_says(backend: str) -> None:
    # The second position lies 3 columns right of and 2 rows below the first: its patch shows the same object further
    # left and further up.
    model = ModelConfig(N=32, gridsize=2, object_big=False)
    positions = np.array([[0.0, 0.0], [3.0, 2.0], [0.0, 0.0], [0.0, 0.0]])
    offsets = -(positions - positions[0]).T[np.newaxis, np.newaxis]
    patches = np.zeros((1, 32, 32, 1), complex)
    patches[0, 20, 10, 0] = 2 - 1j
    found = group_patches(patches, offsets, model)[backend]
    assert found[0, 20, 10, 0] == pytest.approx(2 - 1j)
    assert found[0, 18, 7, 1] == pytest.approx(2 - 1j)
    assert np.count_nonzero(np.abs(found[0, ..., 1]) > 1e-6) == 1


@cache
def translation() -> Comparison:
    """An image cut out at sub-pixel positions: the reference translates it by the local offset."""
    model = ModelConfig(N=32, gridsize=2, object_big=False)
    image = np.random.default_rng(3).normal(size=(32, 32, 2)) @ (1, 1j)
    found, expected = {}, {}
    for number, shift in enumerate(SUBPIXEL):
        offsets = np.broadcast_to(shift[:, np.newaxis], (1, 1, 2, 4))
        moved = group_patches(image[np.newaxis, :, :, np.newaxis], offsets, model)
        for backend in ("tensorflow", "pytorch"):
            found[f"{backend} {number}"] = moved[backend][0, ..., 0]
            expected[f"{backend} {number}"] = translate(image[np.newaxis], shift[np.newaxis])[0]
    return Comparison(found, expected, TOLERANCE)


@cache
def reassembly(**options: Any) -> Comparison:
    model = ModelConfig(N=32, **options)
    random = np.random.default_rng(4)
    channels = model.channels if model.object_big else 1
    patches = random.normal(size=(3, 32, 32, channels, 2)) @ (1, 1j)
    positions = random.uniform(-6, 6, (3, 1, 2, model.channels))
    found = group_patches(patches, positions.mean(axis=-1, keepdims=True) - positions, model)
    expected = found.pop("reference")
    return Comparison(found, dict.fromkeys(found, expected), TOLERANCE)


CASES: list[dict[str, Any]] = [
    {"gridsize": 2},
    {"gridsize": 3},
    {"gridsize": 2, "probe_big": False},
    {"gridsize": 2, "pad_object": False},
    {"gridsize": 2, "object_big": False},
]


def test_sub_pixel_translation_agrees() -> None:
    translation().check()


def test_a_nudged_translation_is_noticed() -> None:
    translation().check_would_fail()


@pytest.mark.parametrize("options", CASES)
def test_reassembly_and_extraction_agree(options: dict[str, Any]) -> None:
    reassembly(**options).check()


@pytest.mark.parametrize("options", CASES)
def test_a_nudged_patch_is_noticed(options: dict[str, Any]) -> None:
    reassembly(**options).check_would_fail()


def test_one_wrong_sign_is_noticed() -> None:
    model = ModelConfig(N=32, gridsize=2)
    random = np.random.default_rng(5)
    patches = random.normal(size=(1, 32, 32, 4)) + 0j
    positions = random.uniform(-6, 6, (1, 1, 2, 4))
    offsets = positions.mean(axis=-1, keepdims=True) - positions
    right, wrong = (group_patches(patches, signed, model)["tensorflow"] for signed in (offsets, -offsets))
    with pytest.raises(AssertionError, match="differs"):
        Comparison({"patches": wrong}, {"patches": right}, TOLERANCE).check()
