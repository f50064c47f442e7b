"""The layers plans are made of: canonical names and shapes of their weights, and how they start.

Both backends start from these arrays, so the same seed gives the same weights in each.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ptychopinn_backend.arrays import AnyArray

Shapes = dict[str, tuple[int, ...]]


class Layer(Protocol):
    """Anything with weights."""

    @property
    def name(self) -> str:
        """Canonical prefix of the weights."""

    @property
    def shapes(self) -> Shapes:
        """Canonical name -> shape."""

    def start(self, seed: int) -> dict[str, AnyArray]:
        """Return canonical name -> float32 array; a function of the seed and the name alone."""


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
    bias_start: float = 0.0
    """Value the bias starts at."""

    @property
    def kernel(self) -> str:
        """Canonical name of the kernel."""
        return f"{self.name}/kernel"

    @property
    def shapes(self) -> Shapes:
        """Canonical name -> shape."""
        return {
            self.kernel: (self.size, self.size, self.in_channels, self.out_channels),
            f"{self.name}/bias": (self.out_channels,),
        }

    def start(self, seed: int) -> dict[str, AnyArray]:
        """Return a Glorot-uniform kernel (zeros for a `zero` layer) and a constant bias.

        Args:
            seed: seed of the run.

        Returns:
            Canonical name -> float32 array.
        """
        (kernel, kernel_shape), (bias, bias_shape) = self.shapes.items()
        start = np.zeros(kernel_shape, np.float32) if self.zero else glorot_uniform(kernel_shape, kernel, seed)
        return {kernel: start, bias: np.full(bias_shape, self.bias_start, np.float32)}


@dataclass(frozen=True)
class TransposedConvolution:
    """One transposed convolution with stride 2 and bias, which doubles the side of its maps."""

    name: str
    """Canonical prefix; weights are `<name>/kernel` and `<name>/bias`."""
    in_channels: int
    out_channels: int
    size: int = 4
    """Kernel side in pixels; even, so that every pixel is reached by as many taps."""

    @property
    def shapes(self) -> Shapes:
        """Canonical name -> shape; the kernel is (height, width, out, in)."""
        kernel = (self.size, self.size, self.out_channels, self.in_channels)
        return {f"{self.name}/kernel": kernel, f"{self.name}/bias": (self.out_channels,)}

    def start(self, seed: int) -> dict[str, AnyArray]:
        """Return a Glorot-uniform kernel and a zero bias.

        Args:
            seed: seed of the run.

        Returns:
            Canonical name -> float32 array.
        """
        (kernel, kernel_shape), (bias, bias_shape) = self.shapes.items()
        return {kernel: glorot_uniform(kernel_shape, kernel, seed), bias: np.zeros(bias_shape, np.float32)}


@dataclass(frozen=True)
class ChannelConvolution:
    """One convolution along the axis of the feature maps, without bias."""

    name: str
    """Canonical prefix; the weight is `<name>/kernel`."""
    size: int
    """Neighbouring maps it sees; odd."""

    @property
    def shapes(self) -> Shapes:
        """Canonical name -> shape."""
        return {f"{self.name}/kernel": (1, self.size, 1, 1)}

    def start(self, seed: int) -> dict[str, AnyArray]:
        """Return a Glorot-uniform kernel.

        Args:
            seed: seed of the run.

        Returns:
            Canonical name -> float32 array.
        """
        return {name: glorot_uniform(shape, name, seed) for name, shape in self.shapes.items()}


@dataclass(frozen=True)
class SpectralConvolution:
    """A complex matrix between feature maps for each low frequency; the other frequencies are dropped.

    Source: Li et al., Fourier Neural Operator for Parametric Partial Differential Equations, ICLR 2021, and for one
    axis at a time Tran et al., Factorized Fourier Neural Operators, ICLR 2023.
    """

    name: str
    """Canonical prefix; weights are `<name>/kernel_real` and `<name>/kernel_imaginary`."""
    in_channels: int
    out_channels: int
    row_modes: int
    """Frequencies kept along the rows' axis; 0 leaves that axis untransformed."""
    column_modes: int
    """Frequencies kept along the columns' axis; 0 leaves that axis untransformed."""

    @property
    def shapes(self) -> Shapes:
        """Canonical name -> shape (row frequency, column frequency, in, out).

        With both axes transformed the row frequencies are 0 ... m - 1, -m ... -1; the real signal needs no negative
        frequencies along the last transformed axis.
        """
        rows = 2 * self.row_modes if self.column_modes else self.row_modes
        shape = (max(rows, 1), max(self.column_modes, 1), self.in_channels, self.out_channels)
        return {f"{self.name}/kernel_real": shape, f"{self.name}/kernel_imaginary": shape}

    def start(self, seed: int) -> dict[str, AnyArray]:
        """Return uniform values; with as many maps in as out, a kept frequency keeps its power.

        Args:
            seed: seed of the run.

        Returns:
            Canonical name -> float32 array; limit sqrt(3 / (in + out)) for either part.
        """
        limit = math.sqrt(3.0 / (self.in_channels + self.out_channels))
        return {name: _uniform(shape, limit, name, seed) for name, shape in self.shapes.items()}


@dataclass(frozen=True)
class BatchNormalisation:
    """Feature maps to zero mean and unit variance, then scale and shift; running statistics at inference."""

    name: str
    """Canonical prefix; weights are `<name>/scale`, `shift`, `mean` and `variance`, the last two not trained."""
    channels: int

    @property
    def shapes(self) -> Shapes:
        """Canonical name -> shape."""
        return {f"{self.name}/{part}": (self.channels,) for part in ("scale", "shift", "mean", "variance")}

    def start(self, seed: int) -> dict[str, AnyArray]:
        """Return ones for scale and variance, zeros for shift and mean.

        Args:
            seed: unused; nothing is random.

        Returns:
            Canonical name -> float32 array.
        """
        ones = (f"{self.name}/scale", f"{self.name}/variance")
        return {name: np.full(shape, float(name in ones), np.float32) for name, shape in self.shapes.items()}


def initial_weights(layers: Iterable[Layer], seed: int) -> dict[str, AnyArray]:
    """Return the starting weights of layers.

    Args:
        layers: those of a plan.
        seed: seed of the run.

    Returns:
        Canonical name -> float32 array.
    """
    weights: dict[str, AnyArray] = {}
    for layer in layers:
        weights.update(layer.start(seed))
    return weights


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
    return _uniform(shape, math.sqrt(6.0 / (height * width * (fan_in + fan_out))), name, seed)


def _uniform(shape: tuple[int, ...], limit: float, name: str, seed: int) -> AnyArray:
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return generator.uniform(-limit, limit, shape).astype(np.float32)
