"""Which network makes the patches: a built-in one, or one that a third party registers by an entry point."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, cast

import numpy as np
import torch
from torch import Tensor, nn

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.networks.generator import Generator, StartsWithConvolution, third_party_generator
from ptychopinn_backend.torch_backend.fourier_operators import HybridNetwork, HybridResnetNetwork, OperatorNetwork
from ptychopinn_backend.torch_backend.network import BackprojectionUnet, CnnNetwork
from ptychopinn_backend.torch_backend.patch_generator import PatchGenerator, canonical_layout, torch_layout

BUILTIN_NETWORKS: Final[Mapping[str, Callable[[ModelConfig], PatchGenerator]]] = MappingProxyType(
    {
        "cnn": CnnNetwork,
        "backprojection_unet": BackprojectionUnet,
        "fno": OperatorNetwork,
        "ffno": OperatorNetwork,
        "hybrid": HybridNetwork,
        "hybrid_resnet": HybridResnetNetwork,
        "fno_vanilla": OperatorNetwork,
    }
)
"""Architecture -> its network."""


def build_generator(model: ModelConfig) -> PatchGenerator:
    """Return the generator that `model.architecture` names; the caller has checked that this backend offers it."""
    if model.architecture in BUILTIN_NETWORKS:
        return BUILTIN_NETWORKS[model.architecture](model)
    found = third_party_generator("pytorch", model, PatchGenerator)
    return found if isinstance(found, PatchGenerator) else FunctionalGenerator(found)


class FunctionalGenerator(PatchGenerator):
    """A `Generator`, which is a function of its weights, as a module that holds them in its layout."""

    def __init__(self, generator: Generator[Tensor]) -> None:
        """Make room for the weights.

        Args:
            generator: of a third party.
        """
        super().__init__()
        self._generator = generator
        # Names may hold a '/', and those of modules a '.': a list of parameters needs neither.
        shapes = {name: np.shape(array) for name, array in generator.initial_weights(0).items()}
        self._names = tuple(shapes)
        self._weights = nn.ParameterList(torch.empty(torch_layout(np.empty(shape)).shape) for shape in shapes.values())

    def forward(self, patterns: Tensor, scale: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the patches of scaled patterns.

        Args:
            patterns: (group, channel * maps, N, N) float32.
            scale: float32 scalar the patterns are still to be multiplied by, if any.

        Returns:
            Real and imaginary part, float32 (group, channel, N, N) or, without object_big, (group, 1, N, N).
        """
        weights = {name: canonical_layout(tensor) for name, tensor in self.canonical_weights().items()}
        if scale is not None and isinstance(self._generator, StartsWithConvolution):
            kernel = self._generator.first_kernel
            weights[kernel] = weights[kernel] * scale
        elif scale is not None:
            patterns = patterns * scale
        patches = self._generator.patches(patterns.permute(0, 2, 3, 1), weights).permute(0, 3, 1, 2)
        return patches.real.contiguous(), patches.imag.contiguous()

    def of_scaled(self, patterns: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Scale by the first weights where the generator names them; see `PatchGenerator.of_scaled`."""
        return cast(tuple[Tensor, Tensor], self(patterns, scale))

    def canonical_weights(self) -> dict[str, Tensor]:
        """Return the weights by the names of the generator."""
        return dict(zip(self._names, self._weights, strict=True))

    def initial_weights(self, seed: int) -> dict[str, AnyArray]:
        """Return those of the generator.

        Args:
            seed: seed of the run.

        Returns:
            Canonical name -> float32 array.
        """
        return self._generator.initial_weights(seed)
