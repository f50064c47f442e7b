"""The Fourier-operator generators (`networks.fourier_operators`)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.nn import functional

from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.networks.fourier_operators import (
    FactorisedBlock,
    FourierBlock,
    HybridPlan,
    HybridResnetPlan,
    OperatorPlan,
    ResidualPair,
    hybrid_plan,
    hybrid_resnet_plan,
    operator_plan,
)
from ptychopinn_backend.networks.layers import Convolution
from ptychopinn_backend.physics.placement import patch_window
from ptychopinn_backend.torch_backend.patch_generator import (
    AMPLITUDE_ACTIVATIONS,
    PlannedGenerator,
    from_polar,
    scaled_tanh,
)

SQUARE_ROOT_FLOOR = 1e-12
"""Added to amplitudes before their square root, whose slope at zero is infinite."""
INSTANCE_NORM_EPSILON = 1e-5
"""Added to the variance of a pattern."""


class FourierGenerator(PlannedGenerator):
    """Input transform, lifting and heads, which all Fourier-operator generators share."""

    def __init__(self, model: ModelConfig, plan: OperatorPlan | HybridPlan | HybridResnetPlan) -> None:
        """Build the layers of the plan, uninitialised.

        Args:
            model: the configuration.
            plan: its plan.
        """
        super().__init__(plan.layers)
        self._lifting, self._heads = plan.lifting, plan.heads
        self._transform = INPUT_TRANSFORMS[model.fno_input_transform]
        self._output_mode = model.generator_output_mode
        # 'amp_phase' is bounded whatever the cnn's heads use.
        amplitude = model.amp_activation if self._output_mode == "amp_phase_logits" else "sigmoid"
        self._amplitude_activation = AMPLITUDE_ACTIVATIONS[amplitude]
        line = torch.linspace(-1, 1, model.N)
        coordinates = torch.stack(torch.meshgrid(line, line, indexing="ij"))[None]
        self.register_buffer("_coordinates", coordinates, persistent=False)
        window = None
        if model.pad_object and not model.probe_big:
            central = torch.from_numpy(patch_window(model.N, central_only=True)).float()
            window = torch.outer(central, central)
        self.register_buffer("_window", window, persistent=False)

    def forward(self, patterns: Tensor) -> tuple[Tensor, Tensor]:
        """Return the patches of scaled patterns, as `generator_output_mode` says.

        Args:
            patterns: (group, channel, N, N) float32.

        Returns:
            Real and imaginary part, float32 (group, channel, N, N) or, without object_big, (group, 1, N, N).
        """
        coordinates = self.get_buffer("_coordinates").expand(len(patterns), -1, -1, -1)
        lifted = self.apply_layer(self._lifting, torch.cat((self._transform(patterns), coordinates), dim=1))
        maps = self.features(lifted)
        first, second = (self.apply_layer(head, maps).float() for head in self._heads)
        if self._output_mode == "real_imag":
            parts = first, second
        else:
            amplitude, phase = self._amplitude_activation(first), scaled_tanh(second)
            parts = from_polar(amplitude, phase)
        if self._window is not None:
            window = self.get_buffer("_window")
            parts = parts[0] * window, parts[1] * window
        return parts

    @abstractmethod
    def features(self, lifted: Tensor) -> Tensor:
        """Return the maps the heads are given.

        Args:
            lifted: (group, map, N, N).

        Returns:
            (group, map, N, N).
        """

    def _gelu(self, layer: Convolution, maps: Tensor) -> Tensor:
        return functional.gelu(self.apply_layer(layer, maps))

    def _fourier(self, block: FourierBlock, maps: Tensor) -> Tensor:
        return functional.gelu(self.apply_layer(block.spectral, maps) + self.apply_layer(block.local, maps))

    def _factorised(self, block: FactorisedBlock, maps: Tensor) -> Tensor:
        mixed = self.apply_layer(block.rows, maps) + self.apply_layer(block.columns, maps)
        return maps + self.apply_layer(block.contract, self._gelu(block.expand, mixed))

    def _residual(self, pair: ResidualPair, maps: Tensor) -> Tensor:
        return maps + self.apply_layer(pair[1], self._gelu(pair[0], maps))

    def _levels(self, levels: Iterable[FourierBlock], maps: Tensor) -> list[Tensor]:
        found: list[Tensor] = []
        for block in levels:
            maps = self._fourier(block, functional.avg_pool2d(maps, 2) if found else maps)
            found.append(maps)
        return found


class OperatorNetwork(FourierGenerator):
    """The generators 'fno_vanilla', 'fno' and 'ffno'."""

    def __init__(self, model: ModelConfig) -> None:
        """Build the layers of the plan, uninitialised.

        Args:
            model: the configuration.
        """
        plan = operator_plan(model)
        super().__init__(model, plan)
        self.plan = plan

    def features(self, lifted: Tensor) -> Tensor:
        """Return what blocks, refiner and projection make of the lifted patterns.

        Args:
            lifted: (group, map, N, N).

        Returns:
            (group, map, N, N).
        """
        maps = lifted
        for block in self.plan.blocks:
            maps = self._fourier(block, maps) if isinstance(block, FourierBlock) else self._factorised(block, maps)
        for pair in self.plan.refiner:
            maps = self._residual(pair, maps)
        return self._gelu(self.plan.projection, maps)


class HybridNetwork(FourierGenerator):
    """The generator 'hybrid'."""

    def __init__(self, model: ModelConfig) -> None:
        """Build the layers of the plan, uninitialised.

        Args:
            model: the configuration.
        """
        plan = hybrid_plan(model)
        super().__init__(model, plan)
        self.plan = plan

    def features(self, lifted: Tensor) -> Tensor:
        """Return what encoder and decoder make of the lifted patterns.

        Args:
            lifted: (group, map, N, N).

        Returns:
            (group, map, N, N).
        """
        *skipped, maps = self._levels(self.plan.levels, lifted)
        for convolutions, skip in zip(self.plan.up, reversed(skipped), strict=True):
            maps = torch.cat((functional.interpolate(maps, scale_factor=2.0, mode="nearest"), skip), dim=1)
            for convolution in convolutions:
                maps = self._gelu(convolution, maps)
        return maps


class HybridResnetNetwork(FourierGenerator):
    """The generator 'hybrid_resnet'."""

    def __init__(self, model: ModelConfig) -> None:
        """Build the layers of the plan, uninitialised.

        Args:
            model: the configuration.
        """
        plan = hybrid_resnet_plan(model)
        super().__init__(model, plan)
        self.plan = plan

    def features(self, lifted: Tensor) -> Tensor:
        """Return what encoder, bottleneck and decoder make of the lifted patterns.

        Args:
            lifted: (group, map, N, N).

        Returns:
            (group, map, N, N).
        """
        maps = self.apply_layer(self.plan.enter, self._levels(self.plan.levels, lifted)[-1])
        for pair in self.plan.bottleneck:
            maps = self._residual(pair, maps)
        for layer in self.plan.up:
            maps = functional.gelu(self.apply_layer(layer, maps))
        return maps


def _square_root(patterns: Tensor) -> Tensor:
    return torch.sqrt(patterns + SQUARE_ROOT_FLOOR)


def _unchanged(patterns: Tensor) -> Tensor:
    return patterns


def _instance_normalised(patterns: Tensor) -> Tensor:
    return functional.instance_norm(patterns, eps=INSTANCE_NORM_EPSILON)


INPUT_TRANSFORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": _unchanged,
    "sqrt": _square_root,
    "log1p": torch.log1p,
    "instancenorm": _instance_normalised,
}
"""fno_input_transform -> what is done to the scaled amplitudes of every pattern, (group, channel, N, N)."""
