"""Placement of patches into the frames of their groups, and extraction; the formula is that of `physics.placement`.

A graphics processor does it by products with the hat-function matrices. On a processor their zeros cost more than the
whole physics: there a patch is spread over the pixels around it and added where it belongs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, cast

import torch
from torch import Tensor

Map: TypeAlias = Callable[[Tensor], Tensor]


class Placement(Protocol):
    """Moves the patches of a batch of groups; the two directions are exactly adjoint."""

    def place(self, images: Tensor) -> Tensor:
        """Add the images of every group up on a canvas.

        Args:
            images: (group, channel, plane, N, N).

        Returns:
            (group, plane, canvas, canvas).
        """
        ...

    def cut(self, canvases: Tensor) -> Tensor:
        """Cut the image of every channel out of the canvas of its group.

        Args:
            canvases: (group, plane, canvas, canvas).

        Returns:
            (group, channel, plane, N, N).
        """
        ...


def coverage(local_offsets: Tensor, canvas_px: int, N: int) -> Tensor:
    """Return what `Placement.place` makes of ones: how many patches of its group every pixel lies in.

    A square of ones is a product of its rows and its columns.

    Args:
        local_offsets: (group, 1, 2, channel), axis 2 = (x, y), pixels.
        canvas_px: canvas side.
        N: patch side.

    Returns:
        (group, 1, canvas, canvas) float32.
    """
    moved_by = local_offsets[:, 0, :, :, None]  # (group, x or y, channel, 1)
    # Whole numbers first: what is left at the edge, a fraction of a pixel, then keeps all its digits.
    pixel = torch.arange(canvas_px, device=local_offsets.device) - (canvas_px - N) // 2
    inside = torch.minimum(pixel + 1 + moved_by, N - pixel - moved_by).clamp(0, 1)
    columns, rows = inside.unbind(1)
    return (rows.mT @ columns)[:, None]


def placement(local_offsets: Tensor, canvas_px: int, N: int) -> Placement:
    """Return how to move the patches of a batch of groups on its device.

    Args:
        local_offsets: (group, 1, 2, channel), axis 2 = (x, y), pixels.
        canvas_px: canvas side.
        N: patch side.

    Returns:
        The way that is fast there.
    """
    if local_offsets.device.type == "cpu":
        windows = WindowPlacement.fitting(local_offsets, canvas_px, N)
        if windows is not None:
            return windows
    return MatrixPlacement(local_offsets, canvas_px, N)


def _interpolation_matrices(shift_px: Tensor, n_out: int, n_in: int) -> Tensor:
    margin = (n_out - n_in) // 2
    out_index = torch.arange(n_out, device=shift_px.device, dtype=torch.float32)
    in_index = torch.arange(n_in, device=shift_px.device, dtype=torch.float32)
    lag = out_index[:, None] - in_index - margin
    return (1 - (lag - shift_px[..., None, None]).abs()).clamp_min(0)


class MatrixPlacement:
    """Two batched products; the sum over channels is part of one of them."""

    def __init__(self, local_offsets: Tensor, canvas_px: int, N: int) -> None:
        """Compute the matrices.

        Args:
            local_offsets: (group, 1, 2, channel), axis 2 = (x, y), pixels.
            canvas_px: canvas side.
            N: patch side.
        """
        self._N, self._canvas_px = N, canvas_px
        self._along_rows = _interpolation_matrices(-local_offsets[:, 0, 1], canvas_px, N)
        along_columns = _interpolation_matrices(-local_offsets[:, 0, 0], canvas_px, N)
        # (group, canvas, channel * N)
        self._along_columns = along_columns.transpose(1, 2).reshape(len(local_offsets), canvas_px, -1)

    def place(self, images: Tensor) -> Tensor:
        """Add images up; see `Placement.place`."""
        groups, channels, planes, N = *images.shape[:3], self._N
        side_by_side = images.transpose(2, 3).reshape(groups, channels, N, planes * N)
        placed = (self._along_rows @ side_by_side).view(groups, channels, self._canvas_px, planes, N)
        stacked = placed.permute(0, 3, 2, 1, 4).reshape(groups, planes * self._canvas_px, channels * N)
        return (stacked @ self._along_columns.mT).view(groups, planes, self._canvas_px, self._canvas_px)

    def cut(self, canvases: Tensor) -> Tensor:
        """Cut images out; see `Placement.cut`."""
        (groups, planes), channels, N = canvases.shape[:2], self._along_rows.shape[1], self._N
        cut = canvases.reshape(groups, planes * self._canvas_px, self._canvas_px) @ self._along_columns
        by_channel = cut.view(groups, planes, self._canvas_px, channels, N).permute(0, 3, 2, 1, 4)
        images = self._along_rows.mT @ by_channel.reshape(groups, channels, self._canvas_px, planes * N)
        return images.view(groups, channels, N, planes, N).transpose(2, 3)


@dataclass(frozen=True)
class WindowPlacement:
    """Spreads every patch over four neighbouring pixels, and adds or reads windows of the canvas one by one."""

    starts: list[list[int]]
    """Where the (N + 1) x (N + 1) pixels around a patch begin in a canvas row by row, for every group and channel."""
    fractions: tuple[Tensor, Tensor]
    """Of a pixel by which a patch begins after its window, along rows and columns, (group, channel, 1, 1, 1) each."""
    canvas_px: int
    """Canvas side."""
    N: int
    """Patch side."""

    @classmethod
    def fitting(cls, local_offsets: Tensor, canvas_px: int, N: int) -> WindowPlacement | None:
        """Return where the windows lie.

        Args:
            local_offsets: (group, 1, 2, channel), axis 2 = (x, y), pixels.
            canvas_px: canvas side.
            N: patch side.

        Returns:
            The placement; None where a window would leave the canvas.
        """
        place = (canvas_px - N) // 2 - local_offsets[:, 0].flip(1).double()  # (group, row or column, channel)
        # A patch of whole pixels that ends with the canvas begins its window a pixel before.
        first = place.floor().clamp_max(canvas_px - N - 1)
        fraction = place - first
        if not ((first >= 0).all() and (fraction <= 1).all()):
            return None
        rows, columns = fraction.float()[..., None, None, None].unbind(1)
        starts = first[:, 0] * canvas_px + first[:, 1]
        return cls(starts.int().tolist(), (rows, columns), canvas_px, N)

    def place(self, images: Tensor) -> Tensor:
        """Add images up; see `Placement.place`."""
        return cast(Tensor, _WithAdjoint.apply(images, self._place, self._cut))  # type: ignore[no-untyped-call]

    def cut(self, canvases: Tensor) -> Tensor:
        """Cut images out; see `Placement.cut`."""
        return cast(Tensor, _WithAdjoint.apply(canvases, self._cut, self._place))  # type: ignore[no-untyped-call]

    def _place(self, images: Tensor) -> Tensor:
        groups, channels, planes, N, _ = images.shape
        spread = images.new_zeros(groups, channels, planes, N + 1, N + 1)
        rows, columns = self.fractions
        for row, share_of_row in enumerate((1 - rows, rows)):
            for column, share_of_column in enumerate((1 - columns, columns)):
                corner = spread[..., row : row + N, column : column + N]
                corner.addcmul_(images, share_of_row * share_of_column)
        canvases = images.new_zeros(groups, planes, self.canvas_px, self.canvas_px)
        for window, values in zip(self._windows(canvases), spread.flatten(0, 1).unbind(), strict=True):
            window.add_(values)
        return canvases

    def _cut(self, canvases: Tensor) -> Tensor:
        (groups, planes), side = canvases.shape[:2], self.N + 1
        windows = torch.stack(self._windows(canvases.contiguous())).view(groups, -1, planes, side, side)
        rows, columns = self.fractions
        lines = torch.lerp(windows[..., :-1], windows[..., 1:], columns)
        return torch.lerp(lines[..., :-1, :], lines[..., 1:, :], rows)

    def _windows(self, canvases: Tensor) -> list[Tensor]:
        """Return what of the canvases lies around every patch, (plane, N + 1, N + 1) in their memory."""
        planes, row, plane = canvases.shape[1], self.canvas_px, self.canvas_px**2
        size, strides = (planes, self.N + 1, self.N + 1), (plane, row, 1)
        first = canvases.storage_offset()
        return [
            canvases.as_strided(size, strides, first + group * planes * plane + start)
            for group, starts in enumerate(self.starts)
            for start in starts
        ]


class _WithAdjoint(torch.autograd.Function):
    """A linear map whose gradient is its adjoint."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, apply: Map, adjoint: Map) -> Tensor:
        ctx.adjoint = adjoint
        return apply(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return ctx.adjoint(gradients[0]), None, None
