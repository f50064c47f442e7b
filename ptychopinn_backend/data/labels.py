"""Ground-truth patches of scan points: given, or cut from the object guess."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ptychopinn_backend.arrays import Complex64Array, Float64Array, IntArray
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.physics.object_patches import extract_patches


class LabelledScan(Protocol):
    """What labels are made of."""

    @property
    def n_patterns(self) -> int:
        """Number of scan points."""

    @property
    def N(self) -> int:
        """Pattern side in pixels."""

    @property
    def xcoords(self) -> Float64Array:
        """Columns of the scan positions (pattern,), object pixels."""

    @property
    def ycoords(self) -> Float64Array:
        """Rows of the scan positions (pattern,), object pixels."""

    @property
    def objectGuess(self) -> Complex64Array | None:
        """Object (H, W); scan coordinate (0, 0) is its pixel (0, 0)."""

    @property
    def Y(self) -> Complex64Array | None:
        """Ground-truth patches (pattern, N, N), or None."""


def label_patches(raw: LabelledScan, points: IntArray) -> Complex64Array | None:
    """Return the patches of some scan points.

    Args:
        raw: the scan; `Y` is used when it has one, else `objectGuess`, whose pixel (0, 0) is scan coordinate (0, 0).
        points: scan points (point,).

    Returns:
        (point, N, N), zero outside the object; None when the scan has neither.
    """
    if raw.Y is not None:
        return raw.Y[points]
    if raw.objectGuess is None:
        return None
    positions = np.column_stack([raw.xcoords[points], raw.ycoords[points]])
    return extract_patches(raw.objectGuess, (0.0, 0.0), positions, raw.N)


def require_labels(raw: LabelledScan) -> Complex64Array:
    """Return the patches of every scan point.

    Args:
        raw: the scan.

    Returns:
        (pattern, N, N).

    Raises:
        DataError: the scan has neither Y nor objectGuess, or a position lies outside objectGuess.
    """
    require_label_source(raw)
    patches = label_patches(raw, np.arange(raw.n_patterns))
    if patches is None:
        raise AssertionError("the source of labels was checked")
    return patches


def require_label_source(raw: LabelledScan) -> None:
    """Raise unless labels can be given for every scan point.

    Args:
        raw: the scan.

    Raises:
        DataError: the scan has neither Y nor objectGuess, or a position lies outside objectGuess.
    """
    if raw.Y is not None:
        return
    if raw.objectGuess is None:
        raise DataError("Labels were asked for; the scan has neither Y nor objectGuess. Add one of them.")
    height, width = raw.objectGuess.shape
    outside = (raw.xcoords < 0) | (raw.xcoords > width) | (raw.ycoords < 0) | (raw.ycoords > height)
    if outside.any():
        point = int(outside.argmax())
        raise DataError(
            f"Scan point {point} at x = {raw.xcoords[point]:g}, y = {raw.ycoords[point]:g} lies outside "
            f"objectGuess ({height} x {width} pixels); labels are cut at pixel positions of that array. "
            "Shift the positions into its frame."
        )


def without_mean_phase(labels: Complex64Array) -> Complex64Array:
    """Turn the patches of each group by one phase, so that their sum is real and positive.

    Args:
        labels: (group, N, N, channel). One phase for a group keeps overlapping patches consistent.

    Returns:
        The same shape.
    """
    total = labels.sum(axis=(1, 2, 3), keepdims=True)
    turn = np.where(total == 0, 1, np.conj(total) / np.maximum(np.abs(total), np.finfo(np.float32).tiny))
    return np.asarray(labels * turn, np.complex64)
