"""Placement of patches into the frames of their groups, and extraction; the formula is that of `physics.placement`.

A graphics processor does it by products with the hat-function matrices. On a processor their zeros cost more than the
whole physics: there NumPy spreads every patch over the pixels around it and adds it where it belongs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from ptychopinn_backend.physics.placement import add_to_groups, cut_from_groups
from ptychopinn_backend.tf_backend.framework import tf
from ptychopinn_backend.tf_backend.gradients import with_gradient


class Placement(Protocol):
    """Moves the patches of a batch of groups; the two directions are exactly adjoint."""

    def place(self, images: tf.Tensor) -> tf.Tensor:
        """Add the images of every group up on a canvas.

        Args:
            images: float32 or complex64 (group, channel, N, N).

        Returns:
            Of the same type (group, canvas, canvas).
        """
        ...

    def cut(self, canvases: tf.Tensor) -> tf.Tensor:
        """Cut the image of every channel out of the canvas of its group.

        Args:
            canvases: complex64 (group, canvas, canvas).

        Returns:
            complex64 (group, channel, N, N).
        """
        ...


class MatrixPlacement:
    """Two batched products."""

    def __init__(self, local_offsets: tf.Tensor, canvas_px: int, N: int) -> None:
        """Compute the matrices.

        Args:
            local_offsets: float32 (group, 1, 2, channel), axis 2 = (x, y), pixels.
            canvas_px: canvas side.
            N: patch side.
        """
        self._rows, self._columns = _interpolation_matrices(local_offsets, canvas_px, N)

    def place(self, images: tf.Tensor) -> tf.Tensor:
        """Add images up; see `Placement.place`."""
        return _of_parts(self._place, images)

    def cut(self, canvases: tf.Tensor) -> tf.Tensor:
        """Cut images out; see `Placement.cut`."""
        return _of_parts(self._cut, canvases[:, None])

    def _place(self, parts: tf.Tensor) -> tf.Tensor:
        placed = tf.matmul(self._rows[:, :, None], tf.matmul(parts, self._columns[:, :, None], transpose_b=True))
        return tf.reduce_sum(placed, axis=1)

    def _cut(self, parts: tf.Tensor) -> tf.Tensor:
        return tf.matmul(tf.matmul(self._rows[:, :, None], parts, transpose_a=True), self._columns[:, :, None])


class WindowPlacement:
    """Works on windows of the canvas one by one, in NumPy; not for graphics processors nor for XLA."""

    def __init__(self, local_offsets: tf.Tensor, canvas_px: int, N: int) -> None:
        """Keep where the windows lie.

        Args:
            local_offsets: float32 (group, 1, 2, channel), axis 2 = (x, y), pixels.
            canvas_px: canvas side.
            N: patch side.
        """
        self._local_offsets = local_offsets
        self._canvas_px, self._N = canvas_px, N

    def place(self, images: tf.Tensor) -> tf.Tensor:
        """Add images up; see `Placement.place`."""
        placed = _added(images, self._local_offsets, self._canvas_px)
        return with_gradient(_PLACING, placed, images, self._local_offsets)

    def cut(self, canvases: tf.Tensor) -> tf.Tensor:
        """Cut images out; see `Placement.cut`."""
        return with_gradient(_CUTTING, _cut(canvases, self._local_offsets, self._N), canvases, self._local_offsets)


def _added(images: tf.Tensor, local_offsets: tf.Tensor, canvas_px: int) -> tf.Tensor:
    add = partial(add_to_groups, canvas_px=canvas_px)
    canvases = tf.numpy_function(add, (images, local_offsets), images.dtype, stateful=False)
    return tf.ensure_shape(canvases, (None, canvas_px, canvas_px))


def _cut(canvases: tf.Tensor, local_offsets: tf.Tensor, N: int) -> tf.Tensor:
    cut = partial(cut_from_groups, N=N)
    images = tf.numpy_function(cut, (canvases, local_offsets), canvases.dtype, stateful=False)
    return tf.ensure_shape(images, (None, local_offsets.shape[-1], N, N))


_PLACING, _CUTTING = "PtychopinnPlacing", "PtychopinnCutting"


@tf.RegisterGradient(_PLACING)
def _gradient_of_placing(operation: tf.Operation, upstream: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
    _placed, images, local_offsets = operation.inputs
    return None, _cut(upstream, local_offsets, images.shape[-1]), None


@tf.RegisterGradient(_CUTTING)
def _gradient_of_cutting(operation: tf.Operation, upstream: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
    _cut_out, canvases, local_offsets = operation.inputs
    return None, _added(upstream, local_offsets, canvases.shape[-1]), None


def _of_parts(apply: Callable[[tf.Tensor], tf.Tensor], images: tf.Tensor) -> tf.Tensor:
    """Apply a real linear map along axis 2 of (group, channel, part, row, column), and return the images it makes."""
    if not images.dtype.is_complex:
        return tf.squeeze(apply(images[:, :, None]), axis=-3)
    # Products of a real matrix with real and imaginary part cost half of complex ones.
    real, imaginary = tf.unstack(apply(tf.stack((tf.math.real(images), tf.math.imag(images)), axis=2)), axis=-3)
    return tf.complex(real, imaginary)


def _interpolation_matrices(local_offsets: tf.Tensor, n_out: int, n_in: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return W[i, j] = hat(i - j - margin - shift) for rows and columns, each (group, channel, n_out, n_in)."""
    margin = (n_out - n_in) // 2
    index = tf.range(n_out, dtype=tf.float32)[:, None] - tf.range(n_in, dtype=tf.float32)[None, :] - margin
    # A patch at `position` lies at position - mean = -local_offset in the group frame.
    shift = -tf.transpose(local_offsets[:, 0], (0, 2, 1))[..., None, None]
    matrices = tf.maximum(0.0, 1.0 - tf.abs(index - shift))
    return matrices[:, :, 1], matrices[:, :, 0]
