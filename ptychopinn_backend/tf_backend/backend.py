"""`TensorFlowBackend`: the seam of `ptychopinn_backend.seam.interface` in TensorFlow 2."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from ptychopinn_backend.arrays import AnyArray, Complex64Array
from ptychopinn_backend.data.source import GroupBatch, GroupSource
from ptychopinn_backend.seam.interface import Backend, BackendSetup, EpochCallback, ForwardResult, TrainingResult
from ptychopinn_backend.seam.training_run import require_fitting_source, require_labels
from ptychopinn_backend.tf_backend.device import choose_device, refuse_unsupported, resolve_precision, set_determinism
from ptychopinn_backend.tf_backend.failures import explained_failures
from ptychopinn_backend.tf_backend.framework import tf
from ptychopinn_backend.tf_backend.model import PatchModel, from_real
from ptychopinn_backend.tf_backend.streaming import stream
from ptychopinn_backend.tf_backend.training import Trainer


class TensorFlowBackend(Backend):
    """Trains and predicts on one CPU or GPU."""

    name: ClassVar[str] = "tensorflow"

    @explained_failures()
    def __init__(self, setup: BackendSetup) -> None:
        """Build the model with its starting weights.

        Args:
            setup: configuration and constants.
        """
        super().__init__(setup)
        refuse_unsupported(setup.execution)
        set_determinism(setup.execution.deterministic)
        self._device = choose_device(setup.execution.accelerator)
        precision = resolve_precision(setup.execution, self._device)
        with tf.device(self._device):
            self._model = PatchModel(setup, precision, self._device)

    @staticmethod
    def versions() -> dict[str, str]:
        """Return the version of TensorFlow; Keras takes no part."""
        return {"tensorflow": str(tf.version.VERSION)}  # the package may be tensorflow-cpu

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return canonical name -> shape of every weight, trainable constants of the physics included."""
        return self._model.weight_shapes

    def dump_weights(self) -> dict[str, AnyArray]:
        """Return a copy of every weight in the canonical layout, which is TensorFlow's own."""
        return self._model.dump_weights()

    def load_weights(self, weights: Mapping[str, AnyArray]) -> None:
        """Take weights in the canonical layout.

        Args:
            weights: exactly the names and shapes of `weight_shapes`.
        """
        self._model.load_weights(weights)

    @explained_failures()
    def fit(
        self,
        training: GroupSource,
        validation: GroupSource | None = None,
        *,
        on_epoch: EpochCallback | None = None,
        checkpoint_folder: Path | None = None,
        resume: bool = False,
    ) -> TrainingResult:
        """Train; see `Backend.fit`.

        Checkpoints are `last.npz` and the `best-epoch*.npz` of the best epochs; a run without any still ends with the
        best weights, which are kept in memory too.

        Args:
            training: groups to train on.
            validation: groups to validate on, or None.
            on_epoch: called after every epoch; True stops.
            checkpoint_folder: where checkpoints and the log go; None writes nothing.
            resume: go on from `last.npz` where it is there.

        Returns:
            History, best epoch and why training ended.
        """
        for source in (training, validation):
            if source is not None:
                require_labels(self._model.loss_weights, source.has_labels)
        if checkpoint_folder is not None:
            checkpoint_folder.mkdir(parents=True, exist_ok=True)
        with tf.device(self._device):
            trainer = Trainer(self._model, training, validation, checkpoint_folder)
            trainer.start(resume)
            return trainer.run(on_epoch)

    def predict(self, source: GroupSource, batch_size: int) -> Iterator[Complex64Array]:
        """Yield the consistent patches of all groups in order, batch by batch.

        Args:
            source: groups to predict.
            batch_size: groups per batch; the result does not depend on it.

        Returns:
            Iterator over (group, N, N, channel) complex64.
        """
        require_fitting_source(source, self.setup)
        return self._predict(source, batch_size)

    def _predict(self, source: GroupSource, batch_size: int) -> Iterator[Complex64Array]:
        with explained_failures():
            patches_of = self._model.compiled("patches", self._model.canvas_px(source))
            with tf.device(self._device):
                scene = self._model.scene_tensors(source)
            for batch in stream(source, np.arange(source.n_groups), batch_size, self.setup.execution):
                with tf.device(self._device):
                    patches = patches_of(self._model.batch_tensors(batch, source), scene)
                yield patches.numpy()

    @explained_failures()
    def forward(self, batch: GroupBatch, source: GroupSource) -> ForwardResult:
        """Return the model's outputs for one batch.

        Args:
            batch: groups of `source`.
            source: gives probes and the canvas.

        Returns:
            Patches and predicted amplitude.
        """
        with tf.device(self._device):
            forward = self._model.compiled("forward", self._model.canvas_px(source))
            outputs = forward(self._model.batch_tensors(batch, source), self._model.scene_tensors(source))
        return ForwardResult(*(output.numpy() for output in outputs))

    @explained_failures()
    def losses(self, batch: GroupBatch, source: GroupSource, physics_weight: float = 1.0) -> dict[str, float]:
        """Return every active loss term and 'loss' for one batch.

        Args:
            batch: groups of `source`.
            source: gives probes, valid pixels and the canvas.
            physics_weight: weight of the configured loss in a training with stages.

        Returns:
            Term name -> value.
        """
        require_labels(self._model.loss_weights, batch.Y is not None)
        with tf.device(self._device):
            terms_of = self._model.compiled("terms", self._model.canvas_px(source))
            tensors, scene = self._model.batch_tensors(batch, source), self._model.scene_tensors(source)
            terms = terms_of(tensors, scene, tf.constant(physics_weight, tf.float32))
        return {name: float(value) for name, value in terms.items()}

    @explained_failures()
    def gradients(self, batch: GroupBatch, source: GroupSource, physics_weight: float = 1.0) -> dict[str, AnyArray]:
        """Return the gradient of 'loss' with respect to every trainable weight.

        Args:
            batch: groups of `source`.
            source: gives probes, valid pixels and the canvas.
            physics_weight: weight of the configured loss in a training with stages.

        Returns:
            Canonical name -> array; for the complex probe d loss / d real + i d loss / d imag.
        """
        require_labels(self._model.loss_weights, batch.Y is not None)
        with tf.device(self._device):
            function = self._model.compiled("terms_and_gradients", self._model.canvas_px(source))
            tensors, scene = self._model.batch_tensors(batch, source), self._model.scene_tensors(source)
            _, gradients = function(tensors, scene, tf.constant(physics_weight, tf.float32))
        named = zip(self._model.trainable, gradients, strict=True)
        return {name: from_real(name, gradient.numpy()) for name, gradient in named}
