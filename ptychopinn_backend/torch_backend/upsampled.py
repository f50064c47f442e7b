"""The convolution of up-sampled maps, computed before up-sampling (`networks.upsampling`)."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ptychopinn_backend.networks.upsampling import FOLDING


class UpsampledConvolution(nn.Module):
    """'Same' 3 x 3 convolutions of maps up-sampled by 2 (nearest neighbour), with the weights of other modules."""

    _folding: Tensor

    def __init__(self) -> None:
        """Take the constant to the device."""
        super().__init__()
        self.register_buffer("_folding", torch.tensor(FOLDING), persistent=False)

    def forward(self, maps: Tensor, convolution: nn.Conv2d) -> Tensor:
        """Return convolution(up-sampled maps) as images one after the other.

        Args:
            maps: (group, in, row, column).
            convolution: 3 x 3, 'same', with bias.

        Returns:
            Contiguous float32 (group, out, 2 row, 2 column).
        """
        if convolution.bias is None:
            raise AssertionError("the last convolutions have a bias")
        # Sums of weights are taken in the precision of the weights.
        with torch.autocast(maps.device.type, enabled=False):
            kernel = torch.einsum("hwabrs,oihw->aboirs", self._folding, convolution.weight)
        found = functional.conv2d(maps, kernel.flatten(0, 2), convolution.bias.repeat(4), padding=1)
        return cast(Tensor, _Interleaved.apply(found))  # type: ignore[no-untyped-call]


class _Interleaved(torch.autograd.Function):
    """Four maps to one of twice the side, in float32.

    Types change where rows are contiguous: together with the order it takes three times as long.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        groups, parts, rows, columns = maps.shape
        ctx.type = maps.dtype
        ordered = maps.float().view(groups, 2, 2, parts // 4, rows, columns).permute(0, 3, 4, 1, 5, 2)
        return ordered.reshape(groups, parts // 4, 2 * rows, 2 * columns)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        groups, channels, rows, columns = gradients[0].shape
        ordered = gradients[0].to(ctx.type).reshape(groups, channels, rows // 2, 2, columns // 2, 2)
        return ordered.permute(0, 3, 5, 1, 2, 4).reshape(groups, 4 * channels, rows // 2, columns // 2)
