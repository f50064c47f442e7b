"""From a `GroupSource` to tensors: batches, loaded one by one or ahead of time, and what is constant in a source."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from ptychopinn_backend.arrays import IntArray
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.groups import GroupBatch, GroupSource
from ptychopinn_backend.networks.inputs import input_maps, network_inputs
from ptychopinn_backend.physics.forward import overlap_weights
from ptychopinn_backend.tf_backend.framework import tf


class TensorBatch(NamedTuple):
    """A `GroupBatch` on the device, channels last."""

    patterns: tf.Tensor
    """float32 (group, N, N, channel), normalised amplitudes the loss compares with."""
    inputs: tf.Tensor
    """float32 (group, N, N, channel * maps), what the network is given."""
    local_offsets: tf.Tensor
    """float32 (group, 1, 2, channel), pixels."""
    scan_index: tf.Tensor
    """int32 (group,)."""
    labels: tf.Tensor
    """complex64 (group, N, N, channel); empty where the loss needs no labels."""

    @classmethod
    def of(cls, batch: GroupBatch, source: GroupSource, model: ModelConfig, with_labels: bool) -> TensorBatch:
        """Copy the arrays of a batch to the device.

        Args:
            batch: groups of `source`.
            source: gives what the network's input needs.
            model: decides what the network is given.
            with_labels: whether the labels are needed.

        Returns:
            The tensors.
        """
        labels = np.zeros((0, 0, 0, 0), np.complex64)
        if with_labels and batch.Y is not None:
            labels = np.asarray(batch.Y, np.complex64)
        return cls(
            tf.convert_to_tensor(np.asarray(batch.measured, np.float32)),
            tf.convert_to_tensor(network_inputs(batch, source, model)),
            tf.convert_to_tensor(np.asarray(batch.local_offsets, np.float32)),
            tf.convert_to_tensor(np.asarray(batch.scan_index, np.int32)),
            tf.convert_to_tensor(labels),
        )


class SourceConstants(NamedTuple):
    """Probes, weights and valid pixels of a source, on the device."""

    probes: tf.Tensor
    """complex64 (scan, mode, N, N)."""
    overlap_weights: tf.Tensor
    """float32 (scan, N, N), weight of every patch pixel where patches overlap."""
    valid_pixels: tf.Tensor
    """float32 (scan, N, N)."""

    @classmethod
    def of(cls, source: GroupSource, model: ModelConfig) -> SourceConstants:
        """Copy the constants to the device.

        Args:
            source: the groups.
            model: decides how overlapping patches are weighed.

        Returns:
            The tensors.
        """
        probes = np.asarray(source.probes, np.complex64)
        return cls(
            tf.constant(probes),
            tf.constant(np.asarray(overlap_weights(model, probes), np.float32)),
            tf.constant(np.asarray(source.valid_pixels, np.float32)),
        )


def signature(model: ModelConfig) -> tuple[TensorBatch, SourceConstants]:
    """Return the types of a `TensorBatch` and of `SourceConstants` with any number of groups, scans and modes.

    Args:
        model: the configuration.

    Returns:
        The two, as a `tf.function` takes them.
    """
    N, channels = model.N, model.channels
    batch = TensorBatch._make(
        (
            tf.TensorSpec((None, N, N, channels), tf.float32),
            tf.TensorSpec((None, N, N, channels * input_maps(model)), tf.float32),
            tf.TensorSpec((None, 1, 2, channels), tf.float32),
            tf.TensorSpec((None,), tf.int32),
            tf.TensorSpec((None, None, None, None), tf.complex64),
        )
    )
    constants = SourceConstants._make(
        (
            tf.TensorSpec((None, None, N, N), tf.complex64),
            tf.TensorSpec((None, N, N), tf.float32),
            tf.TensorSpec((None, N, N), tf.float32),
        )
    )
    return batch, constants


def stream(source: GroupSource, order: IntArray, batch_size: int, execution: ExecutionConfig) -> Iterator[GroupBatch]:
    """Yield the groups of `order` batch by batch, the last one maybe smaller.

    Args:
        source: where groups come from; never held in memory as a whole.
        order: (group,) indices.
        batch_size: groups per batch.
        execution: num_workers threads load `prefetch_factor` (2 unless given) batches each ahead of time.

    Yields:
        Batches in that order, whatever the number of threads.
    """
    chunks = (order[start : start + batch_size] for start in range(0, len(order), batch_size))
    if execution.num_workers == 0:
        for chunk in chunks:
            yield source.batch(chunk)
        return
    ahead = execution.num_workers * (execution.prefetch_factor or 2)
    pending: deque[Future[GroupBatch]] = deque()
    with ThreadPoolExecutor(execution.num_workers) as pool:
        for chunk in chunks:
            pending.append(pool.submit(source.batch, chunk))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
