"""Gradients that are written out are those of their functions, by finite differences in double precision."""

from __future__ import annotations

import torch

from ptychopinn_backend.physics import loss_formulas
from ptychopinn_backend.torch_backend.losses import poisson_terms
from ptychopinn_backend.torch_backend.patch_generator import from_polar
from ptychopinn_backend.torch_backend.physics import far_field_intensity


def random(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(6)).requires_grad_()


def test_intensity_of_the_far_field() -> None:
    waves = random(2, 3, 2, 4, 4, dtype=torch.complex128)
    expected = torch.fft.fft2(waves).abs().square().sum(dim=2)
    torch.testing.assert_close(far_field_intensity(waves), expected)
    assert torch.autograd.gradcheck(far_field_intensity, waves)


def test_poisson_terms() -> None:
    intensity, counts = random(2, 2, 3, 4).abs().unbind()
    found = poisson_terms(intensity, counts.detach())
    expected = loss_formulas.poisson_terms(loss_formulas.NUMPY, intensity.detach().numpy(), counts.detach().numpy())
    torch.testing.assert_close(found.detach(), torch.from_numpy(expected))
    assert torch.autograd.gradcheck(poisson_terms, (intensity, counts.detach()))


def test_parts_of_amplitude_and_phase() -> None:
    amplitude, phase = random(2, 2, 3, 4).unbind()
    real, imaginary = from_polar(amplitude.abs(), phase)
    torch.testing.assert_close(torch.complex(real, imaginary), torch.polar(amplitude.abs(), phase))
    assert torch.autograd.gradcheck(from_polar, (amplitude, phase))
