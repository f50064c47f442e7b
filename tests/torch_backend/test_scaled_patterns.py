"""A factor on the patterns may be one on the first weights: the same patches and the same gradients."""

from __future__ import annotations

import pytest
import torch

from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.networks.backprojection_unet import INPUT_MAPS
from ptychopinn_backend.torch_backend.generators import build_generator
from ptychopinn_backend.torch_backend.patch_generator import PatchGenerator

TOLERANCE = 2e-5
"""Relative to the largest value: float32, rounded once more in other places, through nine convolutions."""
MAPS = {"cnn": 1, "backprojection_unet": INPUT_MAPS}


@pytest.mark.parametrize("architecture", MAPS)
def test_patches_and_gradients(architecture: str) -> None:
    model = ModelConfig(N=64, gridsize=2, n_filters_scale=1, architecture=architecture)
    generator = build_generator(model)
    assert type(generator).of_scaled is not PatchGenerator.of_scaled
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in generator.parameters():
            inputs = parameter[0].numel() if parameter.ndim > 1 else 100
            parameter.copy_(torch.randn(parameter.shape, generator=random) / inputs**0.5)
    patterns = torch.rand(2, model.channels * MAPS[architecture], 64, 64, generator=random)
    scale = torch.tensor(1.7, requires_grad=True)
    found = torch.stack(generator.of_scaled(patterns, scale))
    expected = torch.stack(PatchGenerator.of_scaled(generator, patterns, scale))
    leaves = (scale, *generator.parameters())
    direction = torch.randn(found.shape, generator=random)
    gradients = (torch.autograd.grad(patches, leaves, direction) for patches in (found, expected))
    for mine, theirs in [(found, expected), *zip(*gradients, strict=True)]:
        assert (mine - theirs).abs().max() <= TOLERANCE * theirs.abs().max()
