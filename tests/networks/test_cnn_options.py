"""Where attention and batch normalisation stand in the plan of the cnn."""

from __future__ import annotations

import pytest

from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.config.generators import CNN_OPTIONS
from ptychopinn_backend.networks.attention import (
    BlockAttention,
    EfficientChannelAttention,
    SpatialAttention,
    efficient_channel_attention,
)
from ptychopinn_backend.networks.cnn import cnn_plan
from ptychopinn_backend.networks.layers import initial_weights

ENCODER = {"encoder/stage0", "encoder/stage1", "encoder/stage2"}
DECODERS = {f"{branch}/stage{index}" for branch in ("amplitude", "phase") for index in (0, 1)}


def test_without_options_the_plan_is_convolutions_alone() -> None:
    plan = cnn_plan(ModelConfig())
    assert plan.layers == plan.convolutions


@pytest.mark.parametrize(
    ("option", "places", "kind"),
    [
        ("eca_encoder", ENCODER, EfficientChannelAttention),
        ("cbam_encoder", ENCODER, BlockAttention),
        ("cbam_bottleneck", {"encoder/bottleneck"}, BlockAttention),
        ("cbam_decoder", DECODERS, BlockAttention),
        ("eca_decoder", DECODERS, EfficientChannelAttention),
        ("spatial_decoder", DECODERS, SpatialAttention),
    ],
)
def test_attention_stands_where_its_name_says(option: str, places: set[str], kind: type) -> None:
    plan = cnn_plan(ModelConfig(**{option: True}))
    assert set(plan.attention) == places
    assert all(len(found) == 1 and isinstance(found[0], kind) for found in plan.attention.values())
    assert plan.convolutions == cnn_plan(ModelConfig()).convolutions


def test_everything_together_in_order_with_unique_names() -> None:
    plan = cnn_plan(ModelConfig(decoder_spatial_kernel=5, **dict.fromkeys(CNN_OPTIONS, True)))
    names = [name for layer in plan.layers for name in layer.shapes]
    assert len(set(names)) == len(names)
    kinds = [type(item) for item in plan.attention["phase/stage1"]]
    assert kinds == [EfficientChannelAttention, BlockAttention, SpatialAttention]
    shapes = {name: shape for layer in plan.layers for name, shape in layer.shapes.items()}
    assert shapes["phase/stage1/spatial_attention/spatial/kernel"] == (5, 5, 2, 1)
    assert shapes["encoder/stage2/cbam/reduce/kernel"] == (1, 1, 256, 16)
    assert shapes["encoder/bottleneck/cbam/spatial/kernel"] == (7, 7, 2, 1)


@pytest.mark.parametrize("pad_object", [True, False])
def test_batch_normalisation_follows_every_convolution_but_the_last_of_a_head(pad_object: bool) -> None:
    plan = cnn_plan(ModelConfig(batch_norm=True, pad_object=pad_object))
    normalised = set(plan.normalisations)
    rest = {convolution.name for convolution in plan.convolutions} - normalised
    last = {"centre", "border/conv2"} if pad_object else {"full/conv2"}
    assert rest == {f"{branch}/{name}" for branch in ("amplitude", "phase") for name in last}


def test_one_decoder_has_two_heads() -> None:
    plan = cnn_plan(ModelConfig(shared_decoder=True, cbam_decoder=True))
    assert plan.shares_decoder
    assert not cnn_plan(ModelConfig()).shares_decoder
    assert set(plan.attention) == {"decoder/stage0", "decoder/stage1"}
    names = [convolution.name for convolution in plan.convolutions]
    assert len(names) == len(set(names))
    assert {name.split("/")[0] for name in names} == {"encoder", "decoder", "amplitude", "phase"}


def test_real_and_imaginary_part_start_from_vacuum() -> None:
    start = initial_weights(cnn_plan(ModelConfig(cnn_output_mode="real_imag")).layers, 1)
    for name in ("centre", "border/conv2"):
        assert (start[f"real/{name}/bias"], start[f"imaginary/{name}/bias"]) == (1, 0)
    assert start["real/border/conv1/bias"].max() == 0
    assert not any(name.startswith(("amplitude", "phase")) for name in start)


@pytest.mark.parametrize(("maps", "width"), [(1, 3), (7, None), (31, 40)])
def test_the_border_takes_the_last_maps(maps: int, width: int | None) -> None:
    plan = cnn_plan(ModelConfig(n_filters_scale=1, border_maps=maps, border_width=width))
    for decoder in plan.decoders:
        assert decoder.centre is not None
        assert decoder.border is not None
        assert (decoder.centre.in_channels, decoder.border[0].in_channels) == (32 - maps, maps)
        assert decoder.border[1].out_channels == decoder.border[2].in_channels == (width or 32)


@pytest.mark.parametrize(("maps", "size"), [(1, 1), (32, 3), (64, 3), (128, 5), (256, 5), (512, 5), (2048, 7)])
def test_reach_of_channel_attention_grows_with_the_maps(maps: int, size: int) -> None:
    assert efficient_channel_attention("a", maps).channel.size == size
