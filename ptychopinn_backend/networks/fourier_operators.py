"""Plans of the Fourier-operator generators 'fno_vanilla', 'fno', 'ffno', 'hybrid' and 'hybrid_resnet'.

A Fourier block sees the whole pattern at once: a complex matrix between feature maps for each of the lowest
frequencies. All generators begin with a lifting, a 1 x 1 convolution of the patterns and two maps of coordinates (row
and column from -1 to 1, because a Fourier block alone cannot tell where a pixel is), and end with two heads, 1 x 1
convolutions for the two parts of a patch. The activation is GELU. With w = fno_width, B = fno_blocks:

- fno_vanilla: lifting, B Fourier blocks of w maps, projection (1 x 1, 2w maps), heads; all at full resolution.
- fno: the same with fno_cnn_blocks residual blocks of 3 x 3 convolutions before the projection.
- ffno: factorised blocks, one axis at a time, instead of Fourier blocks.
- hybrid: B Fourier blocks, after each but the last 2 x 2 mean pooling, w, 2w, 4w ... maps up to max_hidden_channels;
  then up-sampling and fno_cnn_blocks 3 x 3 convolutions at each level, which also see the encoder's maps there.
- hybrid_resnet: the same encoder; fno_cnn_blocks residual blocks of resnet_width maps at the lowest resolution; then
  transposed convolutions, without connections to the encoder.

Sources: Li et al., Fourier Neural Operator for Parametric Partial Differential Equations, ICLR 2021; Tran et al.,
Factorized Fourier Neural Operators, ICLR 2023; He et al., Deep Residual Learning, CVPR 2016.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.networks.layers import Convolution, Layer, SpectralConvolution, TransposedConvolution

COORDINATE_MAPS: Final = 2
"""Maps with the row and the column of every pixel."""
HEADS: Final = {
    "real_imag": ("real", "imaginary"),
    "amp_phase": ("amplitude", "phase"),
    "amp_phase_logits": ("amplitude", "phase"),
}
"""generator_output_mode -> names of the two heads."""

ResidualPair = tuple[Convolution, Convolution]


@dataclass(frozen=True)
class FourierBlock:
    """gelu(spectral(x) + local(x))."""

    spectral: SpectralConvolution
    local: Convolution

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Everything with weights."""
        return self.spectral, self.local


@dataclass(frozen=True)
class FactorisedBlock:
    """x + contract(gelu(expand(rows(x) + columns(x)))): one feed-forward part for what both axes give."""

    rows: SpectralConvolution
    columns: SpectralConvolution
    expand: Convolution
    contract: Convolution

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Everything with weights."""
        return self.rows, self.columns, self.expand, self.contract


@dataclass(frozen=True)
class OperatorPlan:
    """'fno_vanilla', 'fno' and 'ffno': everything at full resolution."""

    lifting: Convolution
    blocks: tuple[FourierBlock | FactorisedBlock, ...]
    refiner: tuple[ResidualPair, ...]
    projection: Convolution
    heads: tuple[Convolution, Convolution]

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Everything with weights."""
        blocks = (layer for block in self.blocks for layer in block.layers)
        refiner = (layer for pair in self.refiner for layer in pair)
        return (self.lifting, *blocks, *refiner, self.projection, *self.heads)


@dataclass(frozen=True)
class HybridPlan:
    """'hybrid': Fourier encoder, convolutional decoder with connections between them; `up[0]` is the lowest level."""

    lifting: Convolution
    levels: tuple[FourierBlock, ...]
    up: tuple[tuple[Convolution, ...], ...]
    heads: tuple[Convolution, Convolution]

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Everything with weights."""
        blocks = (layer for level in self.levels for layer in level.layers)
        return (self.lifting, *blocks, *(layer for level in self.up for layer in level), *self.heads)


@dataclass(frozen=True)
class HybridResnetPlan:
    """'hybrid_resnet': Fourier encoder, residual bottleneck, transposed convolutions from the lowest level up."""

    lifting: Convolution
    levels: tuple[FourierBlock, ...]
    enter: Convolution
    bottleneck: tuple[ResidualPair, ...]
    up: tuple[TransposedConvolution, ...]
    heads: tuple[Convolution, Convolution]

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Everything with weights."""
        blocks = (layer for level in self.levels for layer in level.layers)
        bottleneck = (layer for pair in self.bottleneck for layer in pair)
        return (self.lifting, *blocks, self.enter, *bottleneck, *self.up, *self.heads)


