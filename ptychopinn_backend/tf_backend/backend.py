"""`TensorFlowBackend`: the seam of `ptychopinn_backend.seam.interface` in TensorFlow 2."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ptychopinn_backend.arrays import AnyArray, Complex64Array
from ptychopinn_backend.data.source import GroupBatch, GroupSource
from ptychopinn_backend.seam.interface import Backend, BackendSetup, EpochCallback, ForwardResult, TrainingResult
from ptychopinn_backend.tf_backend.device import choose_device, refuse_unsupported, resolve_precision, set_determinism
from ptychopinn_backend.tf_backend.failures import explained_failures
from ptychopinn_backend.tf_backend.framework import tf
from ptychopinn_backend.tf_backend.model import PatchModel, from_real
from ptychopinn_backend.tf_backend.streaming import stream
from ptychopinn_backend.tf_backend.training import Trainer


class TensorFlowBackend(Backend):
    """Trains and predicts on one CPU or GPU."""

    name: ClassVar[str] = "tensorflow"
    _explained_failures = staticmethod(explained_failures)

    @explained_failures()
    def __init__(self, setup: BackendSetup) -> None:
        """Build the model with its starting weights.

        Args:
            setup: configuration and constants.

        Raises:
            ConfigError: every loss weight is 0, or the accelerator is not there.
            UnsupportedOptionError: a generator or an option that this backend lacks.
        """
        super().__init__(setup)
        refuse_unsupported(setup.execution)
        set_determinism(setup.execution.deterministic)
        self._device = choose_device(setup.execution.accelerator)
        precision = resolve_precision(setup.execution, self._device)
        with tf.device(self._device):
            self._model = PatchModel(setup, self.loss_weights, precision, self._device)

    @staticmethod
    def versions() -> dict[str, str]:
        """Return the version of TensorFlow; Keras takes no part."""
        return {"tensorflow": str(tf.version.VERSION)}  # the package may be tensorflow-cpu

    @staticmethod
    def use_threads(count: int) -> None:
        """Compute with `count` threads on the CPU."""
        with suppress(RuntimeError):  # its pool of threads is at work already
            tf.config.threading.set_intra_op_parallelism_threads(count)

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
        if checkpoint_folder is not None:
            checkpoint_folder.mkdir(parents=True, exist_ok=True)
        with tf.device(self._device):
            trainer = Trainer(self._model, training, validation, checkpoint_folder)
            trainer.start(resume)
            return trainer.run(on_epoch)

    def _predict(self, source: GroupSource, batch_size: int) -> Iterator[Complex64Array]:
        patches_of = self._model.compiled("patches", self._model.canvas_px(source))
        with tf.device(self._device):
            scene = self._model.scene_tensors(source)
        for batch in stream(source, np.arange(source.n_groups), batch_size, self.setup.execution):
            with tf.device(self._device):
                patches = patches_of(self._model.batch_tensors(batch, source), scene)
            yield patches.numpy()

    def _forward(self, batch: GroupBatch, source: GroupSource) -> ForwardResult:
        return ForwardResult(*(output.numpy() for output in self._computed("forward", batch, source)))

    def _losses(self, batch: GroupBatch, source: GroupSource, physics_weight: float) -> dict[str, float]:
        terms = self._computed("terms", batch, source, tf.constant(physics_weight, tf.float32))
        return {name: float(value) for name, value in terms.items()}

    def _gradients(self, batch: GroupBatch, source: GroupSource, physics_weight: float) -> dict[str, AnyArray]:
        weight = tf.constant(physics_weight, tf.float32)
        _, gradients = self._computed("terms_and_gradients", batch, source, weight)
        named = zip(self._model.trainable, gradients, strict=True)
        return {name: from_real(name, gradient.numpy()) for name, gradient in named}

    def _computed(self, name: str, batch: GroupBatch, source: GroupSource, *scalars: Any) -> Any:
        """Return what a traced function of the model makes of a batch."""
        with tf.device(self._device):
            function = self._model.compiled(name, self._model.canvas_px(source))
            return function(self._model.batch_tensors(batch, source), self._model.scene_tensors(source), *scalars)
