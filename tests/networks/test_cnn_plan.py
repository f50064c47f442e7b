"""The plan of the 'cnn' generator against the recorded layer shapes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.networks.cnn import cnn_plan, decoder_widths, encoder_widths

CASES = ("N64_gs1_nfs1", "N64_gs1_nfs2", "N64_gs2_nfs1", "N64_gs2_nfs2")


@pytest.mark.parametrize("case", CASES)
def test_layers_have_the_recorded_shapes(case: str, golden: Path) -> None:
    recorded = json.loads((golden / "network_shapes.json").read_text())[case]
    convolutions = cnn_plan(ModelConfig(**recorded["config"])).convolutions
    shapes = Counter((item.size, item.size, item.in_channels, item.out_channels) for item in convolutions)
    assert shapes == Counter(tuple(shape) for _, shape in recorded["convs"])
    parameters = sum(9 * item.in_channels * item.out_channels + item.out_channels for item in convolutions)
    assert parameters == recorded["count_params"]


@pytest.mark.parametrize(
    ("N", "encoder", "decoder"),
    [
        (32, (64, 128), (32,)),
        (64, (32, 64, 128), (64, 32)),
        (128, (16, 32, 64, 128), (128, 64, 32)),
        (256, (8, 16, 32, 64, 128), (256, 128, 64, 32)),
    ],
)
def test_widths_grow_with_the_pattern_side(N: int, encoder: tuple[int, ...], decoder: tuple[int, ...]) -> None:
    assert encoder_widths(N, 1) == encoder
    assert decoder_widths(N, 1) == decoder
    assert encoder_widths(N, 3) == tuple(3 * width for width in encoder)


def test_names_are_unique() -> None:
    names = [convolution.name for convolution in cnn_plan(ModelConfig(gridsize=2)).convolutions]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("options", "present"), [({}, {"centre", "border"}), ({"probe_big": False}, {"centre"})])
def test_heads_follow_the_options(options: dict[str, bool], present: set[str]) -> None:
    plan = cnn_plan(ModelConfig(**options))
    assert {head for head in ("centre", "border", "full") if getattr(plan.decoders[1], head) is not None} == present
    without_padding = cnn_plan(ModelConfig(pad_object=False, **options))
    assert without_padding.decoders[1].full is not None
    assert without_padding.decoders[1].centre is None
    assert without_padding.decoders[1].border is None
