"""From a `GroupSource` to tensors: batches by index, the order of an epoch, and what is constant in a source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from ptychopinn_backend.arrays import AnyArray, IntArray
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.groups import GroupBatch, GroupSource
from ptychopinn_backend.networks.inputs import network_inputs
from ptychopinn_backend.physics.forward import overlap_weights
from ptychopinn_backend.physics.placement import canvas_size
from ptychopinn_backend.seam.schedule import epoch_order


class TensorBatch(NamedTuple):
    """A `GroupBatch` as tensors, channels first and contiguous: one image after the other."""

    patterns: Tensor
    """(group, channel, N, N) float32, normalised amplitudes the loss compares with."""
    inputs: Tensor
    """(group, channel * maps, N, N) float32, what the network is given; `patterns` itself for most generators."""
    local_offsets: Tensor
    """(group, 1, 2, channel) float32, pixels."""
    scan_index: Tensor
    """(group,) int64."""
    labels: Tensor | None
    """(group, channel, N, N) complex64, or None."""

    @classmethod
    def of(cls, batch: GroupBatch, source: GroupSource, model: ModelConfig, with_labels: bool) -> TensorBatch:
        """Wrap the arrays of a batch without copying them where their type fits.

        Args:
            batch: groups of `source`.
            source: gives what the network's input needs.
            model: decides what the network is given.
            with_labels: whether the labels are needed.

        Returns:
            The tensors.
        """
        labels = None
        if with_labels and batch.Y is not None:
            labels = _channels_first(batch.Y, np.complex64)
        patterns = _channels_first(batch.measured)
        inputs = network_inputs(batch, source, model)
        return cls(
            patterns,
            patterns if inputs is batch.measured else _channels_first(inputs),
            torch.from_numpy(np.require(batch.local_offsets, np.float32, ("C", "W"))),
            torch.from_numpy(np.require(batch.scan_index, np.int64, ("C", "W"))),
            labels,
        )

    def to(self, device: torch.device) -> TensorBatch:
        """Return the batch on a device."""
        return TensorBatch(*(None if item is None else item.to(device, non_blocking=True) for item in self))  # type: ignore[arg-type]


def _channels_first(array: AnyArray, dtype: type[np.generic] = np.float32) -> Tensor:
    return torch.from_numpy(np.require(np.moveaxis(array, -1, 1), dtype, ("C", "W")))


class SourceConstants(nn.Module):
    """Probes, weights, valid pixels and canvas of a source, as buffers that follow the model to its device."""

    def __init__(self, source: GroupSource, model: ModelConfig) -> None:
        """Copy the constants.

        Args:
            source: the groups.
            model: decides how overlapping patches are weighed.
        """
        super().__init__()
        self.canvas_px = canvas_size(source.N, source.max_local_offset_px)
        probes = torch.from_numpy(np.array(source.probes, np.complex64))
        valid = torch.from_numpy(np.array(source.valid_pixels, np.float32))
        self.n_scans = len(probes)
        self.register_buffer("probes", probes, persistent=False)
        weights = torch.from_numpy(np.array(overlap_weights(model, source.probes), np.float32))
        self.register_buffer("overlap_weights", None if bool((weights == 1).all()) else weights, persistent=False)
        self.register_buffer("valid_pixels", None if bool((valid == 1).all()) else valid[:, None], persistent=False)

    def valid_of(self, scan_index: Tensor) -> Tensor | None:
        """Return the valid pixels of every group, (group, 1, N, N), or None when all are valid."""
        return None if self.valid_pixels is None else self.of_scans(self.get_buffer("valid_pixels"), scan_index)

    def overlap_weights_of(self, scan_index: Tensor) -> Tensor | None:
        """Return the weight of every patch pixel, (group or 1, N, N), or None when all weigh alike."""
        return None if self.overlap_weights is None else self.of_scans(self.get_buffer("overlap_weights"), scan_index)

    def of_scans(self, values: Tensor, scan_index: Tensor) -> Tensor:
        """Return what every group takes of a value per scan; with one scan a view that broadcasts.

        Args:
            values: (scan, ...).
            scan_index: (group,).

        Returns:
            (group, ...) or (1, ...).
        """
        return values if self.n_scans == 1 else values.index_select(0, scan_index)


class GroupDataset(Dataset[TensorBatch]):
    """Batches of a source; an item is asked for with all its indices at once, so no loop over groups runs."""

    def __init__(self, source: GroupSource, model: ModelConfig, with_labels: bool) -> None:
        """Wrap a source.

        Args:
            source: the groups.
            model: decides what the network is given.
            with_labels: whether batches carry labels.
        """
        self._source = source
        self._model = model
        self._with_labels = with_labels

    def __getitem__(self, indices: IntArray) -> TensorBatch:
        """Return the batch of groups at `indices`, (batch,)."""
        return TensorBatch.of(self._source.batch(indices), self._source, self._model, self._with_labels)


class BatchIndexSampler(Sampler[IntArray]):
    """Index arrays of the batches of an epoch; several processes share each batch and see every group once.

    Batch k of one process is what batches k of all processes hold together, when its batch size is the sum of theirs.
    """

    def __init__(
        self, n_groups: int, batch_size: int, *, seed: int | None, limit: int | None, rank: int, world_size: int
    ) -> None:
        """Fix what the order depends on.

        Args:
            n_groups: groups in the source.
            batch_size: groups per batch of this process.
            seed: seed of `schedule.epoch_order`; None keeps the order of the source.
            limit: most groups an epoch visits; None is all of them.
            rank: number of this process.
            world_size: number of processes.
        """
        self._n_groups, self._seed, self._limit = n_groups, seed, limit
        self.visited = n_groups if limit is None else min(limit, n_groups)
        """Groups an epoch visits."""
        self.together = batch_size * world_size
        """Groups of a batch in all processes together."""
        self._rank, self._world_size = rank, world_size
        self._epoch = 1

    def set_epoch(self, epoch: int) -> None:
        """Take the 0-based epoch Lightning announces."""
        self._epoch = epoch + 1

    def __len__(self) -> int:
        """Return the number of batches, the same in every process."""
        return -(-self.visited // self.together)

    def groups_in(self, batch_index: int) -> tuple[int, int]:
        """Return how many groups of a batch count in this process, and in all processes together.

        Args:
            batch_index: 0-based number of the batch in the epoch.

        Returns:
            The two numbers; the first is 0 where a last small batch does not reach this process.
        """
        together = min(self.together, self.visited - batch_index * self.together)
        return len(range(self._rank, together, self._world_size)), together

    def __iter__(self) -> Iterator[IntArray]:
        """Yield (batch,) index arrays; the last one may be shorter, or hold one group that does not count."""
        order: IntArray = np.arange(self.visited)
        if self._seed is not None:
            order = epoch_order(self._n_groups, self._seed, self._epoch, self._limit)
        for start in range(0, self.visited, self.together):
            together = order[start : start + self.together]
            share = together[self._rank :: self._world_size]
            # Processes wait for one another in every batch, so none may come without a group.
            yield share if len(share) else together[:1]


def batch_loader(
    dataset: GroupDataset, sampler: BatchIndexSampler, execution: ExecutionConfig, *, pin: bool
) -> DataLoader[TensorBatch]:
    """Return a loader of whole batches.

    Args:
        dataset: the groups.
        sampler: indices of the batches.
        execution: workers.
        pin: page-locked batches.

    Returns:
        The loader.
    """
    return DataLoader(
        dataset,
        sampler=sampler,
        batch_size=None,
        num_workers=execution.num_workers,
        pin_memory=pin,
        persistent_workers=execution.persistent_workers,
        prefetch_factor=execution.prefetch_factor,
    )
