"""The convolution of up-sampled maps is that of PyTorch, and so are its gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ptychopinn_backend.torch_backend.upsampled import UpsampledConvolution

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
"""Relative to the largest value: sums of 27 products in another order, of numbers with 24 or 8 digits."""


def found_and_gradients(result: Tensor, maps: Tensor, convolution: nn.Conv2d, direction: Tensor) -> list[Tensor]:
    leaves = (maps, *convolution.parameters())
    return [result, *torch.autograd.grad(result, leaves, direction)]


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_result_and_gradients(dtype: torch.dtype) -> None:
    torch.manual_seed(8)
    maps = torch.randn(2, 3, 5, 4).to(dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
    convolution = nn.Conv2d(3, 6, 3, padding="same")
    direction = torch.randn(2, 6, 10, 8)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        found = UpsampledConvolution()(maps, convolution)
        expected = convolution(functional.interpolate(maps, scale_factor=2.0, mode="nearest")).float()
    assert found.dtype == torch.float32
    assert found.is_contiguous()
    pairs = zip(
        *(found_and_gradients(result, maps, convolution, direction) for result in (found, expected)), strict=True
    )
    for mine, theirs in pairs:
        assert mine.dtype == theirs.dtype
        assert (mine - theirs).abs().max() <= TOLERANCE[dtype] * theirs.abs().max()
