"""The convolutional networks from diffraction patterns to object patches."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.networks.backprojection_unet import INPUT_MAPS, unet_plan
from ptychopinn_backend.networks.cnn import BOTTLENECK, DecoderPlan, cnn_plan, stage_prefix
from ptychopinn_backend.networks.layers import Convolution
from ptychopinn_backend.torch_backend.attention import attend
from ptychopinn_backend.torch_backend.patch_generator import (
    AMPLITUDE_ACTIVATIONS,
    Activation,
    PlannedGenerator,
    from_polar,
    scaled_tanh,
)
from ptychopinn_backend.torch_backend.upsampled import UpsampledConvolution


class CnnNetwork(PlannedGenerator):
    """The 'cnn' generator: one encoder, an amplitude and a phase decoder (`networks.cnn`)."""

    def __init__(self, model: ModelConfig) -> None:
        """Build the layers of the plan, uninitialised.

        Args:
            model: the configuration.
        """
        plan = cnn_plan(model)
        super().__init__(plan.layers)
        self.plan = plan
        self._is_polar = model.cnn_output_mode == "amp_phase"
        self._amplitude_activation = AMPLITUDE_ACTIVATIONS[model.amp_activation]
        self._margin_px = model.N // 4
        self._of_upsampled = UpsampledConvolution()

    def of_scaled(self, patterns: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Scale by the first weights; see `PatchGenerator.of_scaled`."""
        return cast(tuple[Tensor, Tensor], self(patterns, scale))

    def forward(self, patterns: Tensor, scale: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the patches of scaled patterns.

        Args:
            patterns: (group, channel, N, N) float32.
            scale: float32 scalar the patterns are still to be multiplied by, if any.

        Returns:
            Real and imaginary part, float32 (group, channel, N, N) or, without object_big, (group, 1, N, N).
        """
        features = patterns.contiguous(memory_format=torch.channels_last)
        for stage in self.plan.encoder:
            features, scale = self._pooled_stage(stage, features, scale), None
        features = self._attended(BOTTLENECK, features)
        first, second = self.plan.decoders
        of_first = self._stages(first, features)
        of_second = of_first if self.plan.shares_decoder else self._stages(second, features)
        if not self._is_polar:
            return self._head(first, of_first), self._head(second, of_second)
        amplitude = self._head(first, of_first, self._amplitude_activation, functional.silu)
        return from_polar(amplitude, self._head(second, of_second, scaled_tanh, functional.silu))

    def _normalised(self, convolution: Convolution, features: Tensor, scale: Tensor | None = None) -> Tensor:
        features = self.convolve_scaled(convolution, features, scale)
        normalisation = self.plan.normalisations.get(convolution.name)
        return features if normalisation is None else self.apply_layer(normalisation, features)

    def _pair(self, pair: tuple[Convolution, Convolution], features: Tensor) -> Tensor:
        for convolution in pair:
            features = functional.relu(self._normalised(convolution, features), inplace=True)
        return features

    def _attended(self, prefix: str, features: Tensor) -> Tensor:
        for attention in self.plan.attention.get(prefix, ()):
            features = attend(self, attention, features)
        return features

    def _pooled_stage(self, stage: tuple[Convolution, Convolution], features: Tensor, scale: Tensor | None) -> Tensor:
        first, second = stage
        features = functional.relu(self._normalised(first, features, scale), inplace=True)
        features = self._normalised(second, features)
        prefix = stage_prefix(stage)
        if prefix in self.plan.attention:
            return functional.max_pool2d(self._attended(prefix, functional.relu(features, inplace=True)), 2)
        # The greatest of four positive parts is the positive part of the greatest: a quarter of the numbers.
        return functional.relu(functional.max_pool2d(features, 2), inplace=True)

    def _stage(self, stage: tuple[Convolution, Convolution], features: Tensor) -> Tensor:
        return self._attended(stage_prefix(stage), self._pair(stage, features))

    def _block(self, block: tuple[Convolution, Convolution, Convolution], features: Tensor) -> Tensor:
        return self._images(block[2], self._pair(block[:2], _upsampled(features)))

    def _images(self, convolution: Convolution, features: Tensor) -> Tensor:
        # The last maps are images for the physics, whose transforms want each by itself; where layouts mix, every
        # operation and its gradient work pixel by pixel.
        return cast(Tensor, self._of_upsampled(features, self.get_submodule(convolution.name)))

    def _stages(self, plan: DecoderPlan, features: Tensor) -> Tensor:
        first, *others = plan.stages
        features = self._stage(first, features)
        for stage in others:
            features = self._stage(stage, _upsampled(features))
        return features

    def _head(
        self,
        plan: DecoderPlan,
        features: Tensor,
        activation: Activation = torch.clone,
        of_border: Activation = torch.clone,
    ) -> Tensor:
        if plan.full is not None:
            return activation(self._block(plan.full, features))
        if plan.centre is None:
            raise AssertionError("a decoder without pad_object has a full head")
        parts = [plan.centre.in_channels, features.shape[1] - plan.centre.in_channels]
        for_centre, for_border = torch.split(features, parts, dim=1)
        centre = activation(self._images(plan.centre, for_centre))
        if plan.border is None:
            return functional.pad(centre, (self._margin_px,) * 4)
        patch = of_border(self._block(plan.border, for_border))
        inside = slice(self._margin_px, -self._margin_px)
        patch[..., inside, inside] = centre
        return patch


def _upsampled(maps: Tensor) -> Tensor:
    return functional.interpolate(maps, scale_factor=2.0, mode="nearest")


class BackprojectionUnet(PlannedGenerator):
    """The 'backprojection_unet' generator: one U-Net for every pattern (`networks.backprojection_unet`)."""

    def __init__(self, model: ModelConfig) -> None:
        """Build the layers of the plan, uninitialised.

        Args:
            model: the configuration.
        """
        plan = unet_plan(model)
        super().__init__(plan.convolutions)
        self.plan = plan

    def of_scaled(self, patterns: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Scale by the first weights; see `PatchGenerator.of_scaled`."""
        return cast(tuple[Tensor, Tensor], self(patterns, scale))

    def forward(self, patterns: Tensor, scale: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the patches 1 + r + i t.

        Args:
            patterns: (group, channel * 3, N, N) float32, the maps of a channel side by side.
            scale: float32 scalar the patterns are still to be multiplied by, if any.

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
            features, scale = self._pair(pair, features, scale), None
            skipped.append(features)
        for pair, skip in zip(self.plan.up, skipped[-2::-1], strict=True):
            features = self._pair(pair, torch.cat((_upsampled(features), skip), dim=1))
        found = self.apply_layer(self.plan.last, features).float().contiguous()
        patches = found.reshape(groups, maps // INPUT_MAPS, 2, rows, columns)
        return 1 + patches[:, :, 0], patches[:, :, 1]

    def _pair(self, pair: tuple[Convolution, Convolution], features: Tensor, scale: Tensor | None = None) -> Tensor:
        for convolution in pair:
            features, scale = self.convolve_scaled(convolution, features, scale), None
            # In place would make autograd copy what it needs for the gradient.
            features = functional.silu(features, inplace=not features.requires_grad)
        return features
