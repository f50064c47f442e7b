"""What the formulas of the loss (`physics.loss_formulas`) need of PyTorch."""

from __future__ import annotations

from typing import Any, Final, cast

import torch
from torch import Tensor

from ptychopinn_backend.physics.loss_formulas import INTENSITY_FLOOR, ArrayOperations


def poisson_terms(intensity: Tensor, counts: Tensor) -> Tensor:
    """Return p - t log p of every pixel: `loss_formulas.poisson_terms` with its gradient written out.

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


OPERATIONS: Final = ArrayOperations[Tensor](
    image_axes=(2, 3),
    sqrt=torch.sqrt,
    log=torch.log,
    absolute=torch.abs,
    square=torch.square,
    mean=torch.mean,
    mean_along=lambda values, axes: values.mean(axes, keepdim=True),
    sum_along=lambda values, axes: values.sum(axes, keepdim=True),
    broadcast=lambda values, like: values.expand_as(like),
    poisson_terms=poisson_terms,
)
