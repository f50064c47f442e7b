"""All groups of a source on a GPU at once, so that no step copies from the host or waits for it."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

from ptychopinn_backend.arrays import IntArray
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.groups import GroupSource
from ptychopinn_backend.torch_backend.data import GroupDataset, TensorBatch

_PART_OF_FREE_MEMORY: Final = 0.25
_COPIED_TOGETHER: Final = 256


def is_worth_residing(dataset: GroupDataset, n_groups: int, visits: int, device: torch.device) -> bool:
    """Return whether a source is small enough for a device, and visited often enough to be copied there.

    Args:
        dataset: batches of the source.
        n_groups: groups of the source.
        visits: groups that the whole run will look at.
        device: where the model runs.

    Returns:
        False for every device but a CUDA device.
    """
    if device.type != "cuda" or visits < n_groups:
        return False
    tensors = {id(tensor): tensor for tensor in dataset[np.arange(1)] if tensor is not None}
    needed = n_groups * sum(tensor.nbytes for tensor in tensors.values())
    free, _ = torch.cuda.mem_get_info(device)
    return needed <= _PART_OF_FREE_MEMORY * free


class ResidentGroups(GroupDataset):
    """Batches picked on the device from all groups of a source; the same values as those of `GroupDataset`."""

    def __init__(self, source: GroupSource, model: ModelConfig, with_labels: bool, device: torch.device) -> None:
        """Copy every group to the device.

        Args:
            source: the groups.
            model: decides what the network is given.
            with_labels: whether batches carry labels.
            device: where they are kept.
        """
        super().__init__(source, model, with_labels)
        self._device = device
        self._stored: dict[str, Tensor] = {}
        self._shares_inputs = False
        for start in range(0, source.n_groups, _COPIED_TOGETHER):
            indices = np.arange(start, min(start + _COPIED_TOGETHER, source.n_groups))
            piece = super().__getitem__(indices)
            self._shares_inputs = piece.inputs is piece.patterns
            for name, tensor in self._held(piece).items():
                if name not in self._stored:
                    shape = (source.n_groups, *tensor.shape[1:])
                    self._stored[name] = torch.empty(shape, dtype=tensor.dtype, device=device)
                self._stored[name][start : start + len(indices)] = tensor

    def __getitem__(self, indices: IntArray) -> TensorBatch:
        """Return the batch of groups at `indices`, (batch,), on the device."""
        chosen = torch.from_numpy(np.asarray(indices, np.int64)).to(self._device, non_blocking=True)
        picked = {name: tensor.index_select(0, chosen) for name, tensor in self._stored.items()}
        if self._shares_inputs:
            picked["inputs"] = picked["patterns"]
        return TensorBatch(**{name: picked.get(name) for name in TensorBatch._fields})  # type: ignore[arg-type]

    def _held(self, batch: TensorBatch) -> dict[str, Tensor]:
        """Return the tensors to keep."""
        shared = {"inputs"} if self._shares_inputs else set()
        return {name: tensor for name, tensor in batch._asdict().items() if tensor is not None and name not in shared}
