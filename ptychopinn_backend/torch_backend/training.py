"""A training run: fresh or resumed, ended by its epochs, early stopping, a request or an error."""

from __future__ import annotations

from pathlib import Path

import torch

from ptychopinn_backend.data.source import GroupSource
from ptychopinn_backend.interface import BackendSetup, EpochCallback, TrainingResult
from ptychopinn_backend.physics.losses import loss_weights
from ptychopinn_backend.torch_backend.checkpoints import LAST_CHECKPOINT, read_checkpoint, run_fingerprint
from ptychopinn_backend.torch_backend.distribution import must_spawn, train_in_processes
from ptychopinn_backend.torch_backend.lightning_module import TrainingModule
from ptychopinn_backend.torch_backend.model import PtychographyModel
from ptychopinn_backend.torch_backend.progress import EARLY_STOPPING, TrainingProgress, monitored_key
from ptychopinn_backend.torch_backend.trainer import build_trainer, contained_settings, quiet_framework


def train(
    model: PtychographyModel,
    setup: BackendSetup,
    device: torch.device,
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
        setup: its configuration.
        device: kind of device to train on.
        training: groups to train on.
        validation: groups to validate on, or None.
        on_epoch: called after every epoch; True stops.
        checkpoint_folder: where checkpoints and logs are written; None writes nothing.
        resume: go on from the last state in `checkpoint_folder`.

    Returns:
        History and why training ended.

    Raises:
        KeyboardInterrupt: the user interrupted; the checkpoint of the last whole epoch is there.
        TrainingError: a loss that is not finite, a checkpoint of another configuration, or a lost process.
    """
    if must_spawn(setup):
        return train_in_processes(
            train, model, setup, on_epoch, training, validation, checkpoint_folder=checkpoint_folder, resume=resume
        )
    progress = TrainingProgress(_monitor(setup, validation is not None), setup.execution.checkpoint_mode)
    fingerprint = run_fingerprint(setup, training, validation)
    last = None if checkpoint_folder is None else checkpoint_folder / LAST_CHECKPOINT
    if not (resume and last is not None and last.is_file()):
        last = None
    if last is not None:
        progress.restore(read_checkpoint(last, fingerprint)["progress"])
    if progress.epoch < setup.training.nepochs and progress.stop_reason != EARLY_STOPPING:
        module = TrainingModule(model, setup, training, validation, progress, fingerprint)
        try:
            with contained_settings(), quiet_framework():
                trainer = build_trainer(
                    setup,
                    device,
                    validated=validation is not None,
                    monitor=progress.monitor,
                    on_epoch=on_epoch,
                    folder=checkpoint_folder,
                )
                trainer.fit(module, ckpt_path=last, weights_only=True)
        except (SystemExit, ValueError) as error:
            if _was_interrupted(error):
                raise KeyboardInterrupt from None
            raise
        finally:
            _take_best(model, progress)
    else:
        _take_best(model, progress)
    return TrainingResult(progress.history, progress.best_epoch, progress.stop_reason)


def _take_best(model: PtychographyModel, progress: TrainingProgress) -> None:
    if progress.best_weights:
        model.load_state_dict(progress.best_weights)


def _monitor(setup: BackendSetup, validated: bool) -> str:
    losses = (*loss_weights(setup.training).active(), "loss")
    validation = tuple(f"val_{name}" for name in losses) if validated else ()
    return monitored_key(setup.execution.checkpoint_monitor_metric, (*losses, *validation))


def _was_interrupted(error: BaseException) -> bool:
    # Lightning turns an interrupt into SystemExit(1), and outside the main thread fails to set the signal handler.
    return isinstance(error.__context__, KeyboardInterrupt)
