"""The layers of plans (`networks.layers`) as modules; parameters have the plan's names."""

from __future__ import annotations

import math
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
    """A spectral convolution along one or both axes of an image; see `SpectralConvolution`.

    Few frequencies are kept, so they are computed as products with cosines and sines: the same on every device, in
    real numbers that compile, and no transform of frequencies that are dropped.
    """

    def __init__(self, plan: SpectralConvolution) -> None:
        """Make room for the weights, (out, in, row frequency, column frequency).

        Args:
            plan: maps and modes.
        """
        super().__init__()
        rows, columns, in_maps, out_maps = next(iter(plan.shapes.values()))
        self._modes = plan.row_modes, plan.column_modes
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
            signal, (row_modes, column_modes) = maps.float(), self._modes
            # As real numbers: (out, real or imaginary, in, real or imaginary, row frequency, column frequency).
            real, imaginary = self.kernel_real, self.kernel_imaginary
            of_real, of_imaginary = torch.stack((real, imaginary), dim=1), torch.stack((-imaginary, real), dim=1)
            kernel = torch.stack((of_real, of_imaginary), dim=3)
            if column_modes == 0:
                return _filtered_lines(signal.mT, kernel.squeeze(5), row_modes).mT
            if row_modes == 0:
                return _filtered_lines(signal, kernel.squeeze(4), column_modes)
            return _filtered_image(signal, kernel, row_modes, column_modes)


def _waves(frequencies: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Return cosines and sines of the unitary transform, (frequency, side)."""
    turns = frequencies[:, None] * torch.arange(side, device=frequencies.device) % side
    angle = turns * (2 * math.pi / side)
    return torch.cos(angle) / math.sqrt(side), torch.sin(angle) / math.sqrt(side)


def _line_transforms(side: int, modes: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the matrix to the lowest frequencies of a real line, (side, part * frequency), and the one back."""
    cosines, sines = _waves(torch.arange(modes, device=device), side)
    # A negative frequency adds as much to a real line as the positive one; the mean has none.
    weight = torch.full((modes, 1), 2.0, device=device)
    weight[0] = 1.0
    return torch.cat((cosines, -sines)).mT, torch.cat((weight * cosines, -weight * sines))


def _filtered_lines(signal: Tensor, kernel: Tensor, modes: int) -> Tensor:
    groups, in_maps, rows, columns = signal.shape
    forth, back = _line_transforms(columns, modes, signal.device)
    spectrum = (signal @ forth).view(groups, in_maps, rows, 2, modes)
    mixed = torch.einsum("girpc,oqipc->gorqc", spectrum, kernel)
    return mixed.reshape(groups, -1, rows, 2 * modes) @ back


def _filtered_image(signal: Tensor, kernel: Tensor, row_modes: int, column_modes: int) -> Tensor:
    groups, in_maps, rows, columns = signal.shape
    out_maps, modes = len(kernel), 2 * row_modes
    forth, back = _line_transforms(columns, column_modes, signal.device)
    index = torch.arange(modes, device=signal.device)
    cosines, sines = _waves(torch.where(index < row_modes, index, index - modes), rows)
    # From (row, part) to (part, frequency); its transpose is the way back.
    to_real, to_imaginary = torch.stack((cosines, sines), dim=2), torch.stack((-sines, cosines), dim=2)
    across = torch.stack((to_real, to_imaginary)).view(2 * modes, 2 * rows)
    lines = (signal.reshape(-1, columns) @ forth).view(groups * in_maps, 2 * rows, column_modes)
    low = (across @ lines).view(groups, 2 * in_maps, modes, column_modes)
    flat_kernel = kernel.reshape(2 * out_maps, 2 * in_maps, modes, column_modes)
    mixed = torch.einsum("girc,oirc->gorc", low, flat_kernel).reshape(-1, 2 * modes, column_modes)
    return ((across.mT @ mixed).view(-1, 2 * column_modes) @ back).view(groups, out_maps, rows, columns)


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

    def convolve_scaled(self, convolution: Convolution, maps: Tensor, scale: Tensor | None) -> Tensor:
        """Return the convolution of maps * scale, by a product with its weights.

        Args:
            convolution: one that `add_layers` was given.
            maps: (group, in, row, column), not yet scaled.
            scale: float32 scalar; None for 1.

        Returns:
            (group, out, row, column).
        """
        module = cast(nn.Conv2d, self.get_submodule(convolution.name))
        if scale is None:
            return cast(Tensor, module(maps))
        return functional.conv2d(maps, module.weight * scale, module.bias, padding="same")
