"""A training in processes of its own, made from what is in memory; what fails in one of them arrives as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from ptychopinn_backend.errors import ChildDiedError, ProcessLostError
from ptychopinn_backend.physics.losses import loss_weights
from ptychopinn_backend.seam.child_process import ChildProcess, Parcel, ParentLink
from ptychopinn_backend.seam.failures import explained_failures
from ptychopinn_backend.seam.interface import BackendSetup, EpochCallback, EpochReport, TrainingResult
from ptychopinn_backend.seam.process_rank import are_processes_given
from ptychopinn_backend.seam.ranked_children import GRACE_S, hear_all, killed_process, ranked_children, take_rank
from ptychopinn_backend.torch_backend.devices import process_count, resolve_device
from ptychopinn_backend.torch_backend.failures import explanation
from ptychopinn_backend.torch_backend.model import PtychographyModel

Train = Callable[..., TrainingResult]
"""`training.train`."""


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
    with ranked_children(_train_one, process_count(setup.execution)) as children:
        # One file for all of them: no scan is copied for each.
        with Parcel((train, _arrays(model), setup, sources, options)) as work:
            for child in children:
                child.give(work)
        result, best = _serve(children, model, on_epoch)
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

    failures = hear_all(children, answer, GRACE_S)
    _raise_first(failures, len(children))
    return answers[0]


def _raise_first(failures: Mapping[int, Exception], count: int) -> None:
    """Raise what failed first of its own accord; then what was killed; then what only lost the others."""
    for error in failures.values():
        if not isinstance(error, ProcessLostError | ChildDiedError):
            raise error
    if (lost := killed_process(failures, count)) is not None:
        raise lost
    for error in failures.values():
        raise error


def _train_one(parent: ParentLink) -> None:
    rank = take_rank(parent)
    train, weights, setup, sources, options = parent.take()

    def report(epoch: EpochReport) -> bool:
        parent.put(_EpochEnd(epoch, _arrays(model)))
        return bool(parent.receive())

    with explained_failures(explanation):
        model = PtychographyModel(setup, loss_weights(setup.training))
        model.load_state_dict(_tensors(weights))
        device = resolve_device(setup.execution)
        result = train(model.to(device), setup, device, *sources, on_epoch=report, **options)
    if rank == 0:
        parent.put(_Trained(result, _arrays(model)))


def _arrays(model: PtychographyModel) -> dict[str, Any]:
    # Copies: pipes carry arrays faster than tensors, and training goes on while they are read.
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in model.state_dict().items()}


def _tensors(arrays: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
