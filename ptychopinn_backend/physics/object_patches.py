"""Patches of an object at sub-pixel scan positions, and the exact adjoint that adds patches back onto a canvas.

A scan position is the centre of its patch: `patch[i, j] = object[row - N/2 + i, column - N/2 + j]`, with
`(row, column) = origin_rc + (y, x)`. Values between pixels are bilinear, and values outside the object are 0. The cost
of both directions is proportional to the area of the patches, and does not depend on the size of the object.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ptychopinn_backend.arrays import Float32Array, Float64Array, FloatArray, IntArray, require_shape
from ptychopinn_backend.errors import DataError

Scalar = TypeVar("Scalar", bound=np.inexact[Any])

Place = tuple[tuple[slice, slice], tuple[slice, ...]]
"""Overlap of a window and an array: slices of the array, and slices of the window (none for the whole window)."""

_WORKING_SET_BYTES = 1 << 20
"""Size in bytes of a chunk of patches, so that intermediate arrays stay in the processor's cache."""


def window_corners(origin_rc: npt.ArrayLike, positions_xy: FloatArray, N: int) -> tuple[IntArray, Float64Array]:
    """Return the places of the `(N + 1, N + 1)` windows that bilinear patches touch.

    Args:
        origin_rc: place of scan coordinate (0, 0) in the object (row, column), pixels.
        positions_xy: scan positions (pattern, 2), axis 1 = (x, y), pixels.
        N: patch side in pixels.

    Returns:
        First (row, column) of every window, integers (pattern, 2), and the remaining fractions in [0, 1), of the same
        shape.

    Raises:
        DataError: the positions have the wrong shape or are not finite.
    """
    require_shape("positions_xy", positions_xy, (None, 2), "(pattern, 2)")
    origin = np.asarray(origin_rc, np.float64)
    # Whole pixels are added last, so that an array with another whole-pixel origin gets exactly the same fractions.
    origin_whole = np.floor(origin)
    corners = (origin - origin_whole) + np.asarray(positions_xy, np.float64)[:, ::-1] - N / 2
    if not (np.isfinite(corners).all() and np.isfinite(origin).all()):
        raise DataError("positions_xy or origin_rc holds NaN or infinity; every position must be finite. Drop those.")
    whole = np.floor(corners)
    return (whole + origin_whole).astype(np.int64), corners - whole


def extract_patches(
    obj: npt.NDArray[Scalar], origin_rc: npt.ArrayLike, positions_xy: FloatArray, N: int
) -> npt.NDArray[Scalar]:
    """Cut the patches of an object out at the scan positions.

    Args:
        obj: the object (row, column), real or complex.
        origin_rc: place of scan coordinate (0, 0) in `obj` (row, column), pixels.
        positions_xy: scan positions (pattern, 2), axis 1 = (x, y), pixels.
        N: patch side in pixels.

    Returns:
        Patches (pattern, N, N) of the object's type; pixels outside the object are 0.

    Raises:
        DataError: the positions have the wrong shape or are not finite.
    """
    corners, fractions = window_corners(origin_rc, positions_xy, N)
    patches = np.empty((len(corners), N, N), obj.dtype)
    for chunk in _chunks(len(corners), N, obj.itemsize):
        windows = np.zeros((len(corners[chunk]), N + 1, N + 1), obj.dtype)
        for window, (inside, within) in zip(windows, window_places(corners[chunk], N + 1, obj.shape), strict=True):
            window[within] = obj[inside]
        patches[chunk] = _interpolate(windows, fractions[chunk])
    return patches


def add_patches(
    canvas: npt.NDArray[Scalar],
    patches: npt.NDArray[Scalar],
    origin_rc: npt.ArrayLike,
    positions_xy: FloatArray,
) -> None:
    """Add patches to a canvas in place; this is the exact adjoint of `extract_patches`.

    Args:
        canvas: canvas (row, column), real or complex; parts of patches outside it are dropped.
        patches: patches (pattern, N, N) of the canvas's type.
        origin_rc: place of scan coordinate (0, 0) in `canvas` (row, column), pixels.
        positions_xy: scan positions (pattern, 2), axis 1 = (x, y), pixels.

    Raises:
        DataError: patches and positions do not fit each other.
    """
    N = patches.shape[-1]
    require_shape("patches", patches, (len(positions_xy), N, N), "(pattern, N, N)")
    corners, fractions = window_corners(origin_rc, positions_xy, N)
    WindowSpreader(N, canvas.dtype).add(canvas, patches, corners, fractions)


