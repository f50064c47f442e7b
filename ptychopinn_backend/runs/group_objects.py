"""Predicted object and far field of each group, in the form that existing scripts use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ptychopinn_backend.arrays import AnyArray, Complex64Array, Float32Array, IntArray, require_shape
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.groups import GroupBatch, GroupSource
from ptychopinn_backend.physics.forward import overlap_weights
from ptychopinn_backend.physics.placement import assemble_groups, canvas_size
from ptychopinn_backend.seam.interface import Backend


class GroupPrediction(NamedTuple):
    """Prediction of a network for groups."""

    objects: Complex64Array
    """Object around the mean position of each group (group, N, N, 1)."""
    amplitudes: Float32Array
    """Predicted far-field amplitudes (group, N, N, channel), square roots of counts."""


def predict_groups(backend: Backend, source: GroupSource, batch_size: int) -> GroupPrediction:
    """Predict all groups of a source and keep the results in memory.

    Args:
        backend: a backend with trained weights.
        source: the groups.
        batch_size: number of groups per pass; the result does not depend on it.

    Returns:
        The object of each group, in which overlapping patches are averaged, and its predicted far field.

    Raises:
        DataError: the source does not fit the model.
    """
    model = backend.setup.model
    objects, amplitudes = [], []
    for start in range(0, source.n_groups, batch_size):
        batch = source.batch(np.arange(start, min(start + batch_size, source.n_groups)))
        result = backend.forward(batch, source)
        objects.append(_objects(result.network_patches, batch, source, model))
        amplitudes.append(result.amplitude)
    return GroupPrediction(np.concatenate(objects), np.concatenate(amplitudes))


@dataclass(frozen=True, eq=False)
class ArrayGroups:
    """Groups that are given as arrays; a `GroupSource` for predictions."""

    X: Float32Array
    """Normalised far-field amplitudes (group, N, N, channel)."""
    local_offsets: Float32Array
    """Local offsets, -(position - group mean), (group, 1, 2, channel), pixels."""
    probes: Complex64Array
    """Normalised probes (scan, mode, N, N); all groups belong to the first scan."""

    @classmethod
    def of(cls, inputs: AnyArray | Sequence[AnyArray], intensity_scale: float, probes: Complex64Array) -> ArrayGroups:
        """Make groups from the arrays that existing scripts give to `predict`.

        Args:
            inputs: [X * intensity_scale, local_offsets]; the offsets may be missing if groups are single patterns.
            intensity_scale: intensity scale of the model.
            probes: normalised probes (scan, mode, N, N).

        Returns:
            The groups.

        Raises:
            DataError: the number of arrays or a shape is wrong, or a value is not finite.
        """
        arrays = [inputs] if isinstance(inputs, np.ndarray) else [np.asarray(item) for item in inputs]
        if len(arrays) not in (1, 2):
            raise DataError(
                f"{len(arrays)} arrays are given to predict from. Give two: [X * intensity_scale, local_offsets]."
            )
        scaled = np.asarray(arrays[0], np.float32)
        require_shape("X", scaled, (None, None, None, None), "(group, N, N, channel)")
        n_groups, channels = scaled.shape[0], scaled.shape[3]
        if len(arrays) == 1 and channels > 1:
            raise DataError(
                f"X holds groups of {channels} patterns, and no local_offsets say where they lie. Give "
                "[X * intensity_scale, local_offsets]."
            )
        offsets = np.asarray(arrays[1], np.float32) if len(arrays) == 2 else np.zeros((n_groups, 1, 2, 1), np.float32)
        require_shape("local_offsets", offsets, (n_groups, 1, 2, channels), "(group, 1, 2, channel)")
        for name, array in (("X", scaled), ("local_offsets", offsets)):
            if not np.isfinite(array).all():
                raise DataError(f"{name} holds values that are not finite (NaN or infinity). Repair it first.")
        return cls(scaled / np.float32(intensity_scale), offsets, probes)

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self.X)

    @property
    def N(self) -> int:
        """Pattern side in pixels."""
        return int(self.X.shape[1])

    @property
    def channels(self) -> int:
        """Patterns per group."""
        return int(self.X.shape[3])

    @property
    def valid_pixels(self) -> Float32Array:
        """Mask of detector pixels (scan, N, N); all are good and have the value 1."""
        return np.ones((len(self.probes), self.N, self.N), np.float32)

    @property
    def max_local_offset_px(self) -> float:
        """Largest absolute local offset, pixels."""
        return float(np.abs(self.local_offsets).max(initial=0.0))

    @property
    def has_labels(self) -> bool:
        """False, since these groups have no labels."""
        return False

    def batch(self, indices: IntArray) -> GroupBatch:
        """Return the groups at `indices`, in that order."""
        return GroupBatch(self.X[indices], self.local_offsets[indices], np.zeros(len(indices), np.int32), None)


def _objects(patches: Complex64Array, batch: GroupBatch, source: GroupSource, model: ModelConfig) -> Complex64Array:
    if patches.shape[-1] == 1:
        return patches
    side = canvas_size(model.N, source.max_local_offset_px)
    weights = overlap_weights(model, source.probes)[batch.scan_index]
    canvases = assemble_groups(patches, batch.local_offsets, side, weights)
    first = (side - model.N) // 2
    inner = slice(first, first + model.N)
    return np.asarray(canvases[:, inner, inner, np.newaxis], np.complex64)
