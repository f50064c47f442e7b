"""Both ways to place patches are the same linear map, and so are their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ptychopinn_backend.physics.placement import canvas_size
from ptychopinn_backend.tf_backend.placement import MatrixPlacement, Placement, WindowPlacement

N, CHANNELS = 16, 4
TOLERANCE = 3e-6
"""Sums of four products in float32, in another order, of values around 1; offsets keep six digits of a pixel."""
OFFSETS = {
    "between pixels": np.linspace(-5.3, 5.7, 3 * 2 * CHANNELS),
    "whole pixels": np.arange(3 * 2 * CHANNELS) % 9 - 4.0,
    # The largest offset is a whole number, so its patch ends with the canvas.
    "at both edges": np.tile([-6.0, 6.0, 0.0], 2 * CHANNELS),
    "none": np.zeros(3 * 2 * CHANNELS),
}


@pytest.fixture(params=OFFSETS)
def both(request: pytest.FixtureRequest) -> tuple[Placement, Placement, int]:
    offsets = OFFSETS[request.param].reshape(3, 1, 2, CHANNELS)
    canvas_px = canvas_size(N, float(np.abs(offsets).max()))
    arguments = tf.constant(offsets, tf.float32), canvas_px, N
    return WindowPlacement(*arguments), MatrixPlacement(*arguments), canvas_px


def random(*shape: int) -> Any:
    values = np.random.default_rng(5).normal(size=(*shape, 2)) @ (1, 1j)
    return tf.constant(values, tf.complex64)


def value_and_gradient(apply: Any, values: Any, direction: Any) -> tuple[Any, Any]:
    # Gradients given by hand belong to graphs.
    @tf.function(autograph=False)
    def both(given: Any) -> tuple[Any, Any]:
        found = apply(given)
        return found, tf.gradients(found, given, grad_ys=direction)[0]

    found, gradient = both(values)
    return found.numpy(), gradient.numpy()


def check(found: tuple[Any, Any], expected: tuple[Any, Any]) -> None:
    for mine, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=TOLERANCE)


def test_placing_is_the_same(both: tuple[Placement, Placement, int]) -> None:
    windows, matrices, canvas_px = both
    arguments = random(3, CHANNELS, N, N), random(3, canvas_px, canvas_px)
    check(value_and_gradient(windows.place, *arguments), value_and_gradient(matrices.place, *arguments))


def test_placing_weights_is_the_same(both: tuple[Placement, Placement, int]) -> None:
    weights = tf.abs(random(3, CHANNELS, N, N))
    windows, matrices, _ = both
    np.testing.assert_allclose(windows.place(weights), matrices.place(weights), rtol=0, atol=TOLERANCE)


def test_cutting_is_the_same(both: tuple[Placement, Placement, int]) -> None:
    windows, matrices, canvas_px = both
    arguments = random(3, canvas_px, canvas_px), random(3, CHANNELS, N, N)
    check(value_and_gradient(windows.cut, *arguments), value_and_gradient(matrices.cut, *arguments))


@pytest.mark.parametrize("way", [WindowPlacement, MatrixPlacement])
def test_what_leaves_the_canvas_is_cut_off(way: Any) -> None:
    # Larger offsets than the canvas was made for: the patch lies 9 pixels further, 3 of them outside.
    placed = way(tf.constant(np.full((2, 1, 2, 1), -9.0), tf.float32), N + 12, N)
    canvases = placed.place(tf.ones((2, 1, N, N))).numpy()
    assert canvases.sum() == 2 * (N - 3) ** 2
    assert canvases[:, -1, -1].all()
