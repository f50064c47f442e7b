"""What a network from diffraction patterns to object patches is, built-in or of a third party."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.networks.layers import Layer, initial_weights
from ptychopinn_backend.torch_backend.layers import PlannedModule

Activation = Callable[[Tensor], Tensor]

AMPLITUDE_ACTIVATIONS: dict[str, Activation] = {
    "sigmoid": torch.sigmoid,
    "swish": functional.silu,
    "softplus": functional.softplus,
    "relu": functional.relu,
}


def canonical_layout(values: Tensor) -> Tensor:
    """Return a view of weights with kernels as (height, width, in, out)."""
    return values.permute(2, 3, 1, 0) if values.ndim == 4 else values


def torch_layout(array: AnyArray) -> AnyArray:
    """Return a view of weights with kernels as (out, in, height, width)."""
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array


def scaled_tanh(values: Tensor) -> Tensor:
    """Return pi * tanh, the activation of phases."""
    return math.pi * torch.tanh(values)


class PatchGenerator(nn.Module, ABC):
    """A network from diffraction patterns to object patches.

    The canonical name of a parameter, or of a persistent buffer, is its module path with '/' for '.' and 'kernel' for
    'weight'. Four-dimensional weights are (out, in, height, width) here and (height, width, in, out) in the canonical
    layout.
    """

    @abstractmethod
    def forward(self, patterns: Tensor) -> tuple[Tensor, Tensor]:
        """Return the patches of scaled patterns.

        Args:
            patterns: (group, channel, N, N) float32.

        Returns:
            Real and imaginary part, float32 (group, channel, N, N) or, without object_big, (group, 1, N, N).
        """

    def of_scaled(self, patterns: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Return the patches of patterns * scale.

        A network whose first layer is a convolution multiplies that layer's weights instead: fewer numbers, and the
        gradient of the scale needs no gradient of the patterns.

        Args:
            patterns: (group, channel, N, N) float32.
            scale: float32 scalar.

        Returns:
            What `forward` returns.
        """
        return cast(tuple[Tensor, Tensor], self(patterns * scale))

    def canonical_weights(self) -> dict[str, Tensor]:
        """Return the tensor behind every canonical name, running statistics included."""
        return {
            name.replace(".", "/").removesuffix("weight") + ("kernel" if name.endswith("weight") else ""): tensor
            for name, tensor in self.state_dict(keep_vars=True).items()
        }

    @abstractmethod
    def initial_weights(self, seed: int) -> dict[str, AnyArray]:
        """Return the starting weights by canonical name; a function of the seed alone.

        Args:
            seed: seed of the run.

        Returns:
            Canonical name -> float32 array, for every parameter and every persistent buffer.
        """


class PlannedGenerator(PlannedModule, PatchGenerator):
    """A generator whose weights are those of a plan's layers."""

    def __init__(self, layers: Iterable[Layer]) -> None:
        """Build the layers, uninitialised.

        Args:
            layers: those of a plan.
        """
        super().__init__()
        self._layers = tuple(layers)
        self.add_layers(self._layers)

    def initial_weights(self, seed: int) -> dict[str, AnyArray]:
        """Return the starting weights of the plan, the same for every backend.

        Args:
            seed: seed of the run.

        Returns:
            Canonical name -> float32 array.
        """
        return initial_weights(self._layers, seed)


def from_polar(amplitude: Tensor, phase: Tensor) -> tuple[Tensor, Tensor]:
    """Return real and imaginary part of amplitude * exp(i phase).

    Args:
        amplitude: any shape.
        phase: the same, radians.

    Returns:
        Two tensors of that shape.
    """
    return cast(tuple[Tensor, Tensor], _FromPolar.apply(amplitude, phase))  # type: ignore[no-untyped-call]


class _FromPolar(torch.autograd.Function):
    """Autograd would take cosine and sine once more to find the gradients of both, which are here already."""

    @staticmethod
    def forward(ctx: Any, amplitude: Tensor, phase: Tensor) -> tuple[Tensor, Tensor]:
        cosine, sine = torch.cos(phase), torch.sin(phase)
        real, imaginary = amplitude * cosine, amplitude * sine
        ctx.save_for_backward(cosine, sine, real, imaginary)
        return real, imaginary

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        cosine, sine, real, imaginary = ctx.saved_tensors
        to_real, to_imaginary = gradients
        by_amplitude = torch.addcmul(to_real * cosine, to_imaginary, sine)
        return by_amplitude, torch.addcmul(to_imaginary * real, to_real, imaginary, value=-1)
