"""Running statistics of batch normalisation: in archives and checkpoints, at rest in validation and inference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.seam.interface import Backend, EpochReport, TrainingResult
from tests.contract.builders import backend_for, source_for
from tests.contract.prediction import same_weights

OPTIONS: dict[str, Any] = {"batch_norm": True, "cbam_encoder": True, "checkpoint_monitor_metric": "loss"}


def statistics(backend: Backend) -> dict[str, Any]:
    return {n: array for n, array in backend.dump_weights().items() if n.endswith(("/mean", "/variance"))}


def fitted(folder: Path | None = None, **options: Any) -> tuple[Backend, TrainingResult]:
    on_epoch, resume = options.pop("on_epoch", None), options.pop("resume", False)
    source, validation = source_for(OPTIONS, n_groups=8), source_for(OPTIONS, n_groups=5, seed=6)
    backend = backend_for("pytorch", source, **OPTIONS, **options)
    result = backend.fit(source, validation, on_epoch=on_epoch, checkpoint_folder=folder, resume=resume)
    return backend, result


def test_training_moves_the_statistics_and_they_are_weights() -> None:
    source = source_for(OPTIONS)
    before = statistics(backend_for("pytorch", source, **OPTIONS))
    assert len(before) == 2 * (4 + 2 * 4)
    after = statistics(fitted(nepochs=1)[0])
    assert after.keys() == before.keys()
    assert not any(np.array_equal(after[name], before[name]) for name in before)


def test_validation_uses_the_statistics_and_leaves_them() -> None:
    backend, result = fitted(nepochs=1)
    validation = source_for(OPTIONS, n_groups=5, seed=6)
    expected = backend.losses(validation.batch(np.arange(5)), validation)["loss"]
    assert result.history["val_loss"] == pytest.approx([expected], rel=1e-5)
    source = source_for(OPTIONS, n_groups=8)
    alone = backend_for("pytorch", source, nepochs=1, **OPTIONS)
    alone.fit(source)
    assert same_weights(statistics(alone), statistics(backend))


def test_prediction_uses_the_statistics_and_leaves_them() -> None:
    backend, _ = fitted(nepochs=1)
    source = source_for(OPTIONS, n_groups=8)
    before = statistics(backend)
    whole, parts = (np.concatenate(list(backend.predict(source, size))) for size in (8, 3))
    np.testing.assert_allclose(parts, whole, atol=5e-6 * np.abs(whole).max())
    assert same_weights(statistics(backend), before)


def test_statistics_have_no_gradient() -> None:
    backend, _ = fitted(nepochs=1)
    source = source_for(OPTIONS, n_groups=2)
    gradients = backend.gradients(source.batch(np.arange(2)), source)
    assert set(gradients) == set(backend.dump_weights()) - set(statistics(backend))


def test_a_resumed_run_has_the_same_statistics(tmp_path: Path) -> None:
    def stop_at_one(report: EpochReport) -> bool:
        return report.epoch == 1

    whole, _ = fitted(tmp_path / "whole", nepochs=3)
    fitted(tmp_path / "parts", nepochs=3, on_epoch=stop_at_one)
    resumed, result = fitted(tmp_path / "parts", nepochs=3, resume=True)
    assert len(result.history["loss"]) == 3
    assert same_weights(resumed.dump_weights(), whole.dump_weights())


def test_fine_tuning_leaves_the_statistics_of_the_encoder() -> None:
    # Looking for the smallest loss, the last epoch is the best here, so the weights are those after fine-tuning.
    before, _ = fitted(nepochs=1)
    after, result = fitted(nepochs=1, epochs_fine_tune=1)
    assert result.best_epoch == 2
    start, end = statistics(before), statistics(after)
    for name in start:
        assert np.array_equal(end[name], start[name]) == name.startswith("encoder/"), name
