"""The convolutions of a network as numbers: what bounds its speed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.networks.backprojection_unet import unet_plan
from ptychopinn_backend.networks.cnn import DecoderPlan, cnn_plan
from ptychopinn_backend.networks.layers import Convolution


@dataclass(frozen=True)
class Layer:
    """One convolution, 'same'."""

    in_maps: int
    out_maps: int
    size: int
    side: int
    """Of its input and output, pixels."""
    images: int
    """Images it works on for each group."""

    @property
    def flops(self) -> int:
        """Operations of the forward pass for one group."""
        return 2 * self.images * self.in_maps * self.out_maps * self.size**2 * self.side**2


def layers(model: ModelConfig) -> list[Layer]:
    """Return the convolutions of a built-in network, in order."""
    is_unet = model.architecture == "backprojection_unet"
    images = model.channels if is_unet else 1
    found = _unet(model) if is_unet else _cnn(model)
    return [Layer(c.in_channels, c.out_channels, c.size, side, images) for c, side in found]


def forward_flops(model: ModelConfig) -> int:
    """Operations of the forward pass of one group; the backward pass has twice as many."""
    return sum(layer.flops for layer in layers(model))


def _cnn(model: ModelConfig) -> Iterator[tuple[Convolution, int]]:
    plan = cnn_plan(model)
    side = model.N
    for stage in plan.encoder:
        yield from ((convolution, side) for convolution in stage)
        side //= 2
    for decoder in plan.decoders:
        yield from _decoder(decoder, side)


def _decoder(plan: DecoderPlan, side: int) -> Iterator[tuple[Convolution, int]]:
    for stage in plan.stages:
        yield from ((convolution, side) for convolution in stage)
        side *= 2
    if plan.centre is not None:
        yield plan.centre, side
    for block in (plan.border, plan.full):
        if block is not None:
            yield from ((block[0], side), (block[1], side), (block[2], 2 * side))


def _unet(model: ModelConfig) -> Iterator[tuple[Convolution, int]]:
    plan = unet_plan(model)
    for level, pair in enumerate(plan.down):
        yield from ((convolution, model.N >> level) for convolution in pair)
    for index, pair in enumerate(plan.up):
        yield from ((convolution, model.N >> (len(plan.up) - 1 - index)) for convolution in pair)
    yield plan.last, model.N
