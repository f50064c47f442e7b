"""Lightning's Trainer as this package uses it: quiet, writing into one folder, leaving no global setting behind."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint, ModelCheckpoint

from ptychopinn_backend.config import TrainingConfig
from ptychopinn_backend.seam.epoch_log import EpochLog, open_log
from ptychopinn_backend.seam.interface import BackendSetup, EpochCallback
from ptychopinn_backend.seam.schedule import loss_changes
from ptychopinn_backend.torch_backend.checkpoints import LAST_CHECKPOINT, AtomicCheckpointIO
from ptychopinn_backend.torch_backend.devices import process_count, resolve_precision
from ptychopinn_backend.torch_backend.strategy import build_strategy, cluster_environments

_EXPECTED_WARNINGS = (
    # Whole batches come from one call, so worker processes rarely pay; num_workers is there for those that do.
    ".*does not have many workers.*",
    # Everything is logged once per epoch.
    ".*smaller than the logging interval.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    # A checkpoint folder may have been moved since the run was interrupted.
    ".*The dirpath has changed from.*",
    # Epoch means are already reduced over processes.
    ".*recommended to use `self.log.*sync_dist=True.*",
    ".*GPU available but not used.*",
    ".*`isinstance.treespec, LeafSpec.` is deprecated.*",
    # Of an axis of one entry, the step in memory means nothing.
    "Grad strides do not match bucket view strides.*",
)


class _EpochReporter(Checkpoint):  # type: ignore[misc]
    """Logs and calls `on_epoch`; a checkpoint callback only so that it runs after the checkpoint is written."""

    def __init__(self, log: EpochLog, on_epoch: EpochCallback | None) -> None:
        self._log, self._on_epoch = log, on_epoch

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the epoch, report it, and stop when asked to."""
        progress, stop = pl_module.progress, False
        if trainer.is_global_zero:
            self._log.record(progress.history)
            stop = progress.tell(self._on_epoch, pl_module.report)
        if trainer.strategy.broadcast(stop):
            progress.stop_on_request()
            trainer.should_stop = True


class _QuietProcess(Callback):  # type: ignore[misc]
    """Silences expected warnings in a process that Lightning has spawned, which knows nothing of `quiet_framework`."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Set the filters of the process that trains."""
        _ignore_expected_warnings()


class _TerminationAsBefore(Callback):  # type: ignore[misc]
    """Leaves a request to terminate to whoever handled it before; by that of Lightning a run would end as if done.

    Lightning takes the signal between `on_fit_start` and `on_train_start`, and gives it back at the end.
    """

    def __init__(self) -> None:
        self._handler = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signal back."""
        if self._handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._handler)


class _BestCheckpoint(ModelCheckpoint):  # type: ignore[misc]
    """Keeps the best epochs among those with the same loss: where a stage changes the loss, they start anew."""

    best_k_models: dict[str, Any]
    kth_value: Any
    kth_best_model_path: str
    best_model_score: Any
    best_model_path: str

    def __init__(self, training: TrainingConfig, **options: Any) -> None:
        super().__init__(**options)
        self._training = training
        self._worst = self.kth_value

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the checkpoints of the epoch."""
        if loss_changes(self._training, trainer.current_epoch + 1):
            for path in self.best_k_models:
                trainer.strategy.remove_checkpoint(path)
            self.best_k_models = {}
            self.kth_value, self.kth_best_model_path = self._worst, ""
            self.best_model_score, self.best_model_path = None, ""
        super().on_train_epoch_end(trainer, pl_module)


def _checkpoints(setup: BackendSetup, monitor: str, folder: Path) -> list[Callback]:
    execution = setup.execution
    best = _BestCheckpoint(
        setup.training,
        dirpath=folder,
        filename="best" if execution.checkpoint_save_top_k <= 1 else "best-{epoch}",
        monitor=monitor,
        mode=execution.checkpoint_mode,
        save_top_k=execution.checkpoint_save_top_k,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    # By save_last, a callback with a monitor keeps the last state of those that were among the best.
    last = ModelCheckpoint(
        dirpath=folder,
        filename=LAST_CHECKPOINT.removesuffix(ModelCheckpoint.FILE_EXTENSION),
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    return [best, last]


def build_trainer(
    setup: BackendSetup,
    device: torch.device,
    monitor: str,
    validated: bool,
    on_epoch: EpochCallback | None,
    folder: Path | None,
) -> Trainer:
    """Return the Trainer of a run.

    Args:
        setup: gives the execution options and the number of epochs.
        device: kind of device to train on.
        monitor: history key that decides which checkpoint is the best.
        validated: whether there are groups to validate on.
        on_epoch: called after every epoch, or None.
        folder: where checkpoints and logs go; None writes nothing.

    Returns:
        The Trainer.
    """
    execution = setup.execution
    callbacks: list[Callback] = [_QuietProcess(), _TerminationAsBefore()]
    if folder is not None and execution.enable_checkpointing:
        callbacks += _checkpoints(setup, monitor, folder)
    callbacks.append(_EpochReporter(open_log(execution.logger_backend, setup.log_folder or folder), on_epoch))
    return Trainer(
        accelerator="gpu" if device.type == "cuda" else device.type,
        devices=process_count(execution),
        num_nodes=execution.num_nodes,
        strategy=build_strategy(setup, device),
        precision=resolve_precision(execution, device),
        deterministic=execution.deterministic,
        max_epochs=setup.training.total_epochs,
        accumulate_grad_batches=execution.accum_steps,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO(), *cluster_environments(setup)],
        sync_batchnorm=device.type == "cuda" and process_count(execution) * execution.num_nodes > 1,
        logger=False,
        enable_checkpointing=True,
        enable_progress_bar=execution.enable_progress_bar,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=1.0 if validated else 0,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )


@contextmanager
def quiet_framework() -> Iterator[None]:
    """Silence Lightning's banners and the warnings that are expected here, for the time of a run."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    loggers += [logging.getLogger(name) for name in ("lightning.pytorch.utilities.rank_zero", "mlflow")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            _ignore_expected_warnings()
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _ignore_expected_warnings() -> None:
    for message in _EXPECTED_WARNINGS:
        warnings.filterwarnings("ignore", message=message)


@contextmanager
def contained_settings() -> Iterator[None]:
    """Restore the process-wide settings that a Trainer changes: deterministic algorithms and the interrupt handler."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    memory = cast(Any, torch.utils.deterministic)
    fill = memory.fill_uninitialized_memory
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if in_main_thread else None
    # Filling fresh memory with NaN finds programming errors only, and costs a pass over every activation.
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        memory.fill_uninitialized_memory = fill
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
