"""The layers of plans (`networks.layers`) as modules; parameters have the plan's names."""

from __future__ import annotations

from collections.abc import Iterable
from functools import singledispatch
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ptychopinn_backend.networks.layers import (
    BatchNormalisation,
    ChannelConvolution,
    Convolution,
    Layer,
    SpectralConvolution,
    TransposedConvolution,
)

BATCH_NORM_MOMENTUM = 0.1
"""Share of the newest batch in the running statistics."""
BATCH_NORM_EPSILON = 1e-5
"""Added to the variance."""


class SpectralModule(nn.Module):
    """A spectral convolution along one or both axes of an image; see `SpectralConvolution`."""

    def __init__(self, plan: SpectralConvolution) -> None:
        """Make room for the weights, (out, in, row frequency, column frequency).

        Args:
            plan: maps and modes.
        """
        super().__init__()
        rows, columns, in_maps, out_maps = next(iter(plan.shapes.values()))
        self._modes = plan.row_modes, plan.column_modes
        # Two real tensors: optimisers, clipping and reduction over processes then need no special case.
        self.kernel_real = nn.Parameter(torch.empty(out_maps, in_maps, rows, columns))
        self.kernel_imaginary = nn.Parameter(torch.empty(out_maps, in_maps, rows, columns))

    def forward(self, maps: Tensor) -> Tensor:
        """Return the filtered maps; transforms are computed in float32 whatever the precision.

        Args:
            maps: (group, in, row, column).

        Returns:
            (group, out, row, column) float32.
        """
        with torch.autocast(maps.device.type, enabled=False):
            signal = maps.float().contiguous()
            kernel = torch.complex(self.kernel_real.float().contiguous(), self.kernel_imaginary.float().contiguous())
            row_modes, column_modes = self._modes
            if row_modes and column_modes:
                return _filtered_image(signal, kernel, row_modes, column_modes)
            return _filtered_lines(signal, kernel, axis=-2 if row_modes else -1)


def _filtered_image(signal: Tensor, kernel: Tensor, row_modes: int, column_modes: int) -> Tensor:
    rows, columns = signal.shape[-2:]
    spectrum = torch.fft.rfft2(signal, norm="ortho")
    low = torch.cat((spectrum[..., :row_modes, :column_modes], spectrum[..., -row_modes:, :column_modes]), dim=-2)
    mixed = torch.einsum("girc,oirc->gorc", low, kernel)
    between = mixed.new_zeros(*mixed.shape[:2], rows - 2 * row_modes, column_modes)
    full = torch.cat((mixed[..., :row_modes, :], between, mixed[..., row_modes:, :]), dim=-2)
    # irfft2 takes missing high column frequencies as zeros.
    filtered: Tensor = torch.fft.irfft2(full, s=(rows, columns), norm="ortho")
    return filtered


def _filtered_lines(signal: Tensor, kernel: Tensor, axis: int) -> Tensor:
    spectrum = torch.fft.rfft(signal, dim=axis, norm="ortho").narrow(axis, 0, kernel.shape[axis])
    equation = "girc,oir->gorc" if axis == -2 else "girc,oic->gorc"
    mixed = torch.einsum(equation, spectrum, kernel.squeeze(-1 if axis == -2 else -2))
    filtered: Tensor = torch.fft.irfft(mixed, n=signal.shape[axis], dim=axis, norm="ortho")
    return filtered


class BatchNormalisationModule(nn.Module):
    """Batch normalisation whose running statistics are named like its other weights; see `BatchNormalisation`."""

    mean: Tensor
    variance: Tensor

    def __init__(self, plan: BatchNormalisation) -> None:
        """Make room for the weights.

        Args:
            plan: the maps.
        """
        super().__init__()
        self.scale = nn.Parameter(torch.empty(plan.channels))
        self.shift = nn.Parameter(torch.empty(plan.channels))
        self.register_buffer("mean", torch.empty(plan.channels))
        self.register_buffer("variance", torch.empty(plan.channels))

    def forward(self, maps: Tensor) -> Tensor:
        """Return normalised maps: by the statistics of the batch while training, by the running ones otherwise.

        Args:
            maps: (group, map, row, column).

        Returns:
            The same shape.
        """
        # A frozen layer keeps its statistics too: they belong to the encoder that fine-tuning leaves as it is.
        learning = self.training and self.scale.requires_grad
        return functional.batch_norm(
            maps,
            self.mean,
            self.variance,
            self.scale,
            self.shift,
            training=learning,
            momentum=BATCH_NORM_MOMENTUM,
            eps=BATCH_NORM_EPSILON,
        )


@singledispatch
def build_layer(plan: Layer) -> nn.Module:
    """Return the module a layer of a plan means, its weights not yet initialised.

    Args:
        plan: the layer.

    Returns:
        The module.

    Raises:
        TypeError: a layer of an unknown kind.
    """
    raise TypeError(f"no module for {plan!r}")


@build_layer.register
def _(plan: Convolution) -> nn.Module:
    return nn.Conv2d(plan.in_channels, plan.out_channels, plan.size, padding="same")


@build_layer.register
def _(plan: TransposedConvolution) -> nn.Module:
    return nn.ConvTranspose2d(plan.in_channels, plan.out_channels, plan.size, stride=2, padding=(plan.size - 2) // 2)


@build_layer.register
def _(plan: ChannelConvolution) -> nn.Module:
    return nn.Conv2d(1, 1, (1, plan.size), padding="same", bias=False)


@build_layer.register
def _(plan: SpectralConvolution) -> nn.Module:
    return SpectralModule(plan)


@build_layer.register
def _(plan: BatchNormalisation) -> nn.Module:
    return BatchNormalisationModule(plan)


class PlannedModule(nn.Module):
    """A module whose submodules are the layers of a plan, found by their canonical names."""

    def add_layers(self, layers: Iterable[Layer]) -> None:
        """Build the layers as submodules.

        Args:
            layers: those of a plan.
        """
        for layer in layers:
            self.add_module(layer.name, build_layer(layer))

    def apply_layer(self, layer: Layer, maps: Tensor) -> Tensor:
        """Return what a layer makes of maps.

        Args:
            layer: one that `add_layers` was given.
            maps: its input.

        Returns:
            Its output.
        """
        return cast(Tensor, self.get_submodule(layer.name)(maps))
