"""The contract of a backend that trains: that of prediction, and training and resuming."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.errors import TrainingError
from ptychopinn_backend.networks.weights import LOG_SCALE, PROBE
from ptychopinn_backend.seam.interface import Backend, EpochReport, TrainingResult
from ptychopinn_backend.seam.schedule import LearningRateSchedule
from tests.contract.builders import INTENSITY_SCALE, backend_for, source_for, split_options
from tests.contract.generators import GeneratorContract
from tests.contract.numbers import GradientsContract
from tests.contract.phases import PhasesContract
from tests.contract.prediction import PredictionContract, same_weights

RESUMED = {
    "gridsize": 2,
    "nepochs": 4,
    "probe_trainable": True,
    "scheduler": "ReduceLROnPlateau",
    "plateau_patience": 0,
    "plateau_threshold": 0.5,
}
"""A run whose every kind of state matters: moments, plateau counter, probe and scale."""


class BackendContract(PredictionContract, GradientsContract, PhasesContract, GeneratorContract):
    """Subclass it with `backend_name` set; see test_torch.py."""

    @classmethod
    def _fitted(
        cls,
        *,
        validated: bool = True,
        on_epoch: Callable[[EpochReport], bool | None] | None = None,
        folder: Path | None = None,
        resume: bool = False,
        n_groups: int = 10,
        **options: Any,
    ) -> tuple[Backend, TrainingResult]:
        source = source_for(options, n_groups=n_groups)
        validation = source_for(options, n_groups=5, seed=6) if validated else None
        backend = backend_for(cls.backend_name, source, **options)
        result = backend.fit(source, validation, on_epoch=on_epoch, checkpoint_folder=folder, resume=resume)
        return backend, result

    @pytest.fixture(scope="class")
    @classmethod
    def uninterrupted(cls, tmp_path_factory: pytest.TempPathFactory) -> tuple[Backend, TrainingResult]:
        return cls._fitted(folder=tmp_path_factory.mktemp("run"), **RESUMED)

    # Training

    def test_training_reduces_every_loss_and_reports_each_epoch(self) -> None:
        reports: list[EpochReport] = []
        options = {"nepochs": 5, "mae_weight": 0.5}
        _, result = self._fitted(on_epoch=reports.append, n_groups=14, **options)
        losses = {"nll", "mae", "loss"}
        assert set(result.history) == {
            *losses,
            *(f"val_{name}" for name in losses),
            "learning_rate",
            "intensity_scale",
        }
        assert {len(values) for values in result.history.values()} == {5}
        assert result.stop_reason == "finished"
        for name in ("nll", "mae", "loss"):
            assert result.history[name][-1] < result.history[name][0]
        assert [report.epoch for report in reports] == [1, 2, 3, 4, 5]
        assert {report.n_epochs for report in reports} == {5}
        assert [report.losses["val_loss"] for report in reports] == result.history["val_loss"]
        assert [report.learning_rate for report in reports] == [1e-3] * 5
        elapsed = [report.elapsed_s for report in reports]
        assert elapsed == sorted(elapsed)
        assert elapsed[0] > 0

    def test_epoch_losses_are_means_over_all_groups(self) -> None:
        # With a vanishing learning rate the model stands still, so the mean over batches of 4, 4 and 2 is known.
        source = source_for({}, n_groups=10)
        backend = backend_for(self.backend_name, source, nepochs=1, learning_rate=1e-30)
        expected = backend.losses(source.batch(np.arange(10)), source)
        history = backend.fit(source, source).history
        assert history["loss"][0] == pytest.approx(expected["loss"], rel=1e-5)
        assert history["val_loss"][0] == pytest.approx(expected["loss"], rel=1e-5)

    def test_same_seed_gives_the_same_weights(self) -> None:
        one, other = (self._fitted(gridsize=2, validated=False)[0] for _ in range(2))
        assert same_weights(one.dump_weights(), other.dump_weights())

    def test_callback_stops_training(self) -> None:
        seen: list[int] = []

        def stop_at_two(report: EpochReport) -> bool:
            seen.append(report.epoch)
            return report.epoch == 2

        _, result = self._fitted(on_epoch=stop_at_two, nepochs=6)
        assert seen == [1, 2]
        assert result.stop_reason == "stopped on request"
        assert len(result.history["loss"]) == 2

    def test_early_stopping_keeps_the_best_weights(self, tmp_path: Path) -> None:
        # Looking for the largest loss while the loss falls, the first epoch stays the best.
        options = {"checkpoint_monitor_metric": "loss", "checkpoint_mode": "max", "early_stop_patience": 2}
        backend, result = self._fitted(folder=tmp_path, nepochs=9, **options)
        assert result.stop_reason == "early stopping"
        assert result.best_epoch == 1
        assert len(result.history["loss"]) == 3
        after_one_epoch, _ = self._fitted(nepochs=1, **options)
        assert same_weights(backend.dump_weights(), after_one_epoch.dump_weights())

    def test_best_weights_are_kept_without_checkpoints_too(self) -> None:
        options = {"checkpoint_monitor_metric": "loss", "checkpoint_mode": "max"}
        backend, result = self._fitted(nepochs=3, validated=False, enable_checkpointing=False, **options)
        after_one_epoch, _ = self._fitted(nepochs=1, validated=False)
        assert result.best_epoch == 1
        assert same_weights(backend.dump_weights(), after_one_epoch.dump_weights())

    def test_without_validation_the_training_loss_decides(self) -> None:
        _, result = self._fitted(validated=False, nepochs=3)
        assert result.best_epoch == int(np.argmin(result.history["loss"])) + 1
        assert not [name for name in result.history if name.startswith("val_")]

    def test_unknown_monitored_metric_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"checkpoint_monitor_metric = 'val_psnr'.*'?val_nll'?"):
            self._fitted(checkpoint_monitor_metric="val_psnr")

    def test_learning_rate_follows_the_schedule(self) -> None:
        options = {"scheduler": "WarmupCosine", "lr_warmup_epochs": 2, "nepochs": 5, "learning_rate": 2e-3}
        _, result = self._fitted(validated=False, n_groups=4, **options)
        schedule = LearningRateSchedule(split_options(options)[1], 2e-3)
        assert result.history["learning_rate"] == pytest.approx([schedule.rate(epoch) for epoch in range(1, 6)])

    @pytest.mark.parametrize(
        "options",
        [
            {"optimizer": "adamw", "weight_decay": 0.1, "gradient_clip_val": 1.0},
            {"optimizer": "sgd", "learning_rate": 1e-2, "gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"},
            {"optimizer": "adam", "gradient_clip_val": 0.05, "gradient_clip_algorithm": "agc"},
        ],
    )
    def test_optimisers_and_clipping_reduce_the_loss(self, options: dict[str, Any]) -> None:
        _, result = self._fitted(validated=False, nepochs=3, **options)
        assert result.history["loss"][-1] < result.history["loss"][0]

    def test_only_what_is_trainable_moves(self) -> None:
        options = {"intensity_scale_trainable": False, "validated": False}
        fixed, result = self._fitted(**options)
        assert fixed.dump_weights()[LOG_SCALE] == np.float32(math.log(INTENSITY_SCALE))
        assert result.history["intensity_scale"] == pytest.approx([INTENSITY_SCALE] * 2)
        free, result = self._fitted(probe_trainable=True, validated=False)
        weights = free.dump_weights()
        assert weights[LOG_SCALE] != np.float32(math.log(INTENSITY_SCALE))
        best = result.history["intensity_scale"][(result.best_epoch or 0) - 1]
        assert best == pytest.approx(math.exp(float(weights[LOG_SCALE])), rel=1e-6)
        assert np.abs(weights[PROBE] - free.setup.probes).max() > 1e-4

    def test_supervised_training_reduces_the_error_to_the_labels(self) -> None:
        _, result = self._fitted(model_type="supervised", nepochs=3)
        assert set(result.history) >= {"realspace_mae", "loss", "val_realspace_mae", "val_loss"}
        assert result.history["loss"][-1] < result.history["loss"][0]

    def test_nothing_is_written_without_a_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        self._fitted(nepochs=1)
        assert not list(tmp_path.iterdir())

    # Resuming

    @pytest.mark.parametrize("interruption", ["stopped", "interrupted"])
    def test_a_resumed_run_ends_like_an_uninterrupted_one(
        self, interruption: str, tmp_path: Path, uninterrupted: tuple[Backend, TrainingResult]
    ) -> None:
        def break_off(report: EpochReport) -> bool:
            if report.epoch == 2 and interruption == "interrupted":
                raise KeyboardInterrupt
            return report.epoch == 2

        if interruption == "interrupted":
            with pytest.raises(KeyboardInterrupt):
                self._fitted(folder=tmp_path, resume=True, on_epoch=break_off, **RESUMED)
        else:
            _, first = self._fitted(folder=tmp_path, resume=True, on_epoch=break_off, **RESUMED)
            assert len(first.history["loss"]) == 2
        reports: list[EpochReport] = []
        backend, result = self._fitted(folder=tmp_path, resume=True, on_epoch=reports.append, **RESUMED)
        assert [report.epoch for report in reports] == [3, 4]
        expected, whole = uninterrupted
        assert result.history == whole.history
        assert len(set(whole.history["learning_rate"])) > 1
        assert result.best_epoch == whole.best_epoch
        assert same_weights(backend.dump_weights(), expected.dump_weights())

    def test_resuming_a_finished_run_returns_its_result(self, tmp_path: Path) -> None:
        first, result = self._fitted(folder=tmp_path, nepochs=2)
        again, repeated = self._fitted(folder=tmp_path, nepochs=2, resume=True)
        assert repeated.history == result.history
        assert same_weights(again.dump_weights(), first.dump_weights())

    def test_a_checkpoint_of_another_run_is_refused(self, tmp_path: Path) -> None:
        self._fitted(folder=tmp_path, nepochs=1)
        with pytest.raises(TrainingError, match=r"another run.*mae_weight"):
            self._fitted(folder=tmp_path, nepochs=2, mae_weight=0.5, resume=True)
        with pytest.raises(TrainingError, match=r"another run.*groups"):
            self._fitted(folder=tmp_path, nepochs=2, n_groups=8, resume=True)

    def test_without_resume_a_run_starts_anew(self, tmp_path: Path) -> None:
        self._fitted(folder=tmp_path, nepochs=1)
        _, result = self._fitted(folder=tmp_path, nepochs=2, mae_weight=0.5)
        assert len(result.history["loss"]) == 2

    def test_a_damaged_checkpoint_is_refused(self, tmp_path: Path) -> None:
        self._fitted(folder=tmp_path, nepochs=1)
        for path in tmp_path.rglob("*"):
            if path.is_file():
                path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(TrainingError, match=r"checkpoint.*(Delete|delete)"):
            self._fitted(folder=tmp_path, nepochs=2, resume=True)

    # Refusals

    def test_a_loss_that_is_not_finite_ends_training(self, tmp_path: Path) -> None:
        source = source_for({})
        source.X[3, 5, 5, 0] = np.nan
        backend = backend_for(self.backend_name, source)
        with pytest.raises(TrainingError, match=r"epoch 1.*learning_rate"):
            backend.fit(source, checkpoint_folder=tmp_path)
