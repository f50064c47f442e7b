"""Loss terms in PyTorch; the formulas are those of `physics.losses`, the names those of `LossWeights`."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from ptychopinn_backend.physics.losses import INTENSITY_FLOOR, MODULUS_FLOOR
from ptychopinn_backend.torch_backend.physics import Patches


def weighted_mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean over groups of sum(weights * values) / sum(weights) of each.

    Args:
        values: (group, channel, N, N).
        weights: broadcastable to them, or None for all ones.

    Returns:
        Scalar.
    """
    if weights is None:
        return values.mean()
    axes = (1, 2, 3)
    return ((values * weights).sum(axes) / weights.expand_as(values).sum(axes)).mean()


def poisson_nll(intensity: Tensor, target: Tensor, valid: Tensor | None) -> Tensor:
    """Return the mean of p - t log p.

    Args:
        intensity: predicted intensity p in counts, (group, channel, N, N).
        target: measured amplitude sqrt(t), same shape.
        valid: pixels that count, or None for all.

    Returns:
        Scalar.
    """
    return weighted_mean(poisson_terms(intensity, target.square()), valid)


def poisson_terms(intensity: Tensor, counts: Tensor) -> Tensor:
    """Return p - t log p of every pixel.

    Args:
        intensity: predicted intensity p in counts.
        counts: measured counts t, same shape; no gradient goes there.

    Returns:
        That shape.
    """
    return cast(Tensor, _PoissonTerms.apply(intensity, counts))  # type: ignore[no-untyped-call]


class _PoissonTerms(torch.autograd.Function):
    """Its gradient is 1 - t / p; that of the parts takes twice as many passes over the patterns."""

    @staticmethod
    def forward(ctx: Any, intensity: Tensor, counts: Tensor) -> Tensor:
        floored = intensity + INTENSITY_FLOOR
        ctx.save_for_backward(floored, counts)
        return torch.addcmul(intensity, counts, torch.log(floored), value=-1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        floored, counts = ctx.saved_tensors
        return (1 - counts / floored).mul_(gradients[0]), None


def amplitude_mae(intensity: Tensor, target: Tensor, valid: Tensor | None) -> Tensor:
    """Return the mean absolute error of the far-field amplitude.

    Args:
        intensity: predicted intensity in counts, (group, channel, N, N).
        target: measured amplitude, same shape.
        valid: pixels that count, or None for all.

    Returns:
        Scalar.
    """
    return weighted_mean((torch.sqrt(intensity + MODULUS_FLOOR) - target).abs(), valid)


def amplitude_mse(intensity: Tensor, target: Tensor, valid: Tensor | None) -> Tensor:
    """Return the mean squared error of the far-field amplitude.

    Args:
        intensity: predicted intensity in counts, (group, channel, N, N).
        target: measured amplitude, same shape.
        valid: pixels that count, or None for all.

    Returns:
        Scalar.
    """
    return weighted_mean((torch.sqrt(intensity + MODULUS_FLOOR) - target).square(), valid)


def normalised_amplitude_mae(intensity: Tensor, target: Tensor, valid: Tensor | None) -> Tensor:
    """Return the mean absolute difference of amplitudes divided by their own root mean square, pattern by pattern.

    Args:
        intensity: predicted intensity in counts, (group, channel, N, N).
        target: measured amplitude, same shape.
        valid: pixels that count, or None for all.

    Returns:
        Scalar.
    """

    def by_own_size(values: Tensor) -> Tensor:
        if valid is None:
            power = values.square().mean(dim=(2, 3), keepdim=True)
        else:
            power = (values.square() * valid).sum(dim=(2, 3), keepdim=True) / valid.sum(dim=(2, 3), keepdim=True)
        return values / torch.sqrt(power + MODULUS_FLOOR)

    return weighted_mean((by_own_size(torch.sqrt(intensity + MODULUS_FLOOR)) - by_own_size(target)).abs(), valid)


def _modulus(real: Tensor, imaginary: Tensor) -> Tensor:
    return torch.sqrt(real.square() + imaginary.square() + MODULUS_FLOOR)


def complex_mae(patches: Patches, labels: Tensor, window: Tensor) -> Tensor:
    """Return the mean modulus of the complex error inside a window.

    Args:
        patches: one patch a channel.
        labels: complex (group, channel, N, N).
        window: (N, N) weight.

    Returns:
        Scalar.
    """
    error = _modulus(patches.real - labels.real, patches.imaginary - labels.imag)
    return weighted_mean(error, window)


def total_variation(patches: Patches) -> Tensor:
    """Return the mean modulus of neighbour differences along rows plus the same along columns.

    Args:
        patches: one patch a channel.

    Returns:
        Scalar.
    """
    along_rows, along_columns = (
        _modulus(torch.diff(patches.real, dim=axis), torch.diff(patches.imaginary, dim=axis)).mean()
        for axis in (-2, -1)
    )
    return along_rows + along_columns


def mean_deviation(patches: Patches) -> Tensor:
    """Return the mean absolute deviation of the patch amplitude from its mean over each patch.

    Args:
        patches: one patch a channel.

    Returns:
        Scalar.
    """
    amplitude = _modulus(*patches)
    return (amplitude - amplitude.mean(dim=(-2, -1), keepdim=True)).abs().mean()
