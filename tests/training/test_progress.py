"""What training remembers between epochs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.errors import TrainingError
from ptychopinn_backend.seam.interface import BackendSetup, EpochReport
from ptychopinn_backend.seam.progress import TrainingProgress
from tests.contract.builders import split_options

PATH = Path("last.npz")


def progress(**options: object) -> TrainingProgress[AnyArray]:
    model, training, execution = split_options(options)
    probes = np.ones((1, 1, model.N, model.N), np.complex64)
    return TrainingProgress(BackendSetup(model, training, execution, 1.0, probes), validated=False)


def close(run: TrainingProgress[AnyArray], loss: float) -> EpochReport:
    return run.close_epoch({"nll": loss, "loss": loss}, 0.0, lambda: {"w": np.array([loss])})


def test_an_epoch_is_closed_once_for_history_best_weights_and_schedule() -> None:
    run = progress(nepochs=4, scheduler="ReduceLROnPlateau", plateau_patience=0, learning_rate=0.5)
    reports = [close(run, loss) for loss in (3.0, 1.0, 2.0)]
    assert [(report.epoch, report.n_epochs, report.losses["loss"]) for report in reports] == [
        (1, 4, 3.0),
        (2, 4, 1.0),
        (3, 4, 2.0),
    ]
    assert run.history["loss"] == [3.0, 1.0, 2.0]
    assert (run.epoch, run.best.epoch, run.is_over) == (3, 2, False)
    assert run.best_weights == {"w": np.array([1.0])}
    assert [report.learning_rate for report in reports] == [0.5, 0.5, 0.5]
    assert run.learning_rate == 0.25
    close(run, 0.5)
    assert run.is_over
    assert run.result.stop_reason == "finished"


def test_patience_and_requests_end_training() -> None:
    run = progress(nepochs=9, early_stop_patience=2)
    for loss in (1.0, 2.0):
        close(run, loss)
        assert not run.is_over
    report = close(run, 3.0)
    assert (run.is_over, run.stop_reason) == (True, "early stopping")
    assert run.tell(lambda _: True, report)
    assert not run.tell(lambda _: None, report)
    assert not run.tell(None, report)
    run.stop_on_request()
    assert run.result.stop_reason == "stopped on request"


def test_a_request_in_the_last_epoch_changes_nothing() -> None:
    run = progress(nepochs=1)
    assert not run.tell(lambda _: True, close(run, 1.0))


def test_a_restored_run_goes_on_exactly_there() -> None:
    options = {"nepochs": 9, "scheduler": "ReduceLROnPlateau", "plateau_patience": 0, "early_stop_patience": 2}
    run, other = progress(**options), progress(**options)
    for loss in (1.0, 2.0, 3.0):
        close(run, loss)
    other.restore(PATH, run.state, run.best_weights)
    assert other.state == run.state
    assert other.best_weights == run.best_weights
    assert other.learning_rate == run.learning_rate
    assert other.stop_reason == run.stop_reason == "early stopping"


@pytest.mark.parametrize("state", [None, {}, {"history": 3}, {"history": {}, "best": {}, "schedule": {}}])
def test_a_state_of_another_version_is_refused(state: object) -> None:
    with pytest.raises(TrainingError, match=r"'last.npz' is no checkpoint.*of another version.*Delete it"):
        progress().restore(PATH, state, {})


def test_a_loss_that_is_not_finite_is_refused() -> None:
    with pytest.raises(TrainingError, match="nll = nan in epoch 1"):
        close(progress(), float("nan"))
