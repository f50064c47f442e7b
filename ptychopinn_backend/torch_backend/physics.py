"""The forward model in PyTorch; the formulas are those of `physics.placement` and `physics.far_field`."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional

from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.physics.far_field import centring_signs, smoothing_kernel
from ptychopinn_backend.physics.forward import forward_constants
from ptychopinn_backend.physics.placement import MINIMUM_COVERAGE
from ptychopinn_backend.torch_backend.placement import coverage, placement


class Patches(NamedTuple):
    """Complex object patches as two float32 tensors."""

    real: Tensor
    """(group, channel, N, N)."""
    imaginary: Tensor
    """(group, channel, N, N)."""


def group_patches(
    network_patches: Patches, local_offsets: Tensor, canvas_px: int, model: ModelConfig, weights: Tensor | None
) -> Patches:
    """Return the patch every position of a group sees, consistent within the group (`physics.forward.group_patches`).

    Args:
        network_patches: one patch per channel with object_big, else one per group.
        local_offsets: (group, 1, 2, channel), pixels.
        canvas_px: canvas side.
        model: the configuration.
        weights: weight of every patch pixel, (group or 1, N, N), or None for all ones.

    Returns:
        One patch per channel.
    """
    if model.channels == 1:
        return network_patches
    placed = placement(local_offsets, canvas_px, model.N)
    if model.object_big:
        images = torch.stack(network_patches, dim=2)
        # No weight depends on the network, so the sum of weights needs no gradient.
        if weights is None:
            total_weight = coverage(local_offsets, canvas_px, model.N)
        else:
            weight = weights[:, None, None]
            images = images * weight
            total_weight = placed.place(weight.expand_as(images[:, :, :1]))
        canvases = placed.place(images) / total_weight.clamp_min(MINIMUM_COVERAGE)
    else:
        margin = (canvas_px - model.N) // 2
        canvases = functional.pad(torch.cat(network_patches, dim=1), (margin,) * 4)
    return Patches(*placed.cut(canvases).unbind(2))


class FarField(torch.nn.Module):
    """From patches and probes to far-field intensity, zero frequency at the array centre.

    A checkerboard of signs on the exit wave moves the zero frequency to the centre, so that neither the transform nor
    its gradient needs a shift; the smoothing kernel carries the same signs.
    """

    def __init__(self, model: ModelConfig) -> None:
        """Prepare the constants.

        Args:
            model: the configuration.
        """
        super().__init__()
        constants = forward_constants(model)
        factor = torch.from_numpy(centring_signs(model.N)) / model.N
        if constants.probe_mask is not None:
            factor = factor * torch.from_numpy(constants.probe_mask)
        self.register_buffer("_probe_factor", factor, persistent=False)
        kernel = None
        if constants.smoothing_sigma_px > 0:
            smoothing = torch.from_numpy(smoothing_kernel(constants.smoothing_sigma_px))
            kernel = (smoothing.float() * torch.from_numpy(centring_signs(3)))[None, None]
        self.register_buffer("_kernel", kernel, persistent=False)

    def illumination(self, probes: Tensor) -> Tensor:
        """Return probes with mask, signs and the 1/N of the unitary transform applied, complex (scan, mode, N, N)."""
        return probes * self.get_buffer("_probe_factor")

    def forward(self, patches: Patches, illumination: Tensor) -> Tensor:
        """Return sum over modes |F(P_m O)|^2.

        Args:
            patches: one patch per channel.
            illumination: of every group or of all, (group or 1, mode, N, N) complex.

        Returns:
            (group, channel, N, N) float32.
        """
        waves = torch.complex(*patches)[:, :, None] * illumination[:, None]
        if self._kernel is not None:
            waves = self._smooth(waves)
        return far_field_intensity(waves)

    def _smooth(self, waves: Tensor) -> Tensor:
        images = torch.view_as_real(waves).movedim(-1, 0)
        flat = images.reshape(-1, 1, *waves.shape[-2:])
        smooth = functional.conv2d(flat, self.get_buffer("_kernel"), padding=1).view(images.shape)
        return torch.complex(smooth[0], smooth[1])


def far_field_intensity(waves: Tensor) -> Tensor:
    """Return the sum over modes of |F(wave)|^2, F being the transform without a factor.

    Args:
        waves: complex (group, channel, mode, N, N).

    Returns:
        (group, channel, N, N).
    """
    return cast(Tensor, _FarFieldIntensity.apply(waves))  # type: ignore[no-untyped-call]


class _FarFieldIntensity(torch.autograd.Function):
    """Its gradient is 2 F^H(g F(wave)); that of the parts takes twice as many passes over the waves."""

    @staticmethod
    def forward(ctx: Any, waves: Tensor) -> Tensor:
        spectrum = torch.fft.fft2(waves)
        ctx.save_for_backward(spectrum)
        by_mode: Tensor = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)
        return by_mode[:, :, 0] if by_mode.shape[2] == 1 else by_mode.sum(dim=2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (spectrum,) = ctx.saved_tensors
        waves: Tensor = torch.fft.ifft2(spectrum * (2 * gradients[0])[:, :, None], norm="forward")
        return waves
