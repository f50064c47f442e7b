"""A training run: fresh or resumed, ended by its epochs, early stopping, a request or an error."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from ptychopinn_backend.groups import GroupSource
from ptychopinn_backend.seam.interface import BackendSetup, EpochCallback, TrainingResult
from ptychopinn_backend.seam.process_rank import is_first_process
from ptychopinn_backend.seam.progress import TrainingProgress
from ptychopinn_backend.seam.training_run import remove_earlier_run, run_fingerprint
from ptychopinn_backend.torch_backend.checkpoints import CHECKPOINT_PATTERNS, LAST_CHECKPOINT, read_checkpoint
from ptychopinn_backend.torch_backend.distribution import must_spawn, train_in_processes
from ptychopinn_backend.torch_backend.lightning_module import TrainingModule
from ptychopinn_backend.torch_backend.model import PtychographyModel
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
    progress = TrainingProgress[Tensor](setup, validated=validation is not None)
    fingerprint = run_fingerprint(setup, training, validation)
    last = _last_checkpoint(checkpoint_folder) if resume else None
    if last is not None:
        state = read_checkpoint(last, fingerprint)
        progress.restore(last, state.get("progress"), state.get("best_weights"))
    elif checkpoint_folder is not None and setup.execution.enable_checkpointing and is_first_process(setup.execution):
        remove_earlier_run(checkpoint_folder, CHECKPOINT_PATTERNS)
    if not progress.is_over:
        # What fsdp splits over devices cannot be put together again in place.
        trained = copy.deepcopy(model) if setup.execution.strategy == "fsdp" else model
        module = TrainingModule(trained, setup, training, validation, progress, fingerprint)
        try:
            with contained_settings(), quiet_framework(), _interrupts_as_such():
                trainer = build_trainer(
                    setup, device, progress.best.monitor, validation is not None, on_epoch, checkpoint_folder
                )
                trainer.fit(module, ckpt_path=last, weights_only=True)
        finally:
            module.freeze_encoder(False)
            _take_best(model, progress)
    else:
        _take_best(model, progress)
    return progress.result


def _last_checkpoint(folder: Path | None) -> Path | None:
    path = None if folder is None else folder / LAST_CHECKPOINT
    return path if path is not None and path.is_file() else None


def _take_best(model: PtychographyModel, progress: TrainingProgress[Tensor]) -> None:
    if progress.best_weights:
        model.load_state_dict(progress.best_weights)


@contextmanager
def _interrupts_as_such() -> Iterator[None]:
    # Lightning turns an interrupt into SystemExit(1), and outside the main thread fails to set the signal handler.
    try:
        yield
    except (SystemExit, ValueError) as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise error.__context__ from None
        raise
