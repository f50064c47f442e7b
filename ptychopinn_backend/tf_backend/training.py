"""The training loop: batches in the shared order, checkpoints, early stopping, exact resume."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ptychopinn_backend.data.source import GroupSource
from ptychopinn_backend.networks.encoder import encoder_weights
from ptychopinn_backend.networks.weights import LOG_SCALE, check_weights
from ptychopinn_backend.seam.epoch_log import open_log
from ptychopinn_backend.seam.interface import EpochCallback, EpochReport, TrainingResult
from ptychopinn_backend.seam.schedule import (
    LearningRateSchedule,
    epoch_order,
    groups_of_step,
    is_fine_tuning,
    physics_weight,
)
from ptychopinn_backend.seam.training_run import (
    EARLY_STOPPING,
    FINISHED,
    STOPPED_ON_REQUEST,
    history_row,
    remove_earlier_run,
    require_finite,
    require_same_run,
    run_fingerprint,
)
from ptychopinn_backend.tf_backend.checkpoints import CHECKPOINT_PATTERNS, LAST_NAME, Checkpoint, with_prefix
from ptychopinn_backend.tf_backend.framework import tf
from ptychopinn_backend.tf_backend.model import SCALAR, PatchModel
from ptychopinn_backend.tf_backend.monitor import BestEpochs
from ptychopinn_backend.tf_backend.optimizers import Optimizer
from ptychopinn_backend.tf_backend.streaming import stream


class Trainer:
    """One run of training; afterwards the model holds the best weights."""

    def __init__(
        self,
        model: PatchModel,
        training: GroupSource,
        validation: GroupSource | None,
        folder: Path | None,
    ) -> None:
        """Prepare a run that starts from the model's present weights.

        Args:
            model: the model to train.
            training: groups to train on.
            validation: groups to validate on, or None.
            folder: where checkpoints and logs go; None writes none.
        """
        setup = model.setup
        self._model, self._setup = model, setup
        self._training, self._validation, self._folder = training, validation, folder
        self._scene = model.scene_tensors(training)
        self._validation_scene = None if validation is None else model.scene_tensors(validation)
        self._optimizer = Optimizer(model.trainable, setup.training)
        self._schedule = LearningRateSchedule(setup.training, setup.execution.learning_rate)
        files = folder if setup.execution.enable_checkpointing else None
        self._best = BestEpochs(setup, validation is not None, files)
        self._fingerprint = run_fingerprint(setup, training, validation)
        self._encoder: frozenset[str] = frozenset()
        if setup.training.epochs_fine_tune > 0:
            self._encoder = encoder_weights(setup.model.architecture, model.weight_shapes)
        self._history: dict[str, list[float]] = {}
        self._epoch = 0
        self._steps: dict[bool, tuple[Any, Any]] = {}

    def start(self, resume: bool) -> None:
        """Take up the last state in the folder, if there is one, or remove what an earlier run left there.

        Args:
            resume: go on from the last state.
        """
        if self._folder is None:
            return
        path = self._folder / LAST_NAME
        if not (resume and path.is_file()):
            if self._setup.execution.enable_checkpointing:
                remove_earlier_run(self._folder, CHECKPOINT_PATTERNS)
            return
        state = Checkpoint.read(path)
        require_same_run(path, state.record["fingerprint"], self._fingerprint)
        weights = state.group("weights")
        check_weights(weights, self._model.weight_shapes)
        self._model.load_weights(weights)
        self._optimizer.load(state.group("optimizer"))
        self._best.restore(state.record["best"], state.group("best"))
        self._schedule.restore(**state.record["schedule"])
        self._history = {name: list(values) for name, values in state.record["history"].items()}
        self._epoch = state.record["epoch"]

    def run(self, on_epoch: EpochCallback | None) -> TrainingResult:
        """Train until the last epoch, early stopping, or the callback says stop.

        Args:
            on_epoch: called after every epoch; True stops.

        Returns:
            History and why training ended.
        """
        n_epochs, execution = self._setup.training.total_epochs, self._setup.execution
        log = open_log(execution.logger_backend, self._folder)
        started = time.monotonic()
        decision = self._best.decision
        stop_reason = EARLY_STOPPING if decision.is_exhausted else FINISHED
        try:
            with _progress_bar(n_epochs, self._epoch, execution.enable_progress_bar) as bar:
                while self._epoch < n_epochs and stop_reason == FINISHED:
                    self._epoch += 1
                    losses, rate = self._run_epoch()
                    self._save()
                    log.record(self._history)
                    bar.set_postfix(loss=losses["loss"])
                    bar.update()
                    report = EpochReport(self._epoch, n_epochs, losses, rate, time.monotonic() - started)
                    if on_epoch is not None and on_epoch(report) and self._epoch < n_epochs:
                        stop_reason = STOPPED_ON_REQUEST
                    elif decision.is_exhausted:
                        stop_reason = EARLY_STOPPING
        finally:
            if self._best.weights is not None:
                self._model.load_weights(self._best.weights)
        return TrainingResult(self._history, decision.epoch, stop_reason)

    def _run_epoch(self) -> tuple[dict[str, float], float]:
        config, epoch = self._setup.training, self._epoch
        rate, weight = self._schedule.rate(epoch), physics_weight(config, epoch)
        losses = self._train(rate, weight)
        losses |= {f"val_{name}": value for name, value in self._validate(weight).items()}
        require_finite(losses, epoch, rate)
        self._schedule.observe(epoch, losses.get("val_loss", losses["loss"]))
        weights = self._model.dump_weights()
        for name, value in history_row(config, epoch, losses, rate, float(weights[LOG_SCALE])).items():
            self._history.setdefault(name, []).append(value)
        self._best.observe(epoch, losses, weights)
        return losses, rate

    def _train(self, rate: float, weight: float) -> dict[str, float]:
        setup = self._setup
        batch_size, accum_steps = setup.training.batch_size, setup.execution.accum_steps
        limit = setup.training.groups_per_epoch
        order = epoch_order(self._training.n_groups, setup.execution.seed, self._epoch, limit)
        n_batches = math.ceil(len(order) / batch_size)
        learning_rate, physics = tf.constant(rate, tf.float32), tf.constant(weight, tf.float32)
        accumulate, step = self._traced_steps(is_fine_tuning(setup.training, self._epoch))
        found = []
        for number, batch in enumerate(stream(self._training, order, batch_size, setup.execution)):
            of_step = groups_of_step(number, len(order), batch_size, accum_steps)
            share = tf.constant(len(batch.X) / of_step, tf.float32)
            arguments = (self._model.batch_tensors(batch, self._training), self._scene, physics, share)
            is_step = (number + 1) % accum_steps == 0 or number + 1 == n_batches
            terms = step(*arguments, learning_rate) if is_step else accumulate(*arguments)
            found.append((len(batch.X), terms))
        return _mean_terms(found)

    def _validate(self, weight: float) -> dict[str, float]:
        if self._validation is None:
            return {}
        terms_of = self._model.compiled("terms", self._model.canvas_px(self._validation))
        order = np.arange(self._validation.n_groups)
        physics = tf.constant(weight, tf.float32)
        found = []
        for batch in stream(self._validation, order, self._setup.training.batch_size, self._setup.execution):
            tensors = self._model.batch_tensors(batch, self._validation)
            found.append((len(batch.X), terms_of(tensors, self._validation_scene, physics)))
        return _mean_terms(found)

    def _traced_steps(self, fine_tuning: bool) -> tuple[Any, Any]:
        """Return functions of (batch, scene, physics weight, share, and for the second the learning rate).

        The first adds the batch's share of the gradient of a step, the second makes the step too.
        """
        if fine_tuning not in self._steps:
            self._steps[fine_tuning] = self._trace_steps(self._encoder if fine_tuning else frozenset())
        return self._steps[fine_tuning]

    def _trace_steps(self, frozen: frozenset[str]) -> tuple[Any, Any]:
        canvas_px = self._model.canvas_px(self._training)
        accumulates = self._setup.execution.accum_steps > 1
        moving = [variable for name, variable in self._model.trainable.items() if name not in frozen]
        sums = [tf.Variable(tf.zeros_like(variable), trainable=False) for variable in moving] if accumulates else []
        signature = (*self._model.signature, SCALAR, SCALAR)

        def accumulate(batch: Any, scene: Any, physics: Any, share: Any) -> Any:
            terms, gradients = self._model.terms_and_gradients(batch, scene, physics, canvas_px, frozen)
            for total, gradient in zip(sums, gradients, strict=True):
                total.assign_add(gradient * share)
            return terms

        def step(batch: Any, scene: Any, physics: Any, share: Any, learning_rate: Any) -> Any:
            if not accumulates:
                terms, gradients = self._model.terms_and_gradients(batch, scene, physics, canvas_px, frozen)
                self._optimizer.apply(gradients, learning_rate, frozen)
                return terms
            terms = accumulate(batch, scene, physics, share)
            self._optimizer.apply([total.read_value() for total in sums], learning_rate, frozen)
            for total in sums:
                total.assign(tf.zeros_like(total))
            return terms

        # Without accumulation only the second is ever called.
        traced = self._model.traced
        return traced(accumulate, signature) if accumulates else accumulate, traced(step, (*signature, SCALAR))

    def _save(self) -> None:
        if self._folder is None or not self._setup.execution.enable_checkpointing:
            return
        best = {} if self._best.weights is None else self._best.weights
        arrays = {
            **with_prefix("weights", self._model.dump_weights()),
            **with_prefix("optimizer", self._optimizer.dump()),
            **with_prefix("best", best),
        }
        record = {
            "epoch": self._epoch,
            "history": self._history,
            "schedule": self._schedule.state,
            "best": self._best.state,
            "fingerprint": self._fingerprint,
        }
        Checkpoint(arrays, record).write(self._folder / LAST_NAME)


def _mean_terms(found: list[tuple[int, dict[str, Any]]]) -> dict[str, float]:
    """Return the mean over groups of the terms of all batches; read from the device only now, so as not to wait."""
    total = sum(n for n, _ in found)
    return {name: sum(n * float(terms[name]) for n, terms in found) / total for name in found[0][1]}


@contextmanager
def _progress_bar(n_epochs: int, done: int, is_shown: bool) -> Iterator[Any]:
    with tqdm(total=n_epochs, initial=done, unit="epoch", desc="training", disable=not is_shown) as bar:
        yield bar