def operator_plan(model: ModelConfig) -> OperatorPlan:
    """Return the plan of 'fno_vanilla', 'fno' or 'ffno'.

    Args:
        model: the configuration; N decides no more than how many modes there are.

    Returns:
        Layers with canonical names and map counts.
    """
    width = model.fno_width
    make = _factorised_block if model.architecture == "ffno" else _fourier_block
    refined = model.fno_cnn_blocks if model.architecture == "fno" else 0
    return OperatorPlan(
        _lifting(model),
        tuple(make(f"encoder/block{index}", width, width, model.N, model) for index in range(model.fno_blocks)),
        tuple(_residual_pair(f"refiner/block{index}", width) for index in range(refined)),
        Convolution("projection", width, 2 * width, size=1),
        _heads(2 * width, model),
    )


def hybrid_plan(model: ModelConfig) -> HybridPlan:
    """Return the plan of 'hybrid'.

    Args:
        model: the configuration.

    Returns:
        Layers with canonical names and map counts.
    """
    widths = level_widths(model)
    up = []
    for level in reversed(range(model.fno_blocks - 1)):
        maps = [widths[level + 1] + widths[level]] + [widths[level]] * (model.fno_cnn_blocks - 1)
        up.append(tuple(Convolution(f"up{level}/conv{k}", seen, widths[level]) for k, seen in enumerate(maps)))
    return HybridPlan(_lifting(model), _levels(widths, model), tuple(up), _heads(widths[0], model))


def hybrid_resnet_plan(model: ModelConfig) -> HybridResnetPlan:
    """Return the plan of 'hybrid_resnet'.

    Args:
        model: the configuration.

    Returns:
        Layers with canonical names and map counts.
    """
    widths = level_widths(model)
    width = model.resnet_width or widths[-1]
    up = []
    maps = width
    for level in reversed(range(model.fno_blocks - 1)):
        up.append(TransposedConvolution(f"up{level}", maps, widths[level]))
        maps = widths[level]
    return HybridResnetPlan(
        _lifting(model),
        _levels(widths, model),
        Convolution("bottleneck/enter", widths[-1], width, size=1),
        tuple(_residual_pair(f"bottleneck/block{index}", width) for index in range(model.fno_cnn_blocks)),
        tuple(up),
        _heads(maps, model),
    )


def level_widths(model: ModelConfig) -> tuple[int, ...]:
    """Return the feature maps of every level of a hybrid, from full resolution down."""
    widths = (model.fno_width * 2**level for level in range(model.fno_blocks))
    return tuple(min(width, model.max_hidden_channels or width) for width in widths)


def _lifting(model: ModelConfig) -> Convolution:
    width = model.fno_width
    if model.architecture in ("hybrid", "hybrid_resnet"):
        width = level_widths(model)[0]
    return Convolution("encoder/lifting", model.channels + COORDINATE_MAPS, width, size=1)


def _levels(widths: tuple[int, ...], model: ModelConfig) -> tuple[FourierBlock, ...]:
    seen = (widths[0], *widths)
    return tuple(
        _fourier_block(f"encoder/level{level}", seen[level], width, model.N >> level, model)
        for level, width in enumerate(widths)
    )


def _modes(side: int, model: ModelConfig) -> int:
    return min(model.fno_modes, side // 2)


def _fourier_block(name: str, in_maps: int, out_maps: int, side: int, model: ModelConfig) -> FourierBlock:
    modes = _modes(side, model)
    return FourierBlock(
        SpectralConvolution(f"{name}/spectral", in_maps, out_maps, modes, modes),
        Convolution(f"{name}/local", in_maps, out_maps, size=1),
    )


def _factorised_block(name: str, in_maps: int, out_maps: int, side: int, model: ModelConfig) -> FactorisedBlock:
    modes = _modes(side, model)
    return FactorisedBlock(
        SpectralConvolution(f"{name}/rows", in_maps, in_maps, modes, 0),
        SpectralConvolution(f"{name}/columns", in_maps, in_maps, 0, modes),
        Convolution(f"{name}/expand", in_maps, 2 * in_maps, size=1),
        Convolution(f"{name}/contract", 2 * in_maps, out_maps, size=1),
    )


def _residual_pair(name: str, width: int) -> ResidualPair:
    return Convolution(f"{name}/conv0", width, width), Convolution(f"{name}/conv1", width, width)


def _heads(maps: int, model: ModelConfig) -> tuple[Convolution, Convolution]:
    # Zero kernels: training starts from vacuum (real_imag), or from amplitude activation(0) and phase 0.
    names = HEADS[model.generator_output_mode]
    out_maps = model.channels if model.object_big else 1
    first, second = (
        Convolution(f"head/{name}", maps, out_maps, size=1, zero=True, bias_start=float(name == "real"))
        for name in names
    )
    return first, second
