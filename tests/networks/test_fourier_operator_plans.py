"""Plans of the Fourier-operator generators: names, map counts, levels and modes."""

from __future__ import annotations

from typing import Any

import pytest

from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.networks.fourier_operators import (
    FactorisedBlock,
    FourierBlock,
    HybridPlan,
    HybridResnetPlan,
    OperatorPlan,
    hybrid_plan,
    hybrid_resnet_plan,
    level_widths,
    operator_plan,
)

PLANS = {
    "fno_vanilla": operator_plan,
    "fno": operator_plan,
    "ffno": operator_plan,
    "hybrid": hybrid_plan,
    "hybrid_resnet": hybrid_resnet_plan,
}


def plan_of(architecture: str, **options: Any) -> OperatorPlan | HybridPlan | HybridResnetPlan:
    return PLANS[architecture](ModelConfig(architecture=architecture, **options))


@pytest.mark.parametrize("architecture", PLANS)
def test_names_are_unique_and_the_encoder_is_named_as_such(architecture: str) -> None:
    names = [name for layer in plan_of(architecture, fno_cnn_blocks=3).layers for name in layer.shapes]
    assert len(set(names)) == len(names)
    encoder = {name for name in names if name.startswith("encoder/")}
    assert {name for name in names if "spectral" in name or "/rows" in name or "/columns" in name} < encoder
    assert not any(name.startswith("encoder/") for name in names if "head" in name)


@pytest.mark.parametrize("architecture", PLANS)
@pytest.mark.parametrize(("object_big", "patches"), [(True, 4), (False, 1)])
def test_lifting_and_heads_fit_the_group(architecture: str, object_big: bool, patches: int) -> None:
    plan = plan_of(architecture, gridsize=2, object_big=object_big)
    assert plan.lifting.in_channels == 4 + 2
    assert [head.out_channels for head in plan.heads] == [patches, patches]


@pytest.mark.parametrize(
    ("mode", "names", "starts"),
    [
        ("real_imag", ["head/real", "head/imaginary"], [1.0, 0.0]),
        ("amp_phase", ["head/amplitude", "head/phase"], [0.0, 0.0]),
        ("amp_phase_logits", ["head/amplitude", "head/phase"], [0.0, 0.0]),
    ],
)
def test_heads_are_named_by_the_output_mode(mode: str, names: list[str], starts: list[float]) -> None:
    heads = plan_of("fno", generator_output_mode=mode).heads
    assert [head.name for head in heads] == names
    assert [head.bias_start for head in heads] == starts
    assert all(head.zero for head in heads)


def test_the_refiner_is_what_fno_adds_to_fno_vanilla() -> None:
    plain, refined = plan_of("fno_vanilla", fno_cnn_blocks=3), plan_of("fno", fno_cnn_blocks=3)
    assert isinstance(plain, OperatorPlan)
    assert isinstance(refined, OperatorPlan)
    assert plain.refiner == ()
    assert len(refined.refiner) == 3
    assert refined.blocks == plain.blocks
    assert all(isinstance(block, FourierBlock) for block in plain.blocks)


def test_ffno_has_one_kernel_for_each_axis() -> None:
    plan = plan_of("ffno", fno_blocks=2, fno_modes=5, fno_width=7)
    assert isinstance(plan, OperatorPlan)
    assert len(plan.blocks) == 2
    for block in plan.blocks:
        assert isinstance(block, FactorisedBlock)
        assert set(block.rows.shapes.values()) == {(5, 1, 7, 7)}
        assert set(block.columns.shapes.values()) == {(1, 5, 7, 7)}


@pytest.mark.parametrize(("limit", "expected"), [(None, (8, 16, 32, 64)), (24, (8, 16, 24, 24)), (4, (4, 4, 4, 4))])
def test_maps_double_with_every_level_up_to_the_limit(limit: int | None, expected: tuple[int, ...]) -> None:
    options = {"architecture": "hybrid", "fno_width": 8, "fno_blocks": 4, "max_hidden_channels": limit}
    assert level_widths(ModelConfig(**options)) == expected
    plan = hybrid_plan(ModelConfig(**options))
    assert tuple(block.spectral.out_channels for block in plan.levels) == expected
    assert plan.lifting.out_channels == expected[0]
    # Each level of the decoder sees the maps from below and those of the encoder at its side.
    assert [level[0].in_channels for level in plan.up] == [
        below + beside for below, beside in zip(expected[:0:-1], expected[-2::-1], strict=True)
    ]


def test_modes_are_at_most_half_the_side_of_the_maps() -> None:
    plan = plan_of("hybrid_resnet", N=64, fno_blocks=4, fno_modes=12)
    assert isinstance(plan, HybridResnetPlan)
    assert [block.spectral.row_modes for block in plan.levels] == [12, 12, 8, 4]


@pytest.mark.parametrize(("width", "expected"), [(None, 64), (20, 20)])
def test_the_bottleneck_has_its_own_width(width: int | None, expected: int) -> None:
    plan = plan_of("hybrid_resnet", fno_width=16, fno_blocks=3, fno_cnn_blocks=2, resnet_width=width)
    assert isinstance(plan, HybridResnetPlan)
    assert plan.enter.in_channels == 64
    assert [pair[0].in_channels for pair in plan.bottleneck] == [expected, expected]
    assert [(layer.in_channels, layer.out_channels) for layer in plan.up] == [(expected, 32), (32, 16)]


@pytest.mark.parametrize("architecture", ["hybrid", "hybrid_resnet"])
def test_a_single_level_has_nothing_to_go_up(architecture: str) -> None:
    plan = plan_of(architecture, fno_blocks=1, fno_width=8, resnet_width=6)
    assert isinstance(plan, (HybridPlan, HybridResnetPlan))
    assert plan.up == ()
    assert plan.heads[0].in_channels == (8 if architecture == "hybrid" else 6)
