"""Canonical weights: names with '/', kernels as (height, width, in, out), and how they start.

Both backends start from these arrays, so the same seed gives the same weights in each.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.errors import DamagedArchiveError, nearest_name

LOG_SCALE = "physics/log_scale"
"""Name of the logarithm of the intensity scale, a float32 scalar."""
PROBE = "physics/probe"
"""Name of a trainable probe, complex64 (scan, mode, N, N)."""


@dataclass(frozen=True)
class Convolution:
    """One convolution with bias."""

    name: str
    """Canonical prefix; weights are `<name>/kernel` and `<name>/bias`."""
    in_channels: int
    out_channels: int
    size: int = 3
    """Kernel side in pixels."""
    zero: bool = False
    """Start from zeros instead of Glorot-uniform values."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Canonical name -> shape."""
        kernel = (self.size, self.size, self.in_channels, self.out_channels)
        return {f"{self.name}/kernel": kernel, f"{self.name}/bias": (self.out_channels,)}


def glorot_uniform(shape: tuple[int, ...], name: str, seed: int) -> AnyArray:
    """Return a Glorot-uniform kernel; limit sqrt(6 / (fan_in + fan_out)).

    Args:
        shape: (height, width, in, out).
        name: canonical name; each name has its own random stream, so adding a layer changes no other.
        seed: seed of the run.

    Returns:
        float32 array.
    """
    height, width, fan_in, fan_out = shape
    limit = np.sqrt(6.0 / (height * width * (fan_in + fan_out)))
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return generator.uniform(-limit, limit, shape).astype(np.float32)


def initial_convolution_weights(convolutions: tuple[Convolution, ...], seed: int) -> dict[str, AnyArray]:
    """Return the starting weights of convolutions: Glorot-uniform kernels, zero biases.

    Args:
        convolutions: the plan.
        seed: seed of the run.

    Returns:
        Canonical name -> float32 array.
    """
    weights: dict[str, AnyArray] = {}
    for convolution in convolutions:
        for name, shape in convolution.shapes.items():
            random = name.endswith("/kernel") and not convolution.zero
            weights[name] = glorot_uniform(shape, name, seed) if random else np.zeros(shape, np.float32)
    return weights


def check_weights(weights: Mapping[str, AnyArray], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Raise unless `weights` has exactly the expected names and shapes.

    Args:
        weights: canonical name -> array.
        expected: canonical name -> shape.

    Raises:
        DamagedArchiveError: a name is missing or unknown, or a shape differs.
    """
    for name in expected:
        if name not in weights:
            raise DamagedArchiveError(
                f"The weights lack '{name}'. They belong to another model configuration or are incomplete; "
                "use the configuration stored in the same archive."
            )
    for name, array in weights.items():
        if name not in expected:
            raise DamagedArchiveError(
                f"The weights hold '{name}', which this model does not have.{nearest_name(name, expected)} "
                "Use the configuration stored in the same archive."
            )
        if tuple(array.shape) != tuple(expected[name]):
            raise DamagedArchiveError(
                f"Weight '{name}' has shape {tuple(array.shape)}; this model needs {tuple(expected[name])}. "
                "Use the configuration stored in the same archive."
            )
