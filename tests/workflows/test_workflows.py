"""The functions scripts call: train, reconstruct, save, load; and what they leave in `params.cfg`."""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ptychopinn_backend import params
from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import ConfigError, DataError
from ptychopinn_backend.physics.scan_model import scan_intensities
from ptychopinn_backend.runs.reconstruct import predict, reconstruct
from ptychopinn_backend.seam.interface import EpochReport
from ptychopinn_backend.stitching.assembly import ObjectFrame
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction
from ptychopinn_backend.workflows import (
    fit_to_scans,
    load_inference_bundle,
    run_cdi_example,
    save_outputs,
    save_reconstruction,
    train_cdi_model,
    train_scans,
)

QUICK = ExecutionConfig(enable_checkpointing=False, logger_backend="none", accelerator="cpu")


pytestmark = pytest.mark.usefixtures("kept_parameters")


@pytest.fixture
def config(tmp_path: Path) -> TrainingConfig:
    model = ModelConfig(N=32, n_filters_scale=1)
    return TrainingConfig(
        model=model, nepochs=2, n_groups=40, nphotons=1e5, backend="pytorch", output_dir=tmp_path / "run"
    )


@pytest.fixture(scope="module")
def results(scan: RawData, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    saved = params.snapshot()
    folder = tmp_path_factory.mktemp("trained")
    config = TrainingConfig(
        model=ModelConfig(N=32, n_filters_scale=1),
        nepochs=3,
        n_groups=40,
        nphotons=1e5,
        backend="pytorch",
        output_dir=folder,
    )
    amplitude, phase, found = run_cdi_example(scan, scan, config, execution=QUICK)
    found.update(amplitude=amplitude, phase=phase, cfg=params.snapshot(), folder=folder)
    params.restore(saved)
    return found


def test_run_cdi_example_gives_an_object_and_says_which_backend_made_it(results: dict[str, Any]) -> None:
    assert results["backend"] == "pytorch"
    found: Reconstruction = results["reconstruction"]
    np.testing.assert_array_equal(results["amplitude"], np.abs(found.object))
    np.testing.assert_array_equal(results["phase"], np.angle(found.object))
    assert len(results["history"]["loss"]) == 3
    assert results["history"]["loss"][-1] < results["history"]["loss"][0]


def test_training_leaves_params_cfg_for_legacy_readers(results: dict[str, Any]) -> None:
    cfg = results["cfg"]
    assert (cfg["N"], cfg["gridsize"], cfg["nepochs"]) == (32, 1, 3)
    assert cfg["intensity_scale"] == pytest.approx(np.sqrt(1e5) / 16)
    assert cfg["output_prefix"] == str(results["folder"])
    assert results["model"].params == cfg


def test_save_outputs_writes_every_file_and_the_bundle_restores_params(results: dict[str, Any], tmp_path: Path) -> None:
    written = save_outputs(results["amplitude"], results["phase"], results, tmp_path / "out")
    assert sorted(path.name for path in written) == [
        "history.csv",
        "loss.png",
        "reconstruction.h5",
        "reconstruction.npz",
        "reconstruction.png",
        "wts.h5.zip",
    ]
    assert all(path.stat().st_size > 0 for path in written)
    with (tmp_path / "out" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == results["history"]["loss"]

    params.cfg["N"] = 256
    model, restored = load_inference_bundle(tmp_path / "out")
    assert params.cfg == results["cfg"] == restored
    assert model.backend_name == "pytorch"
    weights, again = results["model"].backend.dump_weights(), model.backend.dump_weights()
    assert weights.keys() == again.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(again[name], array, strict=True)


def test_a_saved_model_reconstructs_the_same_object(results: dict[str, Any], scan: RawData, tmp_path: Path) -> None:
    results["model"].save(tmp_path / "wts.h5.zip")
    model, _ = load_inference_bundle(tmp_path)
    again = reconstruct(model, scan)
    np.testing.assert_array_equal(again.object, results["reconstruction"].object)


def test_a_model_older_than_its_checkpoints_is_opened_with_a_warning(results: dict[str, Any], tmp_path: Path) -> None:
    archive = results["model"].save(tmp_path / "wts.h5.zip")
    os.utime(archive, (0, 0))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    with pytest.warns(UserWarning, match=f"are newer than the model '{archive}'"):
        load_inference_bundle(tmp_path)


def test_object_times_probe_gives_the_measured_counts(results: dict[str, Any], scan: RawData) -> None:
    found: Reconstruction = results["reconstruction"]
    model = scan_intensities(found.object, found.origin_rc, found.probe, scan.positions_xy)
    assert float(model.sum()) == pytest.approx(float(np.sum(scan.diff3d.astype(np.float64) ** 2)), rel=1e-3)


def test_a_truth_too_small_to_compare_with_is_left_out_of_the_figure(
    results: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written = save_reconstruction(results["reconstruction"], tmp_path, truth=np.ones((4, 4), np.complex64))
    assert all(path.stat().st_size > 0 for path in written)
    assert "without the truth" in caplog.text


def test_the_product_file_holds_object_probe_and_losses(results: dict[str, Any], tmp_path: Path) -> None:
    save_outputs(results["amplitude"], results["phase"], results, tmp_path)
    with h5py.File(tmp_path / "reconstruction.h5") as product:
        assert product["object"].shape[-2:] == results["amplitude"].shape
        np.testing.assert_allclose(product["loss_values"][()], results["history"]["loss"])


def test_a_given_frame_is_kept(results: dict[str, Any], scan: RawData) -> None:
    default: Reconstruction = results["reconstruction"]
    frame = ObjectFrame(
        shape=(default.object.shape[0] + 7, default.object.shape[1] + 3),
        origin_rc=(default.origin_rc[0] + 5, default.origin_rc[1] + 2),
    )
    shifted = reconstruct(results["model"], scan, frame=frame)
    assert shifted.object.shape == frame.shape
    assert shifted.origin_rc == frame.origin_rc
    inner = shifted.object[5 : 5 + default.object.shape[0], 2 : 2 + default.object.shape[1]]
    # Phases are aligned in float32, in an order that does not depend on the frame: rounding alone remains.
    np.testing.assert_allclose(inner, default.object, atol=1e-4 * np.abs(default.object).max())


def test_progress_counts_groups_and_gives_the_object_so_far(results: dict[str, Any], scan: RawData) -> None:
    seen: list[tuple[int, int]] = []
    partial: list[Reconstruction] = []

    def watch(done: int, total: int, so_far: Any) -> None:
        seen.append((done, total))
        if done == 16:
            partial.append(so_far())

    final = reconstruct(results["model"], scan, batch_size=16, on_progress=watch)
    assert seen == [(16, 48), (32, 48), (48, 48)]
    assert partial[0].weight is not None
    assert final.weight is not None
    assert 0 < partial[0].weight.sum() < final.weight.sum()


def test_predict_gives_patches_at_scan_positions(results: dict[str, Any], scan: RawData) -> None:
    found = predict(results["model"], scan)
    assert found.patches.shape == (48, 32, 32, 1)
    np.testing.assert_allclose(found.positions_xy[:, 0], scan.positions_xy)


def test_training_can_be_stopped_by_the_callback(scan: RawData, config: TrainingConfig) -> None:
    reports: list[EpochReport] = []

    def stop_after_first(report: EpochReport) -> bool:
        reports.append(report)
        return True

    model = train_scans([scan], replace(config, nepochs=5), QUICK, on_epoch=stop_after_first)
    assert [report.epoch for report in reports] == [1]
    assert len(model.history["loss"]) == 1


def test_train_scans_leaves_params_cfg_alone(scan: RawData, config: TrainingConfig) -> None:
    before = params.snapshot()
    train_scans([scan], replace(config, nepochs=1), QUICK)
    assert params.cfg == before


def test_two_scans_train_one_model(scan: RawData, config: TrainingConfig) -> None:
    model = train_scans([scan, scan], replace(config, nepochs=1), QUICK, every_point=True)
    assert len(model.history["loss"]) == 1


def test_fit_to_scans_fills_only_what_was_left_open(scan: RawData) -> None:
    config = TrainingConfig(model=ModelConfig(gridsize=3), nphotons=5.0)
    filled = fit_to_scans(config, [scan], set())
    assert (filled.model.N, filled.neighbor_count) == (32, 9)
    assert filled.nphotons == pytest.approx(scan.mean_photons)
    kept = fit_to_scans(config, [scan], {"N", "nphotons", "neighbor_count"})
    assert (kept.model.N, kept.neighbor_count, kept.nphotons) == (64, 4, 5.0)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"model": ModelConfig(N=64, n_filters_scale=1)}, DataError, "32"),
        ({"nll_weight": 0.0}, ConfigError, "All loss weights are 0"),
        ({"scheduler": "MultiStage"}, ConfigError, "MultiStage"),
        ({"n_groups": 500, "model": ModelConfig(N=32, gridsize=2, n_filters_scale=1)}, DataError, "oversampling"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(
    scan: RawData, config: TrainingConfig, change: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        train_scans([scan], replace(config, **change), QUICK)


def test_no_scan_is_refused(config: TrainingConfig) -> None:
    with pytest.raises(DataError, match="No scan was given"):
        train_scans([], config)


def test_data_of_another_type_are_refused(config: TrainingConfig) -> None:
    with pytest.raises(DataError, match="ndarray cannot be used here"):
        train_cdi_model(np.zeros(3), None, config)  # type: ignore[arg-type]


def test_results_without_content_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to save"):
        save_outputs(None, None, {"backend": "pytorch"}, tmp_path)
