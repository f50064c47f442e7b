"""The forward model in PyTorch; the formulas are those of `physics.placement` and `physics.far_field`."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.physics.far_field import smoothing_kernel
from ptychopinn_backend.physics.forward import forward_constants
from ptychopinn_backend.physics.placement import MINIMUM_COVERAGE


class Patches(NamedTuple):
    """Complex object patches as two float32 tensors."""

    real: Tensor
    """(group, channel, N, N)."""
    imaginary: Tensor
    """(group, channel, N, N)."""


def _interpolation_matrices(shift_px: Tensor, n_out: int, n_in: int) -> Tensor:
    margin = (n_out - n_in) // 2
    out_index = torch.arange(n_out, device=shift_px.device, dtype=torch.float32)
    in_index = torch.arange(n_in, device=shift_px.device, dtype=torch.float32)
    lag = out_index[:, None] - in_index - margin
    return (1 - (lag - shift_px[..., None, None]).abs()).clamp_min(0)


class GroupPlacement:
    """Placement of the patches of a batch of groups into the frames of their groups, and extraction.

    Both are products with hat-function matrices (`physics.placement`). Real and imaginary part lie side by side, so
    that each direction is one batched product, and the sum over channels is part of the second one.
    """

    def __init__(self, local_offsets: Tensor, canvas_px: int, N: int) -> None:
        """Compute the matrices.

        Args:
            local_offsets: (group, 1, 2, channel), axis 2 = (x, y), pixels.
            canvas_px: canvas side.
            N: patch side.
        """
        self._N, self._canvas_px = N, canvas_px
        self._along_rows = _interpolation_matrices(-local_offsets[:, 0, 1], canvas_px, N)
        self._along_columns = _interpolation_matrices(-local_offsets[:, 0, 0], canvas_px, N)

    def assemble(self, patches: Patches, weights: Tensor) -> Tensor:
        """Average the patches of every group, weighting sum and divisor alike.

        Args:
            patches: one patch a channel.
            weights: weight of every patch pixel, (group or 1, N, N).

        Returns:
            (group, 2 * canvas, canvas): real part above imaginary part.
        """
        groups, channels, N = *patches.real.shape[:2], self._N
        weight = weights[:, None].expand(groups, channels, N, N)
        placed = self._along_rows @ torch.cat((patches.real * weight, patches.imaginary * weight, weight), dim=-1)
        stacked = placed.view(groups, channels, self._canvas_px, 3, N).permute(0, 3, 2, 1, 4)
        total = stacked.reshape(groups, 3 * self._canvas_px, channels * N) @ self._stack(self._along_columns).mT
        coverage = total[:, 2 * self._canvas_px :].clamp_min(MINIMUM_COVERAGE)
        return total[:, : 2 * self._canvas_px] / coverage.repeat(1, 2, 1)

    def pad(self, patches: Patches) -> Tensor:
        """Return the single patch of every group in the middle of the canvas.

        Args:
            patches: one patch a group, (group, 1, N, N).

        Returns:
            (group, 2 * canvas, canvas): real part above imaginary part.
        """
        margin = (self._canvas_px - self._N) // 2
        return torch.cat([functional.pad(part[:, 0], (margin,) * 4) for part in patches], dim=1)

    def extract(self, canvases: Tensor) -> Patches:
        """Cut the patch of every channel out of its group's canvas.

        Args:
            canvases: (group, 2 * canvas, canvas): real part above imaginary part.

        Returns:
            The patches.
        """
        groups, channels, N = *self._along_rows.shape[:2], self._N
        cut = (canvases @ self._stack(self._along_columns)).view(groups, 2, self._canvas_px, channels, N)
        side_by_side = cut.permute(0, 3, 2, 1, 4).reshape(groups, channels, self._canvas_px, 2 * N)
        patches = self._along_rows.mT @ side_by_side
        return Patches(patches[..., :N], patches[..., N:])

    def _stack(self, matrices: Tensor) -> Tensor:
        # (group, channel, canvas, N) -> (group, canvas, channel * N)
        return matrices.transpose(1, 2).reshape(len(matrices), self._canvas_px, -1)


def group_patches(
    network_patches: Patches, local_offsets: Tensor, canvas_px: int, model: ModelConfig, weights: Tensor
) -> Patches:
    """Return the patch every position of a group sees, consistent within the group (`physics.forward.group_patches`).

    Args:
        network_patches: one patch a channel with object_big, else one a group.
        local_offsets: (group, 1, 2, channel), pixels.
        canvas_px: canvas side.
        model: the configuration.
        weights: weight of every patch pixel, (group or 1, N, N).

    Returns:
        One patch a channel.
    """
    if model.channels == 1:
        return network_patches
    placement = GroupPlacement(local_offsets, canvas_px, model.N)
    if not model.object_big:
        return placement.extract(placement.pad(network_patches))
    return placement.extract(placement.assemble(network_patches, weights))


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
        index = torch.arange(model.N)
        factor = (1 - 2 * ((index[:, None] + index) % 2)).float() / model.N
        if constants.probe_mask is not None:
            factor = factor * torch.from_numpy(constants.probe_mask)
        self.register_buffer("_probe_factor", factor, persistent=False)
        kernel = None
        if constants.smoothing_sigma_px > 0:
            signs = torch.tensor([[1.0, -1.0, 1.0], [-1.0, 1.0, -1.0], [1.0, -1.0, 1.0]])
            smoothing = torch.from_numpy(smoothing_kernel(constants.smoothing_sigma_px))
            kernel = (smoothing.float() * signs)[None, None]
        self.register_buffer("_kernel", kernel, persistent=False)

    def illumination(self, probes: Tensor) -> Tensor:
        """Return probes with mask, signs and the 1/N of the unitary transform applied, complex (scan, mode, N, N)."""
        return probes * self.get_buffer("_probe_factor")

    def forward(self, patches: Patches, illumination: Tensor) -> Tensor:
        """Return sum over modes |F(P_m O)|^2.

        Args:
            patches: one patch a channel.
            illumination: of every group or of all, (group or 1, mode, N, N) complex.

        Returns:
            (group, channel, N, N) float32.
        """
        waves = torch.complex(*patches)[:, :, None] * illumination[:, None]
        if self._kernel is not None:
            waves = self._smooth(waves)
        spectrum = torch.view_as_real(torch.fft.fft2(waves))
        return spectrum.square().sum(dim=(2, 5))

    def _smooth(self, waves: Tensor) -> Tensor:
        images = torch.view_as_real(waves).movedim(-1, 0)
        flat = images.reshape(-1, 1, *waves.shape[-2:])
        smooth = functional.conv2d(flat, self.get_buffer("_kernel"), padding=1).view(images.shape)
        return torch.complex(smooth[0], smooth[1])
