"""`TorchBackend`: the seam's interface on PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ptychopinn_backend.arrays import AnyArray, Complex64Array
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.groups import GroupBatch, GroupSource
from ptychopinn_backend.physics.loss_formulas import MODULUS_FLOOR
from ptychopinn_backend.seam.interface import Backend, EpochCallback, ForwardResult, TrainingResult
from ptychopinn_backend.torch_backend.compilation import compile_network
from ptychopinn_backend.torch_backend.data import SourceConstants, TensorBatch
from ptychopinn_backend.torch_backend.devices import (
    autocast,
    device_names,
    gains_by_bfloat16,
    resolve_device,
    resolve_precision,
)
from ptychopinn_backend.torch_backend.failures import explanation
from ptychopinn_backend.torch_backend.model import PtychographyModel, to_canonical
from ptychopinn_backend.torch_backend.physics import Patches


class TorchBackend(Backend):
    """One model in PyTorch, trained through Lightning."""

    name: ClassVar[str] = "pytorch"
    _explanation = staticmethod(explanation)

    def _build(self) -> None:
        execution = self.setup.execution
        self._device = resolve_device(execution)
        self._precision = resolve_precision(execution, self._device)
        self._model = PtychographyModel(self.setup, self.loss_weights).to(self._device).eval()
        if execution.compile_model:
            compile_network(self._model.generator, self._device)

    @staticmethod
    def versions() -> dict[str, str]:
        """Return the versions of torch and lightning."""
        return {name: version(name) for name in ("torch", "lightning")}

    @staticmethod
    def device_names() -> tuple[str, ...]:
        """Return what the GPUs that PyTorch sees are called."""
        return device_names()

    @staticmethod
    def use_threads(count: int) -> None:
        """Compute with `count` threads on the CPU."""
        torch.set_num_threads(count)

    @staticmethod
    def gains_by_bfloat16(execution: ExecutionConfig) -> bool:
        """Return whether the device has units for bfloat16, and the strategy allows them."""
        return gains_by_bfloat16(execution)

    def _weight_shapes(self) -> dict[str, tuple[int, ...]]:
        return self._model.weight_shapes

    def _dump_weights(self) -> dict[str, AnyArray]:
        return self._model.dump_weights()

    def _load_weights(self, weights: Mapping[str, AnyArray]) -> None:
        self._model.load_weights(weights)

    def _fit(
        self,
        training: GroupSource,
        validation: GroupSource | None,
        *,
        on_epoch: EpochCallback | None,
        checkpoint_folder: Path | None,
        resume: bool,
    ) -> TrainingResult:
        # Lightning takes longer to import than a scan to reconstruct, and only training needs it.
        from ptychopinn_backend.torch_backend.training import train

        try:
            self._model.train()
            return train(
                self._model,
                self.setup,
                self._device,
                training,
                validation,
                on_epoch=on_epoch,
                checkpoint_folder=checkpoint_folder,
                resume=resume,
            )
        finally:
            self._model.to(self._device).eval().zero_grad(set_to_none=True)

    def _predict(self, source: GroupSource, batch_size: int) -> Iterator[Complex64Array]:
        constants = self._constants(source)
        pending: Tensor | None = None
        for start in range(0, source.n_groups, batch_size):
            batch = source.batch(np.arange(start, min(start + batch_size, source.n_groups)))
            with self._at_rest(), torch.inference_mode(), autocast(self._precision, self._device):
                tensors = TensorBatch.of(batch, source, self.setup.model, with_labels=False).to(self._device)
                network_patches = self._model.network_patches(tensors)
                with torch.autocast(self._device.type, enabled=False):
                    patches = _as_complex(self._model.patches(network_patches, tensors, constants))
            # A GPU computes this batch while the caller works on the one before.
            if pending is not None:
                yield pending.cpu().numpy()
            pending = patches
        if pending is not None:
            yield pending.cpu().numpy()

    @contextmanager
    def _at_rest(self) -> Iterator[None]:
        # A callback may predict while the model is in training, where batch statistics would replace the running ones.
        training = self._model.training
        self._model.eval()
        try:
            yield
        finally:
            self._model.train(training)

    def _forward(self, batch: GroupBatch, source: GroupSource) -> ForwardResult:
        constants = self._constants(source)
        tensors = TensorBatch.of(batch, source, self.setup.model, with_labels=False).to(self._device)
        with torch.inference_mode():
            with autocast(self._precision, self._device):
                network_patches = self._model.network_patches(tensors)
            patches = self._model.patches(network_patches, tensors, constants)
            amplitude = (self._model.intensity(patches, tensors, constants) + MODULUS_FLOOR).sqrt()
            return ForwardResult(
                network_patches=_as_complex(network_patches).cpu().numpy(),
                patches=_as_complex(patches).cpu().numpy(),
                amplitude=amplitude.permute(0, 2, 3, 1).contiguous().cpu().numpy(),
            )

    def _losses(self, batch: GroupBatch, source: GroupSource, physics_weight: float) -> dict[str, float]:
        with torch.no_grad():
            return {name: float(value) for name, value in self._loss_terms(batch, source, physics_weight).items()}

    def _gradients(self, batch: GroupBatch, source: GroupSource, physics_weight: float) -> dict[str, AnyArray]:
        loss = self._loss_terms(batch, source, physics_weight)["loss"]
        trainable = {name: p for name, p in self._model.canonical_parameters().items() if p.requires_grad}
        found = torch.autograd.grad(loss, list(trainable.values()), allow_unused=True, materialize_grads=True)
        return {name: to_canonical(name, gradient) for name, gradient in zip(trainable, found, strict=True)}

    def _loss_terms(self, batch: GroupBatch, source: GroupSource, physics_weight: float) -> dict[str, Tensor]:
        tensors = TensorBatch.of(batch, source, self.setup.model, self._model.needs_labels).to(self._device)
        with autocast(self._precision, self._device):
            return self._model.loss_terms(tensors, self._constants(source), physics_weight)

    def _constants(self, source: GroupSource) -> SourceConstants:
        return SourceConstants(source, self.setup.model).to(self._device)


def _as_complex(patches: Patches) -> Tensor:
    # (group, channel, N, N) -> (group, N, N, channel)
    return torch.complex(*patches).permute(0, 2, 3, 1).contiguous()
