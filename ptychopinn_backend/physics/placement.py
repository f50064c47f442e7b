"""Bilinear placement of patches into the frame of their group, and its adjoint, extraction.

Both are separable: one matrix for rows, one for columns, W[i, j] = hat(i - j - margin - shift) with
hat(u) = max(0, 1 - |u|). Placing is W p W^T, extracting with the same matrices is W^T c W, so the two are exactly
adjoint, and the formula is differentiable in any framework without gathers. Nearly all of W is zero; here and on
processors the few pixels that are not are added and read as windows of the canvas.
"""

from __future__ import annotations

import math

import numpy as np

from ptychopinn_backend.arrays import AnyArray, ComplexArray, FloatArray
from ptychopinn_backend.physics.object_patches import add_patches, extract_patches

MINIMUM_COVERAGE = 1e-3
"""Smallest sum of weights (largest weight 1) an average is divided by: what is known less well fades out, so that
values a network is free to choose in the dark never reach the far field."""


def canvas_size(N: int, max_local_offset_px: float) -> int:
    """Return the side of the square canvas that holds every patch of every group.

    Args:
        N: patch side in pixels.
        max_local_offset_px: largest absolute local offset in pixels.

    Returns:
        N plus twice the offset, rounded up to whole pixels.
    """
    return N + 2 * math.ceil(max_local_offset_px)


def interpolation_matrices(shift_px: FloatArray, n_out: int, n_in: int) -> FloatArray:
    """Return the matrices that move content of n_in pixels by a shift, centred in n_out pixels.

    Args:
        shift_px: shifts in pixels, any shape.
        n_out: output length; n_out - n_in must be even.
        n_in: input length.

    Returns:
        shift shape + (n_out, n_in).
    """
    margin = (n_out - n_in) / 2
    distance = (
        np.arange(n_out)[:, np.newaxis]
        - np.arange(n_in)[np.newaxis, :]
        - margin
        - np.asarray(shift_px)[..., np.newaxis, np.newaxis]
    )
    return np.asarray(np.maximum(0.0, 1.0 - np.abs(distance)))


def translate(images: AnyArray, shift_xy: FloatArray) -> AnyArray:
    """Move image content by (+dx columns, +dy rows), bilinear, zeros entering.

    Args:
        images: (image, row, column).
        shift_xy: (image, 2) in pixels, (dx, dy).

    Returns:
        (image, row, column), same type of number.
    """
    rows, columns = images.shape[1:]
    along_rows = interpolation_matrices(shift_xy[:, 1], rows, rows)
    along_columns = interpolation_matrices(shift_xy[:, 0], columns, columns)
    return np.asarray(along_rows @ images @ np.swapaxes(along_columns, -1, -2))


def patch_window(N: int, central_only: bool) -> FloatArray:
    """Return the 1-D weight of a patch along each axis: ones, or ones in the central N/2 only, (N,)."""
    window = np.ones(N)
    if central_only:
        window[: N // 4] = 0
        window[N - N // 4 :] = 0
    return window


def assemble_groups(
    patches: ComplexArray, local_offsets: FloatArray, canvas_px: int, weights: FloatArray
) -> ComplexArray:
    """Average the patches of every group on a canvas in the group frame, weighting sum and divisor alike.

    Args:
        patches: (group, N, N, channel).
        local_offsets: (group, 1, 2, channel), axis 2 = (x, y), pixels.
        canvas_px: canvas side, see `canvas_size`.
        weights: weight of every patch pixel, (group, N, N).

    Returns:
        (group, canvas, canvas); zero where nothing covers.
    """
    images = np.moveaxis(patches, -1, 1)
    weight = np.broadcast_to(weights[:, np.newaxis], images.shape)
    total = add_to_groups(images * weight, local_offsets, canvas_px)
    coverage = add_to_groups(weight, local_offsets, canvas_px)
    return np.asarray(total / np.maximum(coverage, MINIMUM_COVERAGE))


def extract_from_groups(canvases: ComplexArray, local_offsets: FloatArray, N: int) -> ComplexArray:
    """Cut the patch of every channel out of its group's canvas; the adjoint of placing.

    Args:
        canvases: (group, canvas, canvas).
        local_offsets: (group, 1, 2, channel), axis 2 = (x, y), pixels.
        N: patch side.

    Returns:
        (group, N, N, channel).
    """
    return np.moveaxis(cut_from_groups(canvases, local_offsets, N), 1, -1)


def add_to_groups(images: AnyArray, local_offsets: FloatArray, canvas_px: int) -> AnyArray:
    """Add the images of every group up on a canvas in the group frame, without matrices.

    Args:
        images: (group, channel, N, N), real or complex.
        local_offsets: (group, 1, 2, channel), axis 2 = (x, y), pixels.
        canvas_px: canvas side, see `canvas_size`.

    Returns:
        Of the type of the images (group, canvas, canvas); what falls outside of it is dropped.
    """
    canvases = np.zeros((len(images), canvas_px, canvas_px), images.dtype)
    for canvas, of_group, positions_xy in zip(canvases, images, _positions(local_offsets), strict=True):
        add_patches(canvas, of_group, (canvas_px / 2, canvas_px / 2), positions_xy)
    return canvases


def cut_from_groups(canvases: AnyArray, local_offsets: FloatArray, N: int) -> AnyArray:
    """Cut the image of every channel out of its group's canvas; the exact adjoint of `add_to_groups`.

    Args:
        canvases: (group, canvas, canvas), real or complex.
        local_offsets: (group, 1, 2, channel), axis 2 = (x, y), pixels.
        N: patch side.

    Returns:
        Of the type of the canvases (group, channel, N, N); zero where an image leaves its canvas.
    """
    groups, _, _, channels = local_offsets.shape
    images = np.empty((groups, channels, N, N), canvases.dtype)
    centre = canvases.shape[1] / 2
    for of_group, canvas, positions_xy in zip(images, canvases, _positions(local_offsets), strict=True):
        of_group[...] = extract_patches(canvas, (centre, centre), positions_xy, N)
    return images


def _positions(local_offsets: FloatArray) -> FloatArray:
    """Return where patches lie in the frame of their group, (group, channel, 2): position - mean = -local_offset."""
    return -np.swapaxes(np.asarray(local_offsets, np.float64)[:, 0], 1, 2)
