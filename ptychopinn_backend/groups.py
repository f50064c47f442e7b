"""What a backend trains on and predicts from: groups by index, as NumPy arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ptychopinn_backend.arrays import Complex64Array, Float32Array, IntArray


@dataclass(frozen=True)
class GroupBatch:
    """Some groups of a source; the only data that crosses the seam during training and prediction."""

    X: Float32Array
    """Normalised far-field amplitudes (group, N, N, channel), zero frequency at the array centre."""
    local_offsets: Float32Array
    """coords_relative = -(position - group mean), (group, 1, 2, channel), axis 2 = (x, y), pixels."""
    scan_index: IntArray
    """(group,) index into the source's `probes` and `valid_pixels`."""
    Y: Complex64Array | None
    """Labels (group, N, N, channel), or None."""
    target: Float32Array | None = None
    """Normalised amplitudes the loss compares with, shape of X, where they are others than the network is given."""

    @property
    def measured(self) -> Float32Array:
        """Normalised amplitudes the loss compares with (group, N, N, channel)."""
        return self.X if self.target is None else self.target


class GroupSource(Protocol):
    """Groups of one or several scans; in memory or memory-mapped."""

    @property
    def n_groups(self) -> int:
        """Number of groups."""

    @property
    def N(self) -> int:
        """Pattern side in pixels."""

    @property
    def channels(self) -> int:
        """Patterns per group, gridsize**2."""

    @property
    def probes(self) -> Complex64Array:
        """Normalised probes (scan, mode, N, N)."""

    @property
    def valid_pixels(self) -> Float32Array:
        """Detector pixels that count in the loss (scan, N, N): 1 good, 0 bad; zero frequency at the array centre."""

    @property
    def max_local_offset_px(self) -> float:
        """Largest absolute local offset of any group, in pixels; decides the canvas of the group frame."""

    @property
    def has_labels(self) -> bool:
        """Whether batches carry Y."""

    def batch(self, indices: IntArray) -> GroupBatch:
        """Return the groups at `indices`, in that order."""


class SelectedGroups:
    """Some groups of a source, in a given order, as a source."""

    def __init__(self, source: GroupSource, indices: IntArray) -> None:
        """Choose the groups.

        Args:
            source: where they come from.
            indices: (group,) which ones.
        """
        self._source, self._indices = source, indices

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self._indices)

    @property
    def N(self) -> int:
        """Pattern side in pixels."""
        return self._source.N

    @property
    def channels(self) -> int:
        """Patterns per group."""
        return self._source.channels

    @property
    def probes(self) -> Complex64Array:
        """Those of the source, (scan, mode, N, N)."""
        return self._source.probes

    @property
    def valid_pixels(self) -> Float32Array:
        """Those of the source, (scan, N, N)."""
        return self._source.valid_pixels

    @property
    def max_local_offset_px(self) -> float:
        """That of the source, so that the group frame is the same."""
        return self._source.max_local_offset_px

    @property
    def has_labels(self) -> bool:
        """Whether batches carry Y."""
        return self._source.has_labels

    def batch(self, indices: IntArray) -> GroupBatch:
        """Return the groups at `indices` of the selection, in that order."""
        return self._source.batch(self._indices[indices])
