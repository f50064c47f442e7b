"""How Lightning spreads a run over processes: strategy, where the processes come from, and processes of our own."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import torch
from lightning.pytorch.plugins.environments import ClusterEnvironment, LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy, FSDPStrategy, Strategy

from ptychopinn_backend.errors import ChildDiedError, ProcessLostError, UnsupportedOptionError
from ptychopinn_backend.physics.losses import loss_weights
from ptychopinn_backend.seam.child_process import ChildProcess, Parcel, ParentLink, end_all, hear_all
from ptychopinn_backend.seam.interface import BackendSetup, EpochCallback, EpochReport, TrainingResult
from ptychopinn_backend.seam.process_rank import (
    LAUNCHER_VARIABLE,
    QUIET,
    are_processes_given,
    ended_by_signal,
    environment,
)
from ptychopinn_backend.torch_backend.devices import process_count, resolve_device
from ptychopinn_backend.torch_backend.failures import explained_failures
from ptychopinn_backend.torch_backend.model import PtychographyModel

_GRACE_S: Final = 20.0
"""How long the others may take to notice that one has failed."""

Train = Callable[..., TrainingResult]
"""`training.train`."""


def build_strategy(setup: BackendSetup, device: torch.device) -> Strategy | str:
    """Return how Lightning spreads a run.

    Args:
        setup: gives the run-time options, and whether the probe is trained.
        device: kind of device to train on.

    Returns:
        A strategy, or 'auto' for a single process.

    Raises:
        ConfigError: a strategy or number of devices that this machine does not allow.
    """
    execution = setup.execution
    count = process_count(execution)
    if execution.strategy == "fsdp":
        _refuse_with_fsdp(setup)
        return FSDPStrategy(use_orig_params=True)
    if count * execution.num_nodes == 1:
        return "auto"
    # A probe is not lit where the loss looks at patches only, and fine-tuning freezes the encoder; waiting for their
    # gradients would be an error then.
    unused = setup.training.probe_trainable or setup.training.epochs_fine_tune > 0
    return DDPStrategy(find_unused_parameters=unused, process_group_backend="gloo" if device.type == "cpu" else None)


def _refuse_with_fsdp(setup: BackendSetup) -> None:
    refused = {
        "gradient_clip_val": (setup.training.gradient_clip_val, None),
        "precision": (setup.execution.precision, "32-true"),
        "epochs_fine_tune": (setup.training.epochs_fine_tune, 0),
        "recon_log_every_n_epochs": (setup.execution.recon_log_every_n_epochs, None),
    }
    for name, (value, needed) in refused.items():
        if value != needed:
            raise UnsupportedOptionError(
                f"{name} = {value!r} is not offered with strategy 'fsdp', where no process sees a whole weight. Set "
                f"{name} to {needed!r}, or strategy to 'ddp'."
            )


def cluster_environments(setup: BackendSetup) -> list[ClusterEnvironment]:
    """Return what tells Lightning of other processes; nothing lets it look for torchrun, Slurm and others itself."""
    execution = setup.execution
    alone = process_count(execution) * execution.num_nodes == 1
    return [LightningEnvironment()] if alone or LAUNCHER_VARIABLE in os.environ else []


def must_spawn(setup: BackendSetup) -> bool:
    """Return whether a training is to create its processes itself, from what is in memory now."""
    execution = setup.execution
    return not are_processes_given() and execution.num_nodes == 1 and process_count(execution) > 1


def train_in_processes(
    train: Train,
    model: PtychographyModel,
    setup: BackendSetup,
    on_epoch: EpochCallback | None,
    *sources: Any,
    **options: Any,
) -> TrainingResult:
    """Train a model in processes created here; afterwards it holds the best weights.

    Args:
        train: `training.train`, called in every process.
        model: the model.
        setup: its configuration.
        on_epoch: called in this process after every epoch; True stops.
        *sources: groups to train and validate on.
        **options: further arguments of `train`.

    Returns:
        History and why training ended.

    Raises:
        PtychoPINNError: what failed first in one of the processes.
        ProcessLostError: one of them was ended from outside.
    """
    count = process_count(setup.execution)
    port = _free_port()
    children: list[ChildProcess] = []
    try:
        for rank in range(count):
            with environment({**QUIET, LAUNCHER_VARIABLE: str(os.getpid())}):
                children.append(ChildProcess(_train_one, logs=rank == 0))
            children[rank].send(_variables(rank, count, port))
        # One file for all of them: no scan is copied for each.
        with Parcel((train, _arrays(model), setup, sources, options)) as work:
            for child in children:
                child.give(work)
        result, best = _serve(children, model, on_epoch)
    finally:
        end_all(children, 0.0)
    model.load_state_dict(_tensors(best))
    return result


class _EpochEnd(NamedTuple):
    report: EpochReport
    weights: dict[str, Any]


class _Trained(NamedTuple):
    result: TrainingResult
    weights: dict[str, Any]


def _serve(children: Sequence[ChildProcess], model: PtychographyModel, on_epoch: EpochCallback | None) -> _Trained:
    """Answer the processes until all are done or one has failed."""
    answers: list[_Trained] = []

    def answer(rank: int, message: _EpochEnd | _Trained) -> None:
        if isinstance(message, _Trained):
            answers.append(message)
            return
        # Whoever listens may look at the model, or save it.
        model.load_state_dict(_tensors(message.weights))
        children[rank].send(on_epoch is not None and bool(on_epoch(message.report)))

    failures = hear_all(children, answer, _GRACE_S)
    _raise_first(failures, len(children))
    return answers[0]


def _raise_first(failures: Mapping[int, Exception], count: int) -> None:
    """Raise what failed first of its own accord; then what was killed; then what only lost the others."""
    for error in failures.values():
        if not isinstance(error, ProcessLostError | ChildDiedError):
            raise error
    for rank, error in failures.items():
        if isinstance(error, ChildDiedError) and (error.exit_code or 0) < 0:
            raise ProcessLostError(ended_by_signal(rank, count, -(error.exit_code or 0)))
    for error in failures.values():
        raise error


def _variables(rank: int, count: int, port: int) -> dict[str, str]:
    ranks = {"RANK": rank, "LOCAL_RANK": rank, "NODE_RANK": 0, "WORLD_SIZE": count, "MASTER_PORT": port}
    return {"MASTER_ADDR": "127.0.0.1", **{name: str(value) for name, value in ranks.items()}}


def _train_one(parent: ParentLink) -> None:
    # Not before: a program that comes to the same call while it is imported here must not be taken for this process.
    os.environ.update(parent.receive())
    train, weights, setup, sources, options = parent.take()

    def report(epoch: EpochReport) -> bool:
        parent.put(_EpochEnd(epoch, _arrays(model)))
        return bool(parent.receive())

    with explained_failures():
        model = PtychographyModel(setup, loss_weights(setup.training))
        model.load_state_dict(_tensors(weights))
        device = resolve_device(setup.execution)
        result = train(model.to(device), setup, device, *sources, on_epoch=report, **options)
    if os.environ["RANK"] == "0":
        parent.put(_Trained(result, _arrays(model)))


def _arrays(model: PtychographyModel) -> dict[str, Any]:
    # Copies: pipes carry arrays faster than tensors, and training goes on while they are read.
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in model.state_dict().items()}


def _tensors(arrays: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
