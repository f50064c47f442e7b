"""How Lightning spreads a run over processes: strategy, where the processes come from, and processes of our own."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, Final

import torch
from lightning.pytorch.plugins.environments import ClusterEnvironment, LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy, FSDPStrategy, Strategy
from torch.multiprocessing.spawn import ProcessContext, start_processes

from ptychopinn_backend.errors import ProcessLostError, UnsupportedOptionError
from ptychopinn_backend.physics.losses import loss_weights
from ptychopinn_backend.seam.interface import BackendSetup, EpochCallback, EpochReport, TrainingResult
from ptychopinn_backend.seam.process_rank import (
    LAUNCHER_VARIABLE,
    QUIET,
    are_processes_given,
    end_with_launcher,
    ended_by_signal,
    environment,
)
from ptychopinn_backend.torch_backend.devices import process_count, resolve_device
from ptychopinn_backend.torch_backend.failures import explained_failures
from ptychopinn_backend.torch_backend.model import PtychographyModel

_GRACE_S: Final = 20.0
"""How long the others may take to notice that one has failed."""
_POLL_S: Final = 0.2

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
    weights = _arrays(model)
    context = torch.multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(count)]
    arguments = (
        count,
        _free_port(),
        os.getpid(),
        [theirs for _, theirs in pipes],
        train,
        weights,
        setup,
        sources,
        options,
    )
    with environment(QUIET):
        processes = start_processes(  # type: ignore[no-untyped-call]  # torch leaves it untyped
            _train_one, arguments, count, join=False, start_method="spawn"
        )
    for _, theirs in pipes:
        theirs.close()
    try:
        result, best = _serve(processes, [ours for ours, _ in pipes], model, on_epoch)
    finally:
        _end(processes)
        for ours, _ in pipes:
            ours.close()
    model.load_state_dict(_tensors(best))
    return result


def _serve(
    context: ProcessContext, pipes: Sequence[Connection], model: PtychographyModel, on_epoch: EpochCallback | None
) -> tuple[TrainingResult, dict[str, Any]]:
    """Answer the processes until the first one has the result or one has failed."""
    open_pipes, failures, answer = list(pipes), list[Exception](), None
    deadline = float("inf")
    while open_pipes and time.monotonic() < deadline:
        for pipe in wait(open_pipes, _POLL_S):
            assert isinstance(pipe, Connection)
            try:
                kind, *content = pipe.recv()
            except (EOFError, OSError):
                open_pipes.remove(pipe)
                continue
            if kind == "epoch":
                report, weights = content
                # Whoever listens may look at the model, or save it.
                model.load_state_dict(_tensors(weights))
                pipe.send(on_epoch is not None and bool(on_epoch(report)))
            elif kind == "failure":
                failures.append(*content)
            else:
                answer = content
        if deadline == float("inf") and (failures or _killed(context) is not None):
            deadline = time.monotonic() + _GRACE_S
    cause = next((error for error in failures if not isinstance(error, ProcessLostError)), None)
    killed = _killed(context)
    if cause is not None:
        raise cause
    if killed is not None:
        raise ProcessLostError(ended_by_signal(*killed))
    if answer is None:
        raise failures[0] if failures else ProcessLostError("The processes of the training ended without a result.")
    return answer[0], answer[1]


def _killed(context: ProcessContext) -> tuple[int, int, int] | None:
    """Return rank, number of processes and signal of the first process that a signal ended."""
    for rank, process in enumerate(context.processes):
        if process.exitcode is not None and process.exitcode < 0:
            return rank, len(context.processes), -process.exitcode
    return None


def _end(context: ProcessContext) -> None:
    for process in context.processes:
        process.join(0.0 if process.is_alive() and sys.exc_info()[0] is not None else _GRACE_S)
        if process.is_alive():
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        process.join()


def _train_one(
    rank: int,
    count: int,
    port: int,
    parent: int,
    pipes: Sequence[Connection],
    train: Train,
    weights: dict[str, Any],
    setup: BackendSetup,
    sources: Sequence[Any],
    options: dict[str, Any],
) -> None:
    ranks = {"RANK": rank, "LOCAL_RANK": rank, "NODE_RANK": 0, "WORLD_SIZE": count, LAUNCHER_VARIABLE: parent}
    os.environ.update({name: str(value) for name, value in ranks.items()})
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    end_with_launcher()
    pipe = pipes[rank]
    for other in pipes:
        if other is not pipe:
            other.close()

    def report(epoch: EpochReport) -> bool:
        pipe.send(("epoch", epoch, _arrays(model)))
        return bool(pipe.recv())

    try:
        with explained_failures():
            model = PtychographyModel(setup, loss_weights(setup.training))
            model.load_state_dict(_tensors(weights))
            device = resolve_device(setup.execution)
            result = train(model.to(device), setup, device, *sources, on_epoch=report, **options)
        if rank == 0:
            pipe.send(("result", result, _arrays(model)))
    except KeyboardInterrupt:
        pass
    except Exception as error:
        pipe.send(("failure", error))
    pipe.close()


def _arrays(model: PtychographyModel) -> dict[str, Any]:
    # Copies: pipes carry arrays faster than tensors, and training goes on while they are read.
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in model.state_dict().items()}


def _tensors(arrays: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
