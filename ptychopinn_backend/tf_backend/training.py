"""The training loop: batches in the shared order, checkpoints, early stopping, exact resume."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ptychopinn_backend.data.source import GroupSource
from ptychopinn_backend.errors import TrainingError
from ptychopinn_backend.interface import EpochCallback, EpochReport, TrainingResult
from ptychopinn_backend.networks.weights import LOG_SCALE
from ptychopinn_backend.schedule import LearningRateSchedule, epoch_order
from ptychopinn_backend.tf_backend.checkpoints import LAST_NAME, Checkpoint, fingerprint, require_same_run, with_prefix
from ptychopinn_backend.tf_backend.epoch_log import open_log
from ptychopinn_backend.tf_backend.framework import tf
from ptychopinn_backend.tf_backend.model import PatchModel, traced
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
        terms = (*model.loss_weights.active(), "loss")
        names = (*terms, *(f"val_{name}" for name in terms)) if validation is not None else terms
        self._best = BestEpochs(setup.execution, names, folder if setup.execution.enable_checkpointing else None)
        self._fingerprint = fingerprint(setup, training, validation)
        self._history: dict[str, list[float]] = {}
        self._epoch = 0
        self._accumulate, self._step = self._traced_steps()

    def resume(self) -> None:
        """Take up the last state in the folder, if there is one."""
        path = None if self._folder is None else self._folder / LAST_NAME
        if path is None or not path.is_file():
            return
        state = Checkpoint.read(path)
        require_same_run(path, state.record["fingerprint"], self._fingerprint)
        self._model.load_weights(state.group("weights"))
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
        n_epochs, execution = self._setup.training.nepochs, self._setup.execution
        log = open_log(execution.logger_backend, self._folder)
        started = time.monotonic()
        stop_reason = "early stopping" if self._best.is_exhausted else "finished"
        try:
            with _progress_bar(n_epochs, self._epoch, execution.enable_progress_bar) as bar:
                while self._epoch < n_epochs and stop_reason == "finished":
                    self._epoch += 1
                    losses, rate = self._run_epoch()
                    self._save()
                    log.record(self._history)
                    bar.set_postfix(loss=losses["loss"])
                    bar.update()
                    report = EpochReport(self._epoch, n_epochs, losses, rate, time.monotonic() - started)
                    if on_epoch is not None and on_epoch(report) and self._epoch < n_epochs:
                        stop_reason = "stopped on request"
                    elif self._best.is_exhausted:
                        stop_reason = "early stopping"
        finally:
            if self._best.weights is not None:
                self._model.load_weights(self._best.weights)
        return TrainingResult(self._history, self._best.epoch, stop_reason)

    def _run_epoch(self) -> tuple[dict[str, float], float]:
        rate = self._schedule.rate(self._epoch)
        losses = self._train(rate)
        losses |= {f"val_{name}": value for name, value in self._validate().items()}
        self._require_finite(losses)
        self._schedule.observe(losses.get("val_loss", losses["loss"]))
        weights = self._model.dump_weights()
        with np.errstate(over="ignore"):
            # A training that diverges is stopped for its loss, one epoch later.
            scale = float(np.exp(weights[LOG_SCALE]))
        for name, value in {**losses, "learning_rate": rate, "intensity_scale": scale}.items():
            self._history.setdefault(name, []).append(value)
        self._best.observe(self._epoch, losses, weights)
        return losses, rate

    def _train(self, rate: float) -> dict[str, float]:
        setup = self._setup
        batch_size, accum_steps = setup.training.batch_size, setup.execution.accum_steps
        limit = setup.training.groups_per_epoch
        order = epoch_order(self._training.n_groups, setup.execution.seed, self._epoch, limit)
        n_batches = math.ceil(len(order) / batch_size)
        learning_rate = tf.constant(rate, tf.float32)
        found = []
        for number, batch in enumerate(stream(self._training, order, batch_size, setup.execution), start=1):
            is_step = number % accum_steps == 0 or number == n_batches
            arguments = (self._model.batch_tensors(batch, self._training), self._scene)
            terms = self._step(*arguments, learning_rate) if is_step else self._accumulate(*arguments)
            found.append((len(batch.X), terms))
        return _mean_terms(found)

    def _validate(self) -> dict[str, float]:
        if self._validation is None:
            return {}
        terms_of = self._model.compiled("terms", self._model.canvas_px(self._validation))
        order = np.arange(self._validation.n_groups)
        found = []
        for batch in stream(self._validation, order, self._setup.training.batch_size, self._setup.execution):
            tensors = self._model.batch_tensors(batch, self._validation)
            found.append((len(batch.X), terms_of(tensors, self._validation_scene)))
        return _mean_terms(found)

    def _traced_steps(self) -> tuple[Any, Any]:
        """Return the functions of (batch, scene) that sums gradients, and of (batch, scene, rate) that steps too."""
        canvas_px = self._model.canvas_px(self._training)
        accum_steps = self._setup.execution.accum_steps
        summed = list(self._model.trainable.values()) if accum_steps > 1 else []
        sums = [tf.Variable(tf.zeros_like(variable), trainable=False) for variable in summed]
        signature = self._model.signature

        def accumulate(batch: Any, scene: Any) -> Any:
            terms, gradients = self._model.terms_and_gradients(batch, scene, canvas_px)
            for total, gradient in zip(sums, gradients, strict=True):
                total.assign_add(gradient / accum_steps)
            return terms

        def step(batch: Any, scene: Any, learning_rate: Any) -> Any:
            if accum_steps == 1:
                terms, gradients = self._model.terms_and_gradients(batch, scene, canvas_px)
                self._optimizer.apply(gradients, learning_rate)
                return terms
            terms = accumulate(batch, scene)
            self._optimizer.apply([total.read_value() for total in sums], learning_rate)
            for total in sums:
                total.assign(tf.zeros_like(total))
            return terms

        # Without accumulation only the second is ever called.
        return accumulate if accum_steps == 1 else traced(accumulate, signature), traced(
            step, (*signature, tf.TensorSpec((), tf.float32))
        )

    def _require_finite(self, losses: Mapping[str, float]) -> None:
        for name, value in losses.items():
            if not math.isfinite(value):
                raise TrainingError(
                    f"{name} became {value} in epoch {self._epoch}; every loss must stay finite. Lower learning_rate "
                    f"(now {self._setup.execution.learning_rate}), set gradient_clip_val, or look for NaN in the data."
                )

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
