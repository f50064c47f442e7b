"""Both ways to place patches are the same linear map, and so are their gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ptychopinn_backend.physics.placement import canvas_size
from ptychopinn_backend.torch_backend.placement import (
    MatrixPlacement,
    Placement,
    WindowPlacement,
    coverage,
    placement,
)

N, CHANNELS, PLANES = 16, 4, 2
TOLERANCE = 3e-6
"""Sums of four products in float32, in another order, of values around 1; offsets keep six digits of a pixel."""
OFFSETS = {
    "between pixels": torch.linspace(-5.3, 5.7, 3 * 2 * CHANNELS),
    "whole pixels": torch.arange(3 * 2 * CHANNELS) % 9 - 4.0,
    # The largest offset is a whole number, so its patch ends with the canvas.
    "at both edges": torch.tensor([-6.0, 6.0, 0.0]).repeat(2 * CHANNELS),
}


@pytest.fixture(params=OFFSETS)
def both(request: pytest.FixtureRequest) -> tuple[Placement, Placement, int]:
    offsets = OFFSETS[request.param].float().reshape(3, 1, 2, CHANNELS)
    canvas_px = canvas_size(N, float(offsets.abs().max()))
    windows = placement(offsets, canvas_px, N)
    assert isinstance(windows, WindowPlacement)
    return windows, MatrixPlacement(offsets, canvas_px, N), canvas_px


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5)).requires_grad_()


def check(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=TOLERANCE)


def test_placing_is_the_same(both: tuple[Placement, Placement, int]) -> None:
    images = random(3, CHANNELS, PLANES, N, N)
    found, expected = (way.place(images) for way in both[:2])
    check(found, expected)
    direction = random(*expected.shape).detach()
    check(*(torch.autograd.grad(canvas, images, direction)[0] for canvas in (found, expected)))


def test_cutting_is_the_same(both: tuple[Placement, Placement, int]) -> None:
    canvases = random(3, PLANES, both[2], both[2])
    found, expected = (way.cut(canvases) for way in both[:2])
    check(found, expected)
    direction = random(*expected.shape).detach()
    check(*(torch.autograd.grad(cut, canvases, direction)[0] for cut in (found, expected)))


@pytest.mark.parametrize("beyond_px", [0, 2])
@pytest.mark.parametrize("moved", OFFSETS)
def test_coverage_is_what_placing_makes_of_ones(moved: str, beyond_px: int) -> None:
    offsets = OFFSETS[moved].float().reshape(3, 1, 2, CHANNELS)
    # Also where patches are cut off at the edge of the canvas.
    canvas_px = canvas_size(N, float(offsets.abs().max())) - 2 * beyond_px
    ones = torch.ones(3, CHANNELS, 1, N, N)
    for way in (MatrixPlacement(offsets, canvas_px, N), placement(offsets, canvas_px, N)):
        check(coverage(offsets, canvas_px, N), way.place(ones))


@pytest.mark.parametrize("largest_px", [0.0, 9.0])
def test_matrices_serve_where_a_window_would_leave_the_canvas(largest_px: float) -> None:
    # Without offsets the canvas is as large as a patch; larger ones than it was made for are cut off at its edge.
    offsets = torch.full((1, 1, 2, CHANNELS), largest_px)
    assert isinstance(placement(offsets, N + (6 if largest_px else 0), N), MatrixPlacement)
