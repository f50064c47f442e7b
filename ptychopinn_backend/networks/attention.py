"""Plans of attention: gates in (0, 1) that multiply feature maps, computed from the maps themselves.

Channel attention weighs whole maps, spatial attention weighs pixels. Every gate is a logistic function and starts near
1/2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, TypeAlias

from ptychopinn_backend.networks.layers import ChannelConvolution, Convolution, Layer

REDUCTION: Final = 16
"""Maps over hidden maps of the channel gate of a CBAM, at least one hidden map."""
BLOCK_KERNEL: Final = 7
"""Kernel side of the spatial gate of a CBAM."""


@dataclass(frozen=True)
class BlockAttention:
    """CBAM: a channel gate, then a spatial one.

    Channel gate: logistic(f(mean over pixels) + f(maximum over pixels)), f = expand(relu(reduce(.))). Spatial gate:
    logistic of a convolution of mean and maximum over the maps. Source: Woo et al., CBAM, ECCV 2018.
    """

    name: str
    reduce: Convolution
    expand: Convolution
    spatial: Convolution

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Everything with weights."""
        return self.reduce, self.expand, self.spatial


@dataclass(frozen=True)
class EfficientChannelAttention:
    """ECA: a channel gate, logistic of a convolution along the maps of their means over pixels.

    Source: Wang et al., ECA-Net, CVPR 2020; the kernel covers abs(log2(maps) / 2 + 1/2) maps, made odd.
    """

    name: str
    channel: ChannelConvolution

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Everything with weights."""
        return (self.channel,)


@dataclass(frozen=True)
class SpatialAttention:
    """A spatial gate alone, as in a CBAM."""

    name: str
    spatial: Convolution

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Everything with weights."""
        return (self.spatial,)


Attention: TypeAlias = BlockAttention | EfficientChannelAttention | SpatialAttention


def block_attention(prefix: str, channels: int) -> BlockAttention:
    """Return the CBAM of maps.

    Args:
        prefix: canonical prefix of the stage.
        channels: its maps.

    Returns:
        The plan; weights below `<prefix>/cbam`.
    """
    name = f"{prefix}/cbam"
    hidden = max(channels // REDUCTION, 1)
    return BlockAttention(
        name,
        Convolution(f"{name}/reduce", channels, hidden, size=1),
        Convolution(f"{name}/expand", hidden, channels, size=1),
        Convolution(f"{name}/spatial", 2, 1, size=BLOCK_KERNEL),
    )


def efficient_channel_attention(prefix: str, channels: int) -> EfficientChannelAttention:
    """Return the ECA of maps.

    Args:
        prefix: canonical prefix of the stage.
        channels: its maps.

    Returns:
        The plan; the weight is `<prefix>/eca/channel/kernel`.
    """
    reach = int(abs(math.log2(channels) / 2 + 0.5))
    name = f"{prefix}/eca"
    return EfficientChannelAttention(name, ChannelConvolution(f"{name}/channel", reach if reach % 2 else reach + 1))


def spatial_attention(prefix: str, size: int) -> SpatialAttention:
    """Return the spatial attention of maps.

    Args:
        prefix: canonical prefix of the stage.
        size: kernel side in pixels, odd.

    Returns:
        The plan; weights below `<prefix>/spatial_attention`.
    """
    name = f"{prefix}/spatial_attention"
    return SpatialAttention(name, Convolution(f"{name}/spatial", 2, 1, size=size))
