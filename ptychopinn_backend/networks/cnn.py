"""Plan of the 'cnn' generator: one encoder, an amplitude and a phase decoder, no skip connections.

All convolutions are 3 x 3, 'same', with bias. With s = n_filters_scale and N = 64 the encoder has 32s, 64s, 128s maps,
the decoders 64s, 32s; larger N adds stages (see `encoder_widths`). Every encoder stage is conv-relu, conv-relu,
2 x 2 max-pool; every decoder stage conv-relu, conv-relu, nearest-neighbour up-sampling by 2, so that decoders end at
N/2. The head then fills the central N/2 (pad_object) or, by one more up-sampling, all of N.

The two decoders give amplitude and phase of a patch, or, with cnn_output_mode = 'real_imag', its real and imaginary
part, by heads without activation whose real part starts at 1. With shared_decoder both heads stand on the same stages.

Further options, all off by default: batch normalisation between each such convolution and its relu (not after the last
convolution of a head); attention on what a stage's convolutions give, before pooling or up-sampling, in the order ECA,
CBAM, spatial; a CBAM on what the encoder gives (`cbam_bottleneck`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.networks.attention import (
    Attention,
    block_attention,
    efficient_channel_attention,
    spatial_attention,
)
from ptychopinn_backend.networks.layers import BatchNormalisation, Convolution, Layer

BRANCHES: Final = {"amp_phase": ("amplitude", "phase"), "real_imag": ("real", "imaginary")}
"""cnn_output_mode -> canonical prefixes of the two decoders."""
SHARED_DECODER: Final = "decoder"
"""Canonical prefix of stages that both heads stand on."""
ENCODER_PREFIX: Final = "encoder/"
"""Canonical names of the encoder's weights begin so."""
BOTTLENECK: Final = "encoder/bottleneck"
"""Canonical prefix of what acts on the maps the encoder gives."""


@dataclass(frozen=True)
class DecoderPlan:
    """One decoder with its head; `centre` with pad_object, `border` with probe_big too, `full` without pad_object.

    Of the maps the decoder gives, `centre` takes the first and `border` the others.
    """

    stages: tuple[tuple[Convolution, Convolution], ...]
    centre: Convolution | None
    border: tuple[Convolution, Convolution, Convolution] | None
    full: tuple[Convolution, Convolution, Convolution] | None


