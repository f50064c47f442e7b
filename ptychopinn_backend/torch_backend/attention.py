"""Attention (`networks.attention`) applied to feature maps."""

from __future__ import annotations

import torch
from torch import Tensor

from ptychopinn_backend.networks.attention import Attention, BlockAttention, EfficientChannelAttention
from ptychopinn_backend.networks.layers import Convolution
from ptychopinn_backend.torch_backend.layers import PlannedModule


def attend(network: PlannedModule, attention: Attention, maps: Tensor) -> Tensor:
    """Return maps times their gates.

    Args:
        network: holds the layers of the attention.
        attention: the plan.
        maps: (group, map, row, column).

    Returns:
        The same shape.
    """
    if isinstance(attention, EfficientChannelAttention):
        means = maps.mean(dim=(2, 3))[:, None, None]
        weights = torch.sigmoid(network.apply_layer(attention.channel, means))
        return maps * weights[:, 0, 0, :, None, None]
    if isinstance(attention, BlockAttention):
        maps = maps * torch.sigmoid(
            _perceptron(network, attention, maps.mean(dim=(2, 3), keepdim=True))
            + _perceptron(network, attention, maps.amax(dim=(2, 3), keepdim=True))
        )
    return maps * _spatial_gate(network, attention.spatial, maps)


def _perceptron(network: PlannedModule, attention: BlockAttention, pooled: Tensor) -> Tensor:
    return network.apply_layer(attention.expand, torch.relu(network.apply_layer(attention.reduce, pooled)))


def _spatial_gate(network: PlannedModule, convolution: Convolution, maps: Tensor) -> Tensor:
    pooled = torch.cat((maps.mean(dim=1, keepdim=True), maps.amax(dim=1, keepdim=True)), dim=1)
    return torch.sigmoid(network.apply_layer(convolution, pooled))
