"""The legacy dictionary of `RawData.generate_grouped_data`."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from ptychopinn_backend.arrays import AnyArray, BoolArray, Float32Array, IntArray
from ptychopinn_backend.data.grouping import Groups
from ptychopinn_backend.data.labels import LabelledScan, label_patches
from ptychopinn_backend.data.scaling import normalisation_factor


class MeasuredScan(LabelledScan, Protocol):
    """A scan with its patterns."""

    @property
    def diff3d(self) -> Float32Array:
        """Far-field amplitudes (pattern, N, N)."""

    @property
    def scan_index(self) -> IntArray:
        """Object every scan point belongs to (pattern,)."""

    @property
    def bad_pixels(self) -> BoolArray | None:
        """(N, N), True = bad, or None."""


def grouped_dictionary(raw: MeasuredScan, groups: Groups) -> dict[str, Any]:
    """Gather the patterns of groups.

    Args:
        raw: the scan.
        groups: of its points.

    Returns:
        The keys and shapes of specs/data.md, Grouped dictionary.

    Raises:
        DataError: every pattern is empty.
    """
    diffraction = _channels_last(raw.diff3d[groups.nn_indices])
    used, member = np.unique(groups.nn_indices, return_inverse=True)
    labels = label_patches(raw, used)
    factor = np.float32(normalisation_factor(diffraction, raw.N))
    return {
        "diffraction": diffraction,
        "X_full": diffraction * factor,
        "Y": None if labels is None else _channels_last(labels[member.reshape(groups.nn_indices.shape)]),
        "nn_indices": groups.nn_indices,
        "object_index": raw.scan_index[groups.nn_indices[:, 0]],
        "bad_pixels": raw.bad_pixels,
        "coords_nn": groups.coords_nn,
        "coords_offsets": groups.coords_offsets,
        "coords_relative": groups.coords_relative,
        "coords_start_nn": groups.coords_start_nn,
        "coords_start_offsets": groups.coords_start_offsets,
        "coords_start_relative": groups.coords_start_relative,
        "objectGuess": raw.objectGuess,
    }


def _channels_last(patterns: AnyArray) -> AnyArray:
    return np.ascontiguousarray(np.moveaxis(patterns, 1, -1))
