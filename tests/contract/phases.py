"""The part of the contract on stages, fine-tuning and accumulated steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.networks.encoder import encoder_weights
from ptychopinn_backend.networks.weights import LOG_SCALE
from ptychopinn_backend.physics.forward import loss_terms
from ptychopinn_backend.physics.losses import loss_weights
from ptychopinn_backend.seam.interface import Backend, EpochReport, TrainingResult
from ptychopinn_backend.seam.schedule import physics_weight
from tests.contract.builders import backend_for, source_for, split_options
from tests.contract.numbers import LOSS_TOLERANCE, perturb

STAGES: dict[str, Any] = {
    "stage_1_epochs": 1,
    "stage_2_epochs": 2,
    "stage_3_epochs": 1,
}
ALL_PHASES: dict[str, Any] = {
    **STAGES,
    "epochs_fine_tune": 2,
    "fine_tune_gamma": 0.5,
    "scheduler": "Adaptive",
    "weight_decay": 0.1,
    "gradient_clip_val": 1.0,
    "optimizer": "adamw",
}
"""Every kind of epoch, with an optimiser that remembers and decays."""


def moved(one: dict[str, AnyArray], other: dict[str, AnyArray]) -> set[str]:
    return {name for name in one if not np.array_equal(one[name], other[name])}


class PhasesContract:
    """Stages, fine-tuning and accumulation."""

    backend_name: ClassVar[str]

    def _run(
        self,
        folder: Path | None = None,
        *,
        resume: bool = False,
        n_groups: int = 8,
        look: Callable[[Backend, EpochReport], None] = lambda backend, report: None,
        **options: Any,
    ) -> tuple[Backend, TrainingResult]:
        source = source_for(options, n_groups=n_groups)
        backend = backend_for(self.backend_name, source, **options)
        result = backend.fit(
            source, on_epoch=lambda report: look(backend, report), checkpoint_folder=folder, resume=resume
        )
        return backend, result

    @pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
    @pytest.mark.parametrize("bad_pixels", [0, 50])
    def test_a_blended_loss_agrees_with_the_numpy_reference(self, weight: float, bad_pixels: int) -> None:
        options = {**STAGES, "gridsize": 2, "mae_weight": 0.5, "realspace_weight": 0.3, "tv_weight": 0.4}
        source = source_for(options, n_groups=5, n_scans=2, bad_pixels=bad_pixels)
        backend = backend_for(self.backend_name, source, **options)
        perturb(backend, 0.02)
        batch = source.batch(np.arange(5))
        model, training, _ = split_options(options)
        expected = loss_terms(
            backend.forward(batch, source).patches.astype(np.complex128),
            batch,
            source.probes,
            source.valid_pixels,
            intensity_scale=backend.setup.intensity_scale,
            log_scale=float(backend.dump_weights()[LOG_SCALE]),
            model=model,
            weights=loss_weights(training),
            physics_weight=weight,
        )
        found = backend.losses(batch, source, weight)
        assert set(found) == {"nll", "mae", "tv", "normalised", "loss"}
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, rel=LOSS_TOLERANCE), name

    def test_the_first_stage_does_not_know_the_intensity_scale(self) -> None:
        source = source_for({}, n_groups=4)
        batch = source.batch(np.arange(4))
        backend = backend_for(self.backend_name, source, **STAGES)
        weights = backend.dump_weights()
        first = backend.losses(batch, source, 0.0)
        # A network whose input stays the same while the predicted amplitude is four times as large.
        other = backend_for(self.backend_name, source, intensity_scale=400.0, **STAGES)
        other.load_weights({**weights, LOG_SCALE: np.asarray(np.log(400.0), np.float32)})
        assert other.losses(batch, source, 0.0)["loss"] == pytest.approx(first["loss"], rel=1e-5)
        assert other.losses(batch, source)["nll"] != pytest.approx(first["nll"], rel=0.5)

    def test_gradients_of_a_blend_are_the_blend_of_the_gradients(self) -> None:
        source = source_for({}, n_groups=4)
        backend = backend_for(self.backend_name, source, **STAGES)
        batch = source.batch(np.arange(4))
        first, last, between = (backend.gradients(batch, source, weight) for weight in (0.0, 1.0, 0.25))
        expected = {name: 0.75 * first[name] + 0.25 * last[name] for name in between}
        error = np.linalg.norm([np.linalg.norm(between[name] - expected[name]) for name in between])
        assert error < 1e-5 * np.linalg.norm([np.linalg.norm(array) for array in expected.values()])
        assert np.abs(first[LOG_SCALE] - last[LOG_SCALE]) > 0.1 * np.abs(last[LOG_SCALE])

    def test_stages_blend_the_loss_epoch_by_epoch(self) -> None:
        _, result = self._run(**STAGES)
        training = split_options(STAGES)[1]
        weights = [physics_weight(training, epoch) for epoch in range(1, 5)]
        assert result.history["physics_weight"] == weights
        assert weights[0] == 0
        assert weights[-1] == 1
        blended = [
            weight * nll + (1 - weight) * normalised
            for weight, nll, normalised in zip(
                weights, result.history["nll"], result.history["normalised"], strict=True
            )
        ]
        assert result.history["loss"] == pytest.approx(blended, rel=1e-5)
        # The loss of the last stage is far larger than the others; it counts nevertheless.
        assert result.best_epoch == 4

    def test_early_stopping_waits_for_the_last_phase(self) -> None:
        options = {"checkpoint_monitor_metric": "loss", "checkpoint_mode": "max", "early_stop_patience": 1}
        _, staged = self._run(**{**options, "stage_1_epochs": 3, "stage_3_epochs": 4})
        assert staged.stop_reason == "early stopping"
        assert len(staged.history["loss"]) == 5
        _, tuned = self._run(**options, nepochs=3, epochs_fine_tune=4)
        assert tuned.stop_reason == "early stopping"
        assert len(tuned.history["loss"]) == 4

    @pytest.mark.parametrize("architecture", ["cnn", "backprojection_unet"])
    def test_fine_tuning_leaves_the_encoder_as_it_is(self, architecture: str) -> None:
        seen: list[dict[str, AnyArray]] = []
        options = {"architecture": architecture, "nepochs": 1, "epochs_fine_tune": 2, "weight_decay": 0.1}
        rates: list[float] = []

        def look(backend: Backend, report: EpochReport) -> None:
            assert report.n_epochs == 3
            rates.append(report.learning_rate)
            seen.append(backend.dump_weights())

        backend, _ = self._run(look=look, **options)
        encoder = encoder_weights(architecture, seen[0])
        start = backend_for(self.backend_name, source_for({}), **options).dump_weights()
        assert moved(start, seen[0]) >= {name for name in encoder if name.endswith("/kernel")}
        for before, after in ((seen[0], seen[1]), (seen[1], seen[2])):
            changed = moved(before, after)
            assert not changed & encoder
            assert {name for name in before if name.endswith("/kernel")} - encoder <= changed
            assert LOG_SCALE in changed
        assert rates == pytest.approx([1e-3, 1e-4, 1e-4])
        batch = source_for({}).batch(np.arange(2))
        assert encoder <= backend.gradients(batch, source_for({})).keys()

    @pytest.mark.parametrize("stop", range(1, 6))
    def test_resuming_in_any_phase_ends_like_an_uninterrupted_run(
        self, stop: int, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        def interrupt(backend: Backend, report: EpochReport) -> None:
            if report.epoch == stop:
                raise KeyboardInterrupt

        expected, whole = self._whole(tmp_path_factory)
        with pytest.raises(KeyboardInterrupt):
            self._run(tmp_path, look=interrupt, **ALL_PHASES)
        resumed, result = self._run(tmp_path, resume=True, **ALL_PHASES)
        assert result == whole
        assert not moved(resumed.dump_weights(), expected)

    @classmethod
    def _whole(cls, folders: pytest.TempPathFactory) -> tuple[dict[str, AnyArray], TrainingResult]:
        if "whole" not in cls.__dict__:
            backend, result = cls()._run(folders.mktemp("whole"), **ALL_PHASES)
            cls.whole = (backend.dump_weights(), result)
        return cls.whole

    whole: ClassVar[tuple[dict[str, AnyArray], TrainingResult]]

    @pytest.mark.parametrize("n_groups", [16, 18, 22])
    @pytest.mark.parametrize(("optimizer", "learning_rate", "tolerance"), [("sgd", 1e-6, 1e-4), ("adam", 1e-4, 1e-2)])
    def test_accumulated_batches_act_like_one_large_batch(
        self, optimizer: str, learning_rate: float, tolerance: float, n_groups: int
    ) -> None:
        # 18 groups leave a step of one short batch, 22 one of a whole and a short batch.
        options = {
            "optimizer": optimizer,
            "learning_rate": learning_rate,
            "nepochs": 3,
            "gradient_clip_val": 1.0 if optimizer == "adam" else None,
            "n_groups": n_groups,
        }
        # A rectifier or a maximum that rounding switches over moves a run by 1e-4 of its path: up to three are tried.
        errors = (self._error_of_accumulated_batches(seed=seed, **options) for seed in (42, 43, 44))
        assert any(error < tolerance for error in errors)

    def _error_of_accumulated_batches(self, **options: Any) -> float:
        large, expected = self._run(batch_size=8, **options)
        small, found = self._run(batch_size=4, accum_steps=2, **options)
        assert found.history["loss"] == pytest.approx(expected.history["loss"], rel=1e-4)
        start = backend_for(self.backend_name, source_for({}), seed=options["seed"]).dump_weights()
        weights, reference = small.dump_weights(), large.dump_weights()
        names = sorted(weights)
        path = np.concatenate([(reference[name] - start[name]).ravel() for name in names])
        error = np.concatenate([(weights[name] - reference[name]).ravel() for name in names])
        # The gradient of a step is a sum in another order: float32 rounding. Adam divides gradients by their size, so
        # that entries which are all rounding move as far as the others.
        return float(np.linalg.norm(error) / np.linalg.norm(path))

    def test_groups_of_scans_with_more_bad_pixels_count_alike(self) -> None:
        source = source_for({}, n_groups=4, n_scans=2)
        source.valid_pixels[1, :20] = 0
        backend = backend_for(self.backend_name, source, mae_weight=0.5)
        whole = backend.losses(source.batch(np.arange(4)), source)
        parts = [backend.losses(source.batch(np.array([index])), source) for index in range(4)]
        for name, value in whole.items():
            assert value == pytest.approx(np.mean([part[name] for part in parts]), rel=1e-5), name

    def test_a_new_run_removes_the_checkpoints_of_an_earlier_one(self, tmp_path: Path) -> None:
        options = {"checkpoint_save_top_k": 3}
        self._run(tmp_path, nepochs=3, **options)
        (tmp_path / "notes.txt").write_text("kept")
        _, result = self._run(tmp_path, nepochs=1, seed=7, **options)
        assert len(list(tmp_path.glob("best*"))) == 1
        assert len(list(tmp_path.glob("last*"))) == 1
        assert (tmp_path / "notes.txt").exists()
        _, again = self._run(tmp_path, nepochs=1, seed=7, resume=True, **options)
        assert again == result
