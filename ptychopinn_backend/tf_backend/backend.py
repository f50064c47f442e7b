"""`TensorFlowBackend`: the seam of `ptychopinn_backend.seam.interface` in TensorFlow 2."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, TypeVar

import numpy as np

from ptychopinn_backend.arrays import AnyArray, Complex64Array
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.groups import GroupBatch, GroupSource
from ptychopinn_backend.seam.interface import Backend, EpochCallback, ForwardResult, TrainingResult
from ptychopinn_backend.tf_backend.data import SourceConstants, TensorBatch, stream
from ptychopinn_backend.tf_backend.devices import (
    device_names,
    gains_by_bfloat16,
    refuse_unsupported,
    resolve_device,
    resolve_precision,
    set_determinism,
)
from ptychopinn_backend.tf_backend.failures import explanation
from ptychopinn_backend.tf_backend.framework import tf
from ptychopinn_backend.tf_backend.model import PtychographyModel, to_canonical

Result = TypeVar("Result")


class TensorFlowBackend(Backend):
    """Trains and predicts on one CPU or GPU."""

    name: ClassVar[str] = "tensorflow"
    _explanation = staticmethod(explanation)

    def _build(self) -> None:
        execution = self.setup.execution
        refuse_unsupported(execution)
        set_determinism(execution.deterministic)
        self._device = resolve_device(execution.accelerator)
        precision = resolve_precision(execution, self._device)
        with tf.device(self._device):
            self._model = PtychographyModel(self.setup, self.loss_weights, precision, self._device)

    @staticmethod
    def versions() -> dict[str, str]:
        """Return the version of TensorFlow; Keras takes no part."""
        return {"tensorflow": str(tf.version.VERSION)}  # the package may be tensorflow-cpu

    @staticmethod
    def device_names() -> tuple[str, ...]:
        """Return what the GPUs that TensorFlow sees are called."""
        return device_names()

    @staticmethod
    def use_threads(count: int) -> None:
        """Compute with `count` threads on the CPU."""
        with suppress(RuntimeError):  # its pool of threads is at work already
            tf.config.threading.set_intra_op_parallelism_threads(count)

    @staticmethod
    def gains_by_bfloat16(execution: ExecutionConfig) -> bool:
        """Return whether the device has units for bfloat16."""
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
        # Predicting needs none of it.
        from ptychopinn_backend.tf_backend.training import train

        if checkpoint_folder is not None:
            checkpoint_folder.mkdir(parents=True, exist_ok=True)
        with tf.device(self._device):
            return train(
                self._model,
                training,
                validation,
                on_epoch=on_epoch,
                checkpoint_folder=checkpoint_folder,
                resume=resume,
            )

    def _predict(self, source: GroupSource, batch_size: int) -> Iterator[Complex64Array]:
        patches_of = self._model.compiled(self._model.patches, self._model.canvas_px(source))
        with tf.device(self._device):
            constants = SourceConstants.of(source, self.setup.model)
        for batch in stream(source, np.arange(source.n_groups), batch_size, self.setup.execution):
            with tf.device(self._device):
                patches = patches_of(TensorBatch.of(batch, source, self.setup.model, with_labels=False), constants)
            yield patches.numpy()

    def _forward(self, batch: GroupBatch, source: GroupSource) -> ForwardResult:
        outputs = self._computed(self._model.forward, batch, source)
        return ForwardResult(*(output.numpy() for output in outputs))

    def _losses(self, batch: GroupBatch, source: GroupSource, physics_weight: float) -> dict[str, float]:
        terms = self._computed(self._model.loss_terms, batch, source, physics_weight)
        return {name: float(value) for name, value in terms.items()}

    def _gradients(self, batch: GroupBatch, source: GroupSource, physics_weight: float) -> dict[str, AnyArray]:
        _, gradients = self._computed(self._model.loss_and_gradients, batch, source, physics_weight)
        named = zip(self._model.trainable, gradients, strict=True)
        return {name: to_canonical(name, gradient.numpy()) for name, gradient in named}

    def _computed(self, body: Callable[..., Result], batch: GroupBatch, source: GroupSource, *scalars: float) -> Result:
        """Return what a method of the model, traced, makes of a batch."""
        model = self.setup.model
        with tf.device(self._device):
            function = self._model.compiled(body, self._model.canvas_px(source), len(scalars))
            tensors = TensorBatch.of(batch, source, model, self.loss_weights.needs_labels)
            constants = SourceConstants.of(source, model)
            return function(tensors, constants, *(tf.constant(scalar, tf.float32) for scalar in scalars))
