"""The networks from diffraction patterns to object patches, and the registry that finds them by name."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.generators import ENTRY_POINT_GROUP
from ptychopinn_backend.networks.backprojection_unet import INPUT_MAPS, unet_plan
from ptychopinn_backend.networks.cnn import BORDER_CHANNELS, DecoderPlan, cnn_plan
from ptychopinn_backend.networks.layers import Convolution, initial_weights

Activation = Callable[[Tensor], Tensor]


class PatchGenerator(nn.Module, ABC):
    """A network from diffraction patterns to object patches.

    The canonical name of a parameter is its module path with '/' for '.' and 'kernel' for 'weight'. Four-dimensional
    weights are (out, in, height, width) here and (height, width, in, out) in the canonical layout.
    """

    @abstractmethod
    def forward(self, patterns: Tensor) -> tuple[Tensor, Tensor]:
        """Return the patches of scaled patterns.

        Args:
            patterns: (group, channel, N, N) float32.

        Returns:
            Real and imaginary part, float32 (group, channel, N, N) or, without object_big, (group, 1, N, N).
        """

    @abstractmethod
    def initial_weights(self, seed: int) -> dict[str, AnyArray]:
        """Return the starting weights by canonical name; a function of the seed alone.

        Args:
            seed: seed of the run.

        Returns:
            Canonical name -> float32 array.
        """


def _scaled_tanh(values: Tensor) -> Tensor:
    return math.pi * torch.tanh(values)


_AMPLITUDE_ACTIVATIONS: dict[str, Activation] = {
    "sigmoid": torch.sigmoid,
    "swish": functional.silu,
    "softplus": functional.softplus,
    "relu": functional.relu,
}


class CnnNetwork(PatchGenerator):
    """The 'cnn' generator: one encoder, an amplitude and a phase decoder (`networks.cnn`)."""

    def __init__(self, model: ModelConfig) -> None:
        """Build the layers of the plan, uninitialised.

        Args:
            model: the configuration.
        """
        super().__init__()
        self.plan = cnn_plan(model)
        for convolution in self.plan.convolutions:
            self.add_module(
                convolution.name,
                nn.Conv2d(convolution.in_channels, convolution.out_channels, convolution.size, padding="same"),
            )
        self._amplitude_activation = _AMPLITUDE_ACTIVATIONS[model.amp_activation]
        self._margin_px = model.N // 4
        border = torch.ones(model.N, model.N)
        border[self._margin_px : -self._margin_px, self._margin_px : -self._margin_px] = 0
        self.register_buffer("_border_mask", border, persistent=False)

    def initial_weights(self, seed: int) -> dict[str, AnyArray]:
        """Return Glorot-uniform kernels and zero biases, the same for every backend.

        Args:
            seed: seed of the run.

        Returns:
            Canonical name -> float32 array.
        """
        return initial_weights(self.plan.convolutions, seed)

    def forward(self, patterns: Tensor) -> tuple[Tensor, Tensor]:
        """Return the patches of scaled patterns, amplitude * exp(i phase).

        Args:
            patterns: (group, channel, N, N) float32.

        Returns:
            Real and imaginary part, float32 (group, channel, N, N) or, without object_big, (group, 1, N, N).
        """
        features = patterns.contiguous(memory_format=torch.channels_last)
        for stage in self.plan.encoder:
            features = functional.max_pool2d(self._pair(stage, features), 2)
        amplitude = self._decode(self.plan.amplitude, features, self._amplitude_activation)
        phase = self._decode(self.plan.phase, features, _scaled_tanh)
        return amplitude * torch.cos(phase), amplitude * torch.sin(phase)

    def _convolve(self, convolution: Convolution, features: Tensor) -> Tensor:
        return cast(Tensor, self.get_submodule(convolution.name)(features))

    def _pair(self, pair: tuple[Convolution, Convolution], features: Tensor) -> Tensor:
        for convolution in pair:
            features = functional.relu(self._convolve(convolution, features), inplace=True)
        return features

    def _block(self, block: tuple[Convolution, Convolution, Convolution], features: Tensor) -> Tensor:
        upsampled = functional.interpolate(self._pair(block[:2], features), scale_factor=2.0, mode="nearest")
        return self._convolve(block[2], upsampled).float()

    def _decode(self, plan: DecoderPlan, features: Tensor, activation: Activation) -> Tensor:
        for stage in plan.stages:
            features = functional.interpolate(self._pair(stage, features), scale_factor=2.0, mode="nearest")
        if plan.full is not None:
            return activation(self._block(plan.full, features))
        if plan.centre is None:
            raise AssertionError("a decoder without pad_object has a full head")
        centre = activation(self._convolve(plan.centre, features[:, :-BORDER_CHANNELS]).float())
        patch = functional.pad(centre, (self._margin_px,) * 4)
        if plan.border is not None:
            border = functional.silu(self._block(plan.border, features[:, -BORDER_CHANNELS:]))
            patch = patch + border * cast(Tensor, self._border_mask)
        return patch


class BackprojectionUnet(PatchGenerator):
    """The 'backprojection_unet' generator: one U-Net for every pattern (`networks.backprojection_unet`)."""

    def __init__(self, model: ModelConfig) -> None:
        """Build the layers of the plan, uninitialised.

        Args:
            model: the configuration.
        """
        super().__init__()
        self.plan = unet_plan(model)
        for convolution in self.plan.convolutions:
            self.add_module(
                convolution.name,
                nn.Conv2d(convolution.in_channels, convolution.out_channels, convolution.size, padding="same"),
            )

    def initial_weights(self, seed: int) -> dict[str, AnyArray]:
        """Return Glorot-uniform kernels (zeros in the last layer) and zero biases, the same for every backend.

        Args:
            seed: seed of the run.

        Returns:
            Canonical name -> float32 array.
        """
        return initial_weights(self.plan.convolutions, seed)

    def forward(self, patterns: Tensor) -> tuple[Tensor, Tensor]:
        """Return the patches 1 + r + i t.

        Args:
            patterns: (group, channel * 3, N, N) float32, the maps of a channel side by side.

        Returns:
            Real and imaginary part, float32 (group, channel, N, N).
        """
        groups, maps, rows, columns = patterns.shape
        by_pattern = patterns.reshape(groups * maps // INPUT_MAPS, INPUT_MAPS, rows, columns)
        features = by_pattern.contiguous(memory_format=torch.channels_last)
        skipped = []
        for level, pair in enumerate(self.plan.down):
            if level > 0:
                features = functional.max_pool2d(features, 2)
            features = self._pair(pair, features)
            skipped.append(features)
        for pair, skip in zip(self.plan.up, skipped[-2::-1], strict=True):
            upsampled = functional.interpolate(features, scale_factor=2.0, mode="nearest")
            features = self._pair(pair, torch.cat((upsampled, skip), dim=1))
        found = self.get_submodule(self.plan.last.name)(features).float()
        patches = found.reshape(groups, maps // INPUT_MAPS, 2, rows, columns)
        return 1 + patches[:, :, 0], patches[:, :, 1]

    def _pair(self, pair: tuple[Convolution, Convolution], features: Tensor) -> Tensor:
        for convolution in pair:
            features = functional.silu(self.get_submodule(convolution.name)(features), inplace=True)
        return features


def build_generator(model: ModelConfig) -> PatchGenerator:
    """Return the network an architecture name means, built-in or from an entry point `pytorch.<architecture>`.

    Args:
        model: the configuration; `Backend` has already refused names that this backend lacks.

    Returns:
        The network, its weights not yet initialised.
    """
    if model.architecture == "cnn":
        return CnnNetwork(model)
    if model.architecture == "backprojection_unet":
        return BackprojectionUnet(model)
    (entry,) = entry_points(group=ENTRY_POINT_GROUP, name=f"pytorch.{model.architecture}")
    return cast(PatchGenerator, entry.load()(model))