@dataclass(frozen=True)
class CnnPlan:
    """The whole network."""

    encoder: tuple[tuple[Convolution, Convolution], ...]
    decoders: tuple[DecoderPlan, DecoderPlan]
    """For amplitude and phase, or for real and imaginary part; with shared_decoder both have the same stages."""
    out_channels: int
    normalisations: dict[str, BatchNormalisation] = field(default_factory=dict)
    """Name of a convolution -> what stands between it and its relu."""
    attention: dict[str, tuple[Attention, ...]] = field(default_factory=dict)
    """Prefix of a stage, or 'encoder/bottleneck', -> what acts on its maps, in order."""

    @property
    def convolutions(self) -> tuple[Convolution, ...]:
        """Every convolution of the network."""
        found = [convolution for stage in self.encoder for convolution in stage]
        for decoder in self.decoders:
            found += [convolution for stage in decoder.stages for convolution in stage]
            found += [decoder.centre] if decoder.centre else []
            found += [*(decoder.border or ()), *(decoder.full or ())]
        return tuple({convolution.name: convolution for convolution in found}.values())

    @property
    def shares_decoder(self) -> bool:
        """Whether both heads stand on the same stages."""
        return self.decoders[0].stages == self.decoders[1].stages

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Everything with weights."""
        gates = (layer for items in self.attention.values() for item in items for layer in item.layers)
        return (*self.convolutions, *self.normalisations.values(), *gates)


def encoder_widths(N: int, n_filters_scale: int) -> tuple[int, ...]:
    """Return the feature maps of the encoder stages: 2048/N, doubling up to 128, times n_filters_scale."""
    widths = []
    width = 2048 // N
    while width <= 128:
        widths.append(width * n_filters_scale)
        width *= 2
    return tuple(widths)


def decoder_widths(N: int, n_filters_scale: int) -> tuple[int, ...]:
    """Return the feature maps of the decoder stages: one stage fewer than the encoder, N halving down to 32."""
    stages = len(encoder_widths(N, n_filters_scale)) - 1
    return tuple(32 * 2**k * n_filters_scale for k in reversed(range(stages)))


def _pair(prefix: str, in_channels: int, width: int) -> tuple[Convolution, Convolution]:
    return (
        Convolution(f"{prefix}/conv0", in_channels, width),
        Convolution(f"{prefix}/conv1", width, width),
    )


def _block(
    prefix: str, in_channels: int, width: int, out: int, start: float
) -> tuple[Convolution, Convolution, Convolution]:
    return (*_pair(prefix, in_channels, width), Convolution(f"{prefix}/conv2", width, out, bias_start=start))


def _decoder(branch: str, in_channels: int, out_channels: int, model: ModelConfig) -> DecoderPlan:
    stages = []
    prefix = SHARED_DECODER if model.shared_decoder else branch
    for index, width in enumerate(decoder_widths(model.N, model.n_filters_scale)):
        stages.append(_pair(f"{prefix}/stage{index}", in_channels, width))
        in_channels = width
    start = float(branch == "real")
    head_width = model.border_width or model.n_filters_scale * 2048 // model.N
    if not model.pad_object:
        full = _block(f"{branch}/full", in_channels, head_width, out_channels, start)
        return DecoderPlan(tuple(stages), centre=None, border=None, full=full)
    centre = Convolution(f"{branch}/centre", in_channels - model.border_maps, out_channels, bias_start=start)
    border = None
    if model.probe_big:
        border = _block(f"{branch}/border", model.border_maps, head_width, out_channels, start)
    return DecoderPlan(tuple(stages), centre=centre, border=border, full=None)


def stage_prefix(stage: tuple[Convolution, Convolution]) -> str:
    """Return the canonical prefix of a stage, its key in `CnnPlan.attention`."""
    return stage[0].name.rpartition("/")[0]


def _normalisations(stages: list[tuple[Convolution, ...]], model: ModelConfig) -> dict[str, BatchNormalisation]:
    if not model.batch_norm:
        return {}
    convolutions = [convolution for stage in stages for convolution in stage[:2]]
    return {item.name: BatchNormalisation(f"{item.name}/norm", item.out_channels) for item in convolutions}


def _attention(
    encoder: list[tuple[Convolution, Convolution]], decoders: list[tuple[Convolution, Convolution]], model: ModelConfig
) -> dict[str, tuple[Attention, ...]]:
    chosen: dict[str, tuple[Attention, ...]] = {}
    for stages, eca, cbam in (
        (encoder, model.eca_encoder, model.cbam_encoder),
        (decoders, model.eca_decoder, model.cbam_decoder),
    ):
        for stage in stages:
            prefix, maps = stage_prefix(stage), stage[1].out_channels
            found: list[Attention] = [efficient_channel_attention(prefix, maps)] if eca else []
            found += [block_attention(prefix, maps)] if cbam else []
            if stages is decoders and model.spatial_decoder:
                found.append(spatial_attention(prefix, model.decoder_spatial_kernel))
            chosen[prefix] = tuple(found)
    if model.cbam_bottleneck:
        chosen[BOTTLENECK] = (block_attention(BOTTLENECK, encoder[-1][1].out_channels),)
    return {prefix: found for prefix, found in chosen.items() if found}


def cnn_plan(model: ModelConfig) -> CnnPlan:
    """Return the plan of the 'cnn' generator for a model configuration.

    Args:
        model: the configuration.

    Returns:
        Stages and heads with canonical names and channel counts.
    """
    encoder = []
    in_channels = model.channels
    for index, width in enumerate(encoder_widths(model.N, model.n_filters_scale)):
        encoder.append(_pair(f"encoder/stage{index}", in_channels, width))
        in_channels = width
    out_channels = model.channels if model.object_big else 1
    first, second = (_decoder(branch, in_channels, out_channels, model) for branch in BRANCHES[model.cnn_output_mode])
    stages = list(dict.fromkeys((*first.stages, *second.stages)))
    blocks = [block for decoder in (first, second) for block in (decoder.border, decoder.full) if block]
    return CnnPlan(
        tuple(encoder),
        (first, second),
        out_channels,
        normalisations=_normalisations([*encoder, *stages, *blocks], model),
        attention=_attention(encoder, stages, model),
    )
