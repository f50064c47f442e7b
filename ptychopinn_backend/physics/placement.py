"""Bilinear placement of patches into the frame of their group, and its adjoint, extraction.

Both are separable, with one matrix for rows and one for columns: W[i, j] = hat(i - j - margin - shift), with
hat(u) = max(0, 1 - |u|). Placement is W p W^T, and extraction with the same matrices is W^T c W. So the two are exactly
adjoint, and the formula is differentiable in any framework without gathers. Nearly all of W is zero. The functions
here, and the backends on CPUs, add and read only the few other pixels, as windows of the canvas.
"""

from __future__ import annotations

import math

import numpy as np

from ptychopinn_backend.arrays import AnyArray, ComplexArray, FloatArray
from ptychopinn_backend.physics.object_patches import add_patches, extract_patches

MINIMUM_COVERAGE = 1e-3
"""Smallest sum of weights (the largest weight is 1) by which an average is divided.

Pixels that are known less well fade out. So values that a network is free to choose in the dark do not reach the far
field.
"""


def canvas_size(N: int, max_local_offset_px: float) -> int:
    """Return the side of the square canvas that holds every patch of every group.

    Args:
        N: patch side in pixels.
        max_local_offset_px: largest absolute local offset in pixels.

    Returns:
        N plus twice the offset, which is rounded up to whole pixels.
    """
    return N + 2 * math.ceil(max_local_offset_px)


def interpolation_matrices(shift_px: FloatArray, n_out: int, n_in: int) -> FloatArray:
    """Return the matrices that move n_in pixels by a shift, centred in n_out pixels.

    Args:
        shift_px: shifts in pixels, any shape.
        n_out: output length; n_out - n_in must be even.
        n_in: input length.

    Returns:
        Matrices, with the shape of the shifts and two more axes (n_out, n_in).
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
    """Move the content of images by (+dx columns, +dy rows), with bilinear values and zeros from outside.

    Args:
        images: images (image, row, column).
        shift_xy: shifts (dx, dy) in pixels (image, 2).

    Returns:
        Images (image, row, column).
    """
    rows, columns = images.shape[1:]
    along_rows = interpolation_matrices(shift_xy[:, 1], rows, rows)
    along_columns = interpolation_matrices(shift_xy[:, 0], columns, columns)
    return np.asarray(along_rows @ images @ np.swapaxes(along_columns, -1, -2))


def patch_window(N: int, central_only: bool) -> FloatArray:
    """Return the 1-D weight of a patch along each axis (N,): ones, or ones only in the central N/2."""
    window = np.ones(N)
    if central_only:
        window[: N // 4] = 0
        window[N - N // 4 :] = 0
    return window


def assemble_groups(
    patches: ComplexArray, local_offsets: FloatArray, canvas_px: int, weights: FloatArray
) -> ComplexArray:
    """Average the patches of every group on a canvas in the group frame, with the same weights in sum and divisor.

    Args:
        patches: patches (group, N, N, channel).
        local_offsets: local offsets (group, 1, 2, channel), axis 2 = (x, y), pixels.
        canvas_px: side of the canvas in pixels, see `canvas_size`.
        weights: weight of every patch pixel (group, N, N).

    Returns:
        Canvases (group, canvas, canvas); 0 at pixels without a patch.
    """
    images = np.moveaxis(patches, -1, 1)
    weight = np.broadcast_to(weights[:, np.newaxis], images.shape)
    total = add_to_groups(images * weight, local_offsets, canvas_px)
    coverage = add_to_groups(weight, local_offsets, canvas_px)
    return np.asarray(total / np.maximum(coverage, MINIMUM_COVERAGE))


def extract_from_groups(canvases: ComplexArray, local_offsets: FloatArray, N: int) -> ComplexArray:
    """Cut the patch of every channel out of the canvas of its group; this is the adjoint of placement.

    Args:
        canvases: canvases (group, canvas, canvas).
        local_offsets: local offsets (group, 1, 2, channel), axis 2 = (x, y), pixels.
        N: patch side in pixels.

    Returns:
        Patches (group, N, N, channel).
    """
    return np.moveaxis(cut_from_groups(canvases, local_offsets, N), 1, -1)


def add_to_groups(images: AnyArray, local_offsets: FloatArray, canvas_px: int) -> AnyArray:
    """Add the images of every group on a canvas in the group frame, without matrices.

    Args:
        images: images (group, channel, N, N), real or complex.
        local_offsets: local offsets (group, 1, 2, channel), axis 2 = (x, y), pixels.
        canvas_px: side of the canvas in pixels, see `canvas_size`.

    Returns:
        Canvases (group, canvas, canvas) of the images' type; parts of images outside are dropped.
    """
    canvases = np.zeros((len(images), canvas_px, canvas_px), images.dtype)
    for canvas, of_group, positions_xy in zip(canvases, images, _positions(local_offsets), strict=True):
        add_patches(canvas, of_group, (canvas_px / 2, canvas_px / 2), positions_xy)
    return canvases


def cut_from_groups(canvases: AnyArray, local_offsets: FloatArray, N: int) -> AnyArray:
    """Cut the image of every channel out of the canvas of its group; this is the exact adjoint of `add_to_groups`.

    Args:
        canvases: canvases (group, canvas, canvas), real or complex.
        local_offsets: local offsets (group, 1, 2, channel), axis 2 = (x, y), pixels.
        N: patch side in pixels.

    Returns:
        Images (group, channel, N, N) of the canvases' type; pixels outside the canvas are 0.
    """
    groups, _, _, channels = local_offsets.shape
    images = np.empty((groups, channels, N, N), canvases.dtype)
    centre = canvases.shape[1] / 2
    for of_group, canvas, positions_xy in zip(images, canvases, _positions(local_offsets), strict=True):
        of_group[...] = extract_patches(canvas, (centre, centre), positions_xy, N)
    return images


def _positions(local_offsets: FloatArray) -> FloatArray:
    """Return the places of patches in the frame of their group (group, channel, 2): position - mean = -local_offset."""
    return -np.swapaxes(np.asarray(local_offsets, np.float64)[:, 0], 1, 2)
