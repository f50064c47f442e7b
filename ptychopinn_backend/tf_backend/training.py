"""A training run: batches in the shared order, checkpoints, early stopping, exact resume."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
from tqdm import tqdm

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.groups import GroupSource
from ptychopinn_backend.networks.encoder import encoder_weights
from ptychopinn_backend.networks.weights import LOG_SCALE, check_weights
from ptychopinn_backend.seam.epoch_log import open_log
from ptychopinn_backend.seam.interface import EpochCallback, EpochReport, TrainingResult
from ptychopinn_backend.seam.progress import TrainingProgress
from ptychopinn_backend.seam.schedule import epoch_order, groups_of_step, is_fine_tuning
from ptychopinn_backend.seam.training_run import remove_earlier_run, require_same_run, run_fingerprint
from ptychopinn_backend.tf_backend.checkpoints import (
    CHECKPOINT_PATTERNS,
    LAST_NAME,
    BestFiles,
    Checkpoint,
    with_prefix,
)
from ptychopinn_backend.tf_backend.data import SourceConstants, TensorBatch, signature, stream
from ptychopinn_backend.tf_backend.framework import tf
from ptychopinn_backend.tf_backend.model import SCALAR, PtychographyModel
from ptychopinn_backend.tf_backend.optimizers import Optimizer

Terms: TypeAlias = "dict[str, tf.Tensor]"


def train(
    model: PtychographyModel,
    training: GroupSource,
    validation: GroupSource | None,
    *,
    on_epoch: EpochCallback | None,
    checkpoint_folder: Path | None,
    resume: bool,
) -> TrainingResult:
    """Train a model in place; see `Backend.fit`.

    Args:
        model: the model.
        training: groups to train on.
        validation: groups to validate on, or None.
        on_epoch: called after every epoch; True stops.
        checkpoint_folder: where checkpoints and logs are written; None writes nothing.
        resume: go on from the last state in `checkpoint_folder`.

    Returns:
        History and why training ended.

    Raises:
        TrainingError: a loss that is not finite, or a checkpoint of another configuration.
    """
    execution = model.setup.execution
    run = _Run(model, training, validation, checkpoint_folder)
    progress = run.progress
    run.start(resume)
    log = open_log(execution.logger_backend, model.setup.log_folder or checkpoint_folder)
    total, is_hidden = model.setup.training.total_epochs, not execution.enable_progress_bar
    try:
        with tqdm(total=total, initial=progress.epoch, unit="epoch", desc="training", disable=is_hidden) as bar:
            while not progress.is_over:
                report = run.run_epoch()
                run.save()
                log.record(progress.history)
                bar.set_postfix(loss=report.losses["loss"])
                bar.update()
                if progress.tell(on_epoch, report):
                    progress.stop_on_request()
    finally:
        if progress.best_weights:
            model.load_weights(progress.best_weights)
    return progress.result


class _Run:
    """The steps of a run, and the files it leaves."""

    def __init__(
        self,
        model: PtychographyModel,
        training: GroupSource,
        validation: GroupSource | None,
        folder: Path | None,
    ) -> None:
        setup = model.setup
        self._model, self._setup = model, setup
        self._training, self._validation, self._folder = training, validation, folder
        self._constants = SourceConstants.of(training, setup.model)
        self._validation_constants = None if validation is None else SourceConstants.of(validation, setup.model)
        self.progress = TrainingProgress[AnyArray](setup, validated=validation is not None)
        self._optimizer = Optimizer(model.trainable, setup.training)
        self._best_files: BestFiles | None = None
        if folder is not None and setup.execution.enable_checkpointing:
            self._best_files = BestFiles(folder, setup, self.progress.best)
        self._fingerprint = run_fingerprint(setup, training, validation)
        self._encoder: frozenset[str] = frozenset()
        if setup.training.epochs_fine_tune > 0:
            self._encoder = encoder_weights(setup.model.architecture, model.weight_shapes)
        self._steps: dict[bool, tuple[Callable[..., Terms], Callable[..., Terms]]] = {}

    def start(self, resume: bool) -> None:
        """Take up the last state in the folder, if there is one, or remove what an earlier run left there."""
        if self._folder is None:
            return
        path = self._folder / LAST_NAME
        if not (resume and path.is_file()):
            if self._best_files is not None:
                remove_earlier_run(self._folder, CHECKPOINT_PATTERNS)
            return
        state = Checkpoint.read(path)
        require_same_run(path, state.record["fingerprint"], self._fingerprint)
        for weights in (state.group("weights"), state.group("best")):
            check_weights(weights, self._model.weight_shapes)
        self._model.load_weights(state.group("weights"))
        self._optimizer.load(state.group("optimizer"))
        self.progress.restore(path, state.record.get("progress"), state.group("best"))
        if self._best_files is not None:
            self._best_files.ranking = [(value, epoch) for value, epoch in state.record.get("best_files", ())]

    def run_epoch(self) -> EpochReport:
        """Train for an epoch, validate, and close it."""
        losses = self._train()
        losses |= {f"val_{name}": value for name, value in self._validate().items()}
        weights = self._model.dump_weights()
        report = self.progress.close_epoch(losses, float(weights[LOG_SCALE]), lambda: weights)
        if self._best_files is not None:
            self._best_files.observe(report.epoch, losses, weights)
        return report

    def _train(self) -> dict[str, float]:
        setup, epoch = self._setup, self.progress.epoch + 1
        batch_size, accum_steps = setup.training.batch_size, setup.execution.accum_steps
        limit = setup.training.groups_per_epoch
        order = epoch_order(self._training.n_groups, setup.execution.seed, epoch, limit)
        n_batches = math.ceil(len(order) / batch_size)
        learning_rate = tf.constant(self.progress.learning_rate, tf.float32)
        physics = tf.constant(self.progress.physics_weight, tf.float32)
        accumulate, step = self._traced_steps(is_fine_tuning(setup.training, epoch))
        found = []
        for number, batch in enumerate(stream(self._training, order, batch_size, setup.execution)):
            of_step = groups_of_step(number, len(order), batch_size, accum_steps)
            share = tf.constant(len(batch.X) / of_step, tf.float32)
            tensors = TensorBatch.of(batch, self._training, setup.model, self._model.loss_weights.needs_labels)
            arguments = (tensors, self._constants, physics, share)
            is_step = (number + 1) % accum_steps == 0 or number + 1 == n_batches
            terms = step(*arguments, learning_rate) if is_step else accumulate(*arguments)
            found.append((len(batch.X), terms))
        return _mean_terms(found)

    def _validate(self) -> dict[str, float]:
        if self._validation is None:
            return {}
        source, setup = self._validation, self._setup
        terms_of = self._model.compiled(self._model.loss_terms, self._model.canvas_px(source), scalars=1)
        physics = tf.constant(self.progress.physics_weight, tf.float32)
        found = []
        for batch in stream(source, np.arange(source.n_groups), setup.training.batch_size, setup.execution):
            tensors = TensorBatch.of(batch, source, setup.model, self._model.loss_weights.needs_labels)
            found.append((len(batch.X), terms_of(tensors, self._validation_constants, physics)))
        return _mean_terms(found)

    def _traced_steps(self, fine_tuning: bool) -> tuple[Callable[..., Terms], Callable[..., Terms]]:
        """Return functions of (batch, constants, physics weight, share, and for the second the learning rate).

        The first adds the batch's share of the gradient of a step, the second makes the step too.
        """
        if fine_tuning not in self._steps:
            self._steps[fine_tuning] = self._trace_steps(self._encoder if fine_tuning else frozenset())
        return self._steps[fine_tuning]

    def _trace_steps(self, frozen: frozenset[str]) -> tuple[Callable[..., Terms], Callable[..., Terms]]:
        canvas_px = self._model.canvas_px(self._training)
        accumulates = self._setup.execution.accum_steps > 1
        moving = [variable for name, variable in self._model.trainable.items() if name not in frozen]
        sums = [tf.Variable(tf.zeros_like(variable), trainable=False) for variable in moving] if accumulates else []
        types = (*signature(self._setup.model), SCALAR, SCALAR)

        def accumulate(batch: TensorBatch, constants: SourceConstants, physics: tf.Tensor, share: tf.Tensor) -> Terms:
            terms, gradients = self._model.loss_and_gradients(batch, constants, physics, canvas_px, frozen)
            for total, gradient in zip(sums, gradients, strict=True):
                total.assign_add(gradient * share)
            return terms

        def step(
            batch: TensorBatch,
            constants: SourceConstants,
            physics: tf.Tensor,
            share: tf.Tensor,
            learning_rate: tf.Tensor,
        ) -> Terms:
            if not accumulates:
                terms, gradients = self._model.loss_and_gradients(batch, constants, physics, canvas_px, frozen)
                self._optimizer.apply(gradients, learning_rate, frozen)
                return terms
            terms = accumulate(batch, constants, physics, share)
            self._optimizer.apply([total.read_value() for total in sums], learning_rate, frozen)
            for total in sums:
                total.assign(tf.zeros_like(total))
            return terms

        # Without accumulation only the second is ever called.
        traced = self._model.traced
        return traced(accumulate, types) if accumulates else accumulate, traced(step, (*types, SCALAR))

    def save(self) -> None:
        """Write the last state, where the run keeps checkpoints."""
        if self._folder is None or self._best_files is None:
            return
        arrays = {
            **with_prefix("weights", self._model.dump_weights()),
            **with_prefix("optimizer", self._optimizer.dump()),
            **with_prefix("best", self.progress.best_weights),
        }
        record = {
            "progress": self.progress.state,
            "best_files": self._best_files.ranking,
            "fingerprint": self._fingerprint,
        }
        Checkpoint(arrays, record).write(self._folder / LAST_NAME)


def _mean_terms(found: list[tuple[int, Terms]]) -> dict[str, float]:
    """Return the mean over groups of the terms of all batches; read from the device only now, so as not to wait."""
    total = sum(n for n, _ in found)
    return {name: sum(n * float(terms[name]) for n, terms in found) / total for name in found[0][1]}
