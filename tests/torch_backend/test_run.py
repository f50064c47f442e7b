"""A training run on PyTorch: what it writes, prints and leaves behind, and the options only this backend has."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ptychopinn_backend.seam.interface import Backend, EpochReport, TrainingResult
from tests.contract.builders import backend_for, source_for


def _fitted(folder: Path | None = None, **options: Any) -> tuple[Backend, TrainingResult]:
    source = source_for(options, n_groups=8)
    backend = backend_for("pytorch", source, **{"nepochs": 2, **options})
    return backend, backend.fit(source, source_for(options, n_groups=4, seed=8), checkpoint_folder=folder)


def test_no_logger_writes_checkpoints_only(tmp_path: Path) -> None:
    _fitted(tmp_path, logger_backend="none")
    assert {path.name for path in tmp_path.iterdir()} == {"best.ckpt", "last.ckpt"}


@pytest.mark.parametrize(("top_k", "kept"), [(0, 0), (1, 1), (2, 2)])
def test_the_best_checkpoints_are_kept(top_k: int, kept: int, tmp_path: Path) -> None:
    _fitted(tmp_path, checkpoint_save_top_k=top_k, nepochs=3, logger_backend="none")
    assert len(list(tmp_path.glob("best*.ckpt"))) == kept
    assert (tmp_path / "last.ckpt").is_file()


def test_checkpoints_hold_plain_data_only(tmp_path: Path) -> None:
    _fitted(tmp_path, probe_trainable=True)
    for name in ("best.ckpt", "last.ckpt"):
        stored = torch.load(tmp_path / name, weights_only=True)
        assert stored["ptychopinn"]["progress"]["history"]["loss"]


def test_a_quiet_run_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _fitted(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_the_progress_bar_appears_when_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    _fitted(enable_progress_bar=True, nepochs=1)
    output = capfd.readouterr()
    assert "Epoch 0" in output.out + output.err


def test_process_wide_settings_are_left_as_they_were() -> None:
    def settings() -> tuple[object, ...]:
        return (
            torch.are_deterministic_algorithms_enabled(),
            torch.utils.deterministic.fill_uninitialized_memory,
            torch.get_num_threads(),
            torch.get_float32_matmul_precision(),
            signal.getsignal(signal.SIGINT),
            signal.getsignal(signal.SIGTERM),
            logging.getLogger("lightning.pytorch").level,
            os.getcwd(),  # noqa: PTH109 - the string is compared
            sys.excepthook,
            torch.is_grad_enabled(),
        )

    before = settings()
    _fitted()
    assert settings() == before


def test_an_interrupt_leaves_the_handler_in_place() -> None:
    before = signal.getsignal(signal.SIGINT)
    source = source_for({}, n_groups=4)

    def interrupt(report: EpochReport) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backend_for("pytorch", source).fit(source, on_epoch=interrupt)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_error_in_the_callback_comes_through() -> None:
    source = source_for({}, n_groups=4)

    def fail(report: EpochReport) -> None:
        raise LookupError("the window was closed")

    with pytest.raises(LookupError, match="the window was closed"):
        backend_for("pytorch", source).fit(source, on_epoch=fail)


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_mixed_precision_trains_close_to_float32(precision: str) -> None:
    options: dict[str, Any] = {"gridsize": 2, "nepochs": 4, "probe_trainable": True, "gradient_clip_val": 1e6}
    _, full = _fitted(**options)
    backend, mixed = _fitted(precision=precision, **options)
    assert mixed.history["loss"] == pytest.approx(full.history["loss"], rel=0.02)
    source = source_for({"gridsize": 2}, n_groups=2)
    assert next(backend.predict(source, 2)).dtype == np.complex64


def test_loading_processes_do_not_change_the_result() -> None:
    alone, _ = _fitted()
    helped, _ = _fitted(num_workers=1, persistent_workers=True, prefetch_factor=2)
    expected = alone.dump_weights()
    assert all(np.array_equal(array, expected[name]) for name, array in helped.dump_weights().items())


def test_a_run_may_be_made_longer(tmp_path: Path) -> None:
    source = source_for({}, n_groups=8)
    whole = backend_for("pytorch", source, nepochs=3)
    expected = whole.fit(source)
    backend_for("pytorch", source, nepochs=1).fit(source, checkpoint_folder=tmp_path)
    longer = backend_for("pytorch", source, nepochs=3)
    assert longer.fit(source, checkpoint_folder=tmp_path, resume=True).history == expected.history


def test_a_run_that_stopped_early_is_not_taken_up_again(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "checkpoint_monitor_metric": "loss",
        "checkpoint_mode": "max",
        "early_stop_patience": 1,
        "nepochs": 5,
    }
    source = source_for({}, n_groups=8)
    first = backend_for("pytorch", source, **options).fit(source, checkpoint_folder=tmp_path)
    again = backend_for("pytorch", source, **options).fit(source, checkpoint_folder=tmp_path, resume=True)
    assert again == first
    assert again.stop_reason == "early stopping"


def test_a_moved_folder_can_be_resumed(tmp_path: Path) -> None:
    source = source_for({}, n_groups=8)
    backend_for("pytorch", source, nepochs=1).fit(source, checkpoint_folder=tmp_path / "before")
    (tmp_path / "before").rename(tmp_path / "after")
    result = backend_for("pytorch", source, nepochs=2).fit(source, checkpoint_folder=tmp_path / "after", resume=True)
    assert len(result.history["loss"]) == 2
    assert not (tmp_path / "before").exists()


@pytest.mark.slow
def test_two_spawned_processes_train_one_model() -> None:
    source = source_for({}, n_groups=8)
    options: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 1e-5}
    backend = backend_for("pytorch", source, strategy="ddp_spawn", devices=2, batch_size=2, **options)
    result = backend.fit(source, source)
    # Two batches of two, averaged, are the batch of four of a single process; the learning rate grows with sqrt(2).
    alone = backend_for("pytorch", source, batch_size=4, **{**options, "learning_rate": 1e-5 * 2**0.5})
    expected = alone.fit(source, source)
    assert result.history.keys() == expected.history.keys()
    assert result.best_epoch == expected.best_epoch
    for name, values in expected.history.items():
        assert result.history[name] == pytest.approx(values, rel=1e-5), name
    weights = alone.dump_weights()
    for name, array in backend.dump_weights().items():
        np.testing.assert_allclose(array, weights[name], atol=1e-5, err_msg=name)