class WindowSpreader:
    """Spreads patches over the windows that they touch, the adjoint of bilinear interpolation; keeps its memory."""

    def __init__(self, N: int, dtype: npt.DTypeLike, weight: Float32Array | None = None) -> None:
        """Allocate the working memory for a few patches.

        Args:
            N: patch side in pixels.
            dtype: float or complex type of the patches.
            weight: weight (N, N) that multiplies the patches first; None leaves them as they are.
        """
        self._dtype = np.dtype(dtype)
        real = np.empty(0, self._dtype).real.dtype
        step = 2 if self._dtype.kind == "c" else 1
        width, length = step * N, (N + 1) * (N + 1) * step
        self._weights = None if weight is None else np.repeat(weight.astype(real), step, axis=1)
        # There is a zero row and a zero pixel before every patch, and a zero pixel after each of its rows. A patch that
        # is moved by a row or a pixel is then the same long row with another start, and NumPy is fastest on long rows.
        self._pixel, self._row, self._length = step, width + step, length
        # The number of patches that are spread together is small enough for the processor's cache.
        self._together = max(1, _WORKING_SET_BYTES // (2 * length * real.itemsize))
        self._windows = np.empty((self._together, N + 1, N + 1), self._dtype)
        self._padded = np.zeros((self._together, self._row + step + length), real)
        self._middle = self._padded[:, self._row + step :].reshape(self._together, N + 1, self._row)[:, :N, :width]
        self._between_rows = np.empty((self._together, length + step), real)

    def add(
        self,
        canvas: npt.NDArray[Scalar],
        patches: npt.NDArray[Scalar],
        corners: IntArray,
        fractions: Float64Array,
    ) -> None:
        """Spread every patch and add its window to a canvas in place; parts outside the canvas are dropped.

        Args:
            canvas: canvas (row, column).
            patches: patches (pattern, N, N).
            corners: first (row, column) of every window in the canvas (pattern, 2), from `window_corners`.
            fractions: fractions (pattern, 2), axis 1 = (row, column), in [0, 1), from `window_corners`.
        """
        places = window_places(corners, self._windows.shape[-1], canvas.shape)
        for start in range(0, len(patches), self._together):
            some = slice(start, start + self._together)
            windows = self._windows[: len(places[some])]
            self.spread(patches[some].astype(self._dtype, copy=False), fractions[some], windows)
            for window, (inside, within) in zip(windows, places[some], strict=True):
                part = canvas[inside]
                np.add(part, window[within] if within else window, part)

    def spread(self, patches: npt.NDArray[Scalar], fractions: FloatArray, out: npt.NDArray[Scalar]) -> None:
        """Spread every patch over its window.

        Args:
            patches: patches (pattern, N, N).
            fractions: fractions (pattern, 2), axis 1 = (row, column), in [0, 1), from `window_corners`.
            out: array that is filled with the windows, contiguous (pattern, N + 1, N + 1).
        """
        values = _as_real(patches)
        windows = out.view(values.dtype).reshape(len(patches), self._length)
        for start in range(0, len(patches), self._together):
            some = slice(start, start + self._together)
            window = windows[some]
            row, column = fractions[some].astype(values.dtype).T[..., np.newaxis]
            padded, between = self._padded[: len(window)], self._between_rows[: len(window)]
            weights = 1 if self._weights is None else self._weights
            np.multiply(values[some], weights, out=self._middle[: len(window)])
            _lerp(padded[:, self._row :], padded[:, : -self._row], row, between)
            _lerp(between[:, self._pixel :], between[:, : -self._pixel], column, window)


def window_places(corners: IntArray, side: int, shape: tuple[int, ...]) -> list[Place]:
    """Return the overlap of square windows with an array; it may be empty.

    Args:
        corners: first (row, column) of every window in the array (window, 2); it may lie outside.
        side: side of the windows in pixels.
        shape: lengths of the array (row, column).

    Returns:
        For every window, slices of the array and slices of the window.
    """
    # Most windows lie inside, and access to a whole window is faster without slices.
    if (corners >= 0).all() and (corners + side <= shape).all():
        return [((slice(row, row + side), slice(column, column + side)), ()) for row, column in corners.tolist()]
    first = np.clip(corners, 0, shape)
    last = np.clip(corners + side, 0, shape)
    bounds = np.concatenate((first, last, first - corners, last - corners), axis=1).tolist()
    return [
        ((slice(top, bottom), slice(left, right)), (slice(part[0], part[2]), slice(part[1], part[3])))
        for top, left, bottom, right, *part in bounds
    ]


def _interpolate(windows: npt.NDArray[Scalar], fractions: Float64Array) -> npt.NDArray[Any]:
    """Return the patches between the pixels of their windows; `WindowSpreader` explains the long rows."""
    n, side = windows.shape[:2]
    values = _as_real(windows).reshape(n, -1)
    pixel = values.shape[1] // side**2
    row, column = fractions.astype(values.dtype).T[..., np.newaxis]
    short = np.empty((n, (side - 1) * side * pixel), values.dtype)
    _lerp(values[:, : short.shape[1]], values[:, side * pixel :], row, short)
    # The values between the end of a row and the start of the next one are cut off.
    between = np.empty_like(short)
    _lerp(short[:, :-pixel], short[:, pixel:], column, between[:, :-pixel])
    return np.ascontiguousarray(between.view(windows.dtype).reshape(n, side - 1, side)[:, :, :-1])


def _lerp(near: FloatArray, far: FloatArray, fraction: FloatArray, out: FloatArray) -> None:
    """Fill `out` with near + fraction * (far - near), with the broadcasting of NumPy."""
    np.subtract(far, near, out=out)
    np.multiply(out, fraction, out=out)
    np.add(out, near, out=out)


def _as_real(array: npt.NDArray[Scalar]) -> npt.NDArray[Any]:
    """View complex values as interleaved real ones, whose products are twice as fast."""
    contiguous = np.ascontiguousarray(array)
    return contiguous.view(contiguous.real.dtype)


def _chunks(n: int, N: int, itemsize: int) -> Iterator[slice]:
    size = max(1, _WORKING_SET_BYTES // ((N + 1) ** 2 * itemsize))
    return (slice(start, start + size) for start in range(0, n, size))
