"""Calls of existing scripts: what they take, what they return, and what they refuse."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend import params
from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import ConfigError, DataError
from ptychopinn_backend.physics.scan_model import scan_intensities
from ptychopinn_backend.runs.group_objects import predict_groups
from ptychopinn_backend.runs.stitched_groups import CentralStitching, stitched_groups
from ptychopinn_backend.runs.train import train_scans
from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.stitching.assembly import reassemble_position
from ptychopinn_backend.workflows import (
    create_ptycho_data_container,
    load_inference_bundle,
    run_cdi_example,
    save_outputs,
    setup_configuration,
    train_cdi_model,
)

QUICK = ExecutionConfig(enable_checkpointing=False, logger_backend="none", accelerator="cpu")
BOTH = pytest.mark.parametrize("backend", ["pytorch", "tensorflow"])


@pytest.fixture(autouse=True)
def _legacy_parameters() -> Iterator[None]:
    saved = params.snapshot()
    yield
    params.restore(saved)


def configuration(folder: Path, **changes: Any) -> TrainingConfig:
    model = ModelConfig(N=32, n_filters_scale=1, gridsize=changes.pop("gridsize", 1))
    given = {"nepochs": 1, "n_groups": 16, "nphotons": 1e5, "neighbor_count": 6, "backend": "pytorch"}
    return TrainingConfig(model=model, output_dir=folder, **{**given, **changes})


@pytest.fixture(scope="module")
def results(scan: RawData, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a script gets that stitches groups of four."""
    saved = params.snapshot()
    config = configuration(tmp_path_factory.mktemp("run"), gridsize=2, nepochs=2)
    amplitude, phase, found = run_cdi_example(scan, scan, config, False, False, False, 12, True, execution=QUICK)
    params.restore(saved)
    return {**found, "amplitude": amplitude, "phase": phase, "config": config}


def test_the_results_have_the_keys_and_shapes_of_existing_scripts(results: dict[str, Any]) -> None:
    assert results["obj_tensor_full"].shape == results["reconstructed_obj"].shape == (16, 32, 32, 1)
    assert results["pred_amp"].shape == (16, 32, 32, 4)
    assert results["global_offsets"].shape == (16, 1, 2, 1)
    np.testing.assert_array_equal(results["recon_amp"], results["amplitude"])
    np.testing.assert_array_equal(results["recon_phase"], results["phase"])
    assert isinstance(results["train_container"], PtychoDataContainer)
    assert results["test_container"].n_groups == 16
    assert (results["backend"], len(results["history"]["loss"])) == ("pytorch", 2)


def test_the_object_has_the_frame_of_reassemble_position(results: dict[str, Any]) -> None:
    by_hand = reassemble_position(results["obj_tensor_full"], results["global_offsets"], M=12)
    assert results["amplitude"].shape == by_hand.shape
    wide = reassemble_position(results["obj_tensor_full"], results["global_offsets"], M=20)
    assert wide.shape[0] == by_hand.shape[0] + 8


def test_object_times_probe_gives_the_predicted_counts(scan: RawData, tmp_path: Path) -> None:
    """Of one pattern, all of whose patch is kept."""
    config = configuration(tmp_path, sequential_sampling=True)
    model = train_scans([scan], config, QUICK)
    groups = create_ptycho_data_container(scan, replace(config, n_groups=1))
    predicted = predict_groups(model.backend, groups, 1)
    found = stitched_groups(model, groups, predicted.objects, CentralStitching(M=32))
    assert found.positions_xy is not None
    counts = scan_intensities(found.object, found.origin_rc, found.probe, found.positions_xy)
    factor = groups.intensity_counts_factor / model.intensity_scale
    expected = np.sum((predicted.amplitudes * factor) ** 2, dtype=np.float64)
    assert float(counts.sum()) == pytest.approx(float(expected), rel=1e-3)


def test_what_was_stitched_is_saved(results: dict[str, Any], tmp_path: Path) -> None:
    written = save_outputs(results["amplitude"], results["phase"], results, tmp_path)
    assert {"reconstruction.npz", "reconstruction.png", "wts.h5.zip"} <= {path.name for path in written}


def test_the_loaded_bundle_predicts_what_the_results_hold(results: dict[str, Any], tmp_path: Path) -> None:
    results["model"].save(tmp_path / "wts.h5.zip")
    model, restored = load_inference_bundle(tmp_path)
    test = results["test_container"]
    objects = model.predict([test.X * restored["intensity_scale"], test.local_offsets], batch_size=5, verbose=0)
    np.testing.assert_allclose(objects, results["obj_tensor_full"], atol=1e-5)


@BOTH
def test_objects_of_groups_are_the_same_on_both_backends(results: dict[str, Any], tmp_path: Path, backend: str) -> None:
    results["model"].save(tmp_path / "wts.h5.zip")
    model, restored = load_inference_bundle(tmp_path, backend=backend)
    test = results["test_container"]
    objects = model.predict([test.X * restored["intensity_scale"], test.local_offsets])
    np.testing.assert_allclose(objects, results["obj_tensor_full"], atol=1e-4)


def test_patches_alone_need_no_offsets(scan: RawData, tmp_path: Path) -> None:
    model = train_scans([scan], configuration(tmp_path), QUICK)
    X = scan.diff3d[:3, :, :, np.newaxis]
    np.testing.assert_array_equal(model.predict(X), model.predict([X, np.zeros((3, 1, 2, 1))]))


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ([np.ones((2, 32, 32, 4))], "groups of 4 patterns, and no local_offsets say where they lie"),
        ([np.ones((2, 32, 32, 4))] * 3, r"3 arrays are given .*Give two: \[X \* intensity_scale, local_offsets\]"),
        ([np.ones((2, 32, 32, 4)), np.ones((2, 1, 2, 3))], r"local_offsets has shape \(2, 1, 2, 3\)"),
        ([np.ones((2, 32, 32)), np.ones((2, 1, 2, 4))], r"X has shape \(2, 32, 32\)"),
        ([np.full((2, 32, 32, 4), np.nan), np.ones((2, 1, 2, 4))], "X holds values that are not finite"),
        ([np.ones((2, 16, 16, 4)), np.ones((2, 1, 2, 4))], "side 16; this model was built for N = 32"),
    ],
)
def test_arrays_that_cannot_be_predicted_from_are_refused(
    results: dict[str, Any], inputs: list[Any], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        results["model"].predict(inputs)


@pytest.mark.parametrize("flags", [{}, {"flip_x": True}, {"flip_y": True}, {"transpose": True}])
def test_flips_turn_positions_and_transpose_turns_patches(
    results: dict[str, Any], scan: RawData, flags: dict[str, bool]
) -> None:
    """Patches of one phase, so that aligning phases changes nothing and the legacy function is the reference."""
    rng = np.random.default_rng(0)
    groups = create_ptycho_data_container(scan, replace(results["config"], n_groups=20))
    objects = (1 + rng.uniform(size=(20, 32, 32, 1))).astype(np.complex64)
    sign = np.array([-1 if flags.get("flip_x") else 1, -1 if flags.get("flip_y") else 1])[:, np.newaxis]
    turned = np.swapaxes(objects, 1, 2) if flags.get("transpose") else objects
    expected = reassemble_position(turned, groups.global_offsets * sign, M=12)
    found = stitched_groups(results["model"], groups, objects, CentralStitching(M=12, **flags))
    known = np.abs(expected) > 0
    np.testing.assert_allclose(np.abs(found.object)[known], np.abs(expected)[known], rtol=2e-3)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"M": 33}, ConfigError, "M = 33 pixels cannot be cropped from a patch of N = 32"),
        ({"flip_x": 1}, ConfigError, "flip_x = 1 must be true or false"),
    ],
)
def test_what_cannot_be_stitched_is_refused_before_training(
    scan: RawData, tmp_path: Path, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        run_cdi_example(scan, scan, configuration(tmp_path), **arguments)
    assert not list(tmp_path.iterdir())


def test_a_script_that_stitches_without_a_test_scan_is_told_so(scan: RawData, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="test_data = None: there is no test scan to stitch"):
        amplitude, phase, found = run_cdi_example(
            scan, None, configuration(tmp_path), do_stitching=True, execution=QUICK
        )
    assert (amplitude, phase, found["test_container"]) == (None, None, None)


def test_several_objects_are_not_stitched_into_one(results: dict[str, Any], scan: RawData) -> None:
    two = replace(scan, scan_index=np.repeat([0, 1], 24).astype(np.int32))
    groups = create_ptycho_data_container(two, results["config"])
    with pytest.raises(DataError, match=r"The groups show 2 objects.*scan\.by_object"):
        stitched_groups(results["model"], groups, np.ones((16, 32, 32, 1), np.complex64), CentralStitching())


def test_groups_train_and_are_stitched(scan: RawData, tmp_path: Path) -> None:
    config = configuration(tmp_path, gridsize=2)
    groups = create_ptycho_data_container(scan, config)
    amplitude, _, found = run_cdi_example(groups, groups, config, execution=QUICK)
    assert found["train_container"] is found["test_container"] is groups
    assert amplitude is not None
    assert amplitude.shape == reassemble_position(found["obj_tensor_full"], found["global_offsets"], M=20).shape


def test_groups_and_scans_may_be_mixed(scan: RawData, scan_file: Path, tmp_path: Path) -> None:
    config = configuration(tmp_path)
    groups = create_ptycho_data_container(scan_file, config)
    assert create_ptycho_data_container(groups, config) is groups
    of_groups = train_cdi_model(groups, scan_file, config, execution=QUICK)
    assert "val_loss" in of_groups["history"]
    assert of_groups["train_container"] is groups
    of_scan = train_cdi_model(scan, groups, config, execution=QUICK)
    assert (of_scan["train_container"].n_groups, of_scan["test_container"]) == (16, groups)
    alone = train_cdi_model(groups, None, replace(config, validation_fraction=0.25), execution=QUICK)
    assert (alone["train_container"].n_groups, alone["test_container"]) == (12, None)


def test_groups_are_those_a_training_draws(scan: RawData, tmp_path: Path) -> None:
    config = configuration(tmp_path, gridsize=2, subsample_seed=3, validation_fraction=0.0)
    trained = train_cdi_model(scan, None, config, execution=QUICK)
    groups = create_ptycho_data_container(scan, config)
    np.testing.assert_array_equal(groups.nn_indices, trained["train_container"].nn_indices)


def test_the_seed_of_params_cfg_is_that_of_a_training(scan: RawData, tmp_path: Path) -> None:
    def weights_with(seed: int) -> Any:
        params.set("npseed", seed)
        model: TrainedModel = train_cdi_model(scan, None, configuration(tmp_path, nepochs=1))["model"]
        return model.backend.dump_weights()["encoder/stage0/conv0/kernel"]

    first, again, other = (weights_with(seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_arguments_win_over_the_file_unless_they_repeat_the_default(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("model:\n  gridsize: 2\nnepochs: 7\nbatch_size: 8\n")
    args = argparse.Namespace(nepochs=50, batch_size=32, N=128, n_groups=None, verbose=True, output_dir="out")
    with pytest.warns(UserWarning, match=r"run\.yaml says nepochs = 7, and the arguments only repeat the default"):
        config = setup_configuration(args, file)
    assert (config.nepochs, config.batch_size, config.model.N, config.model.gridsize) == (7, 32, 128, 2)
    assert (params.cfg["nepochs"], params.cfg["gridsize"], params.cfg["output_prefix"]) == (7, 2, "out")


def test_a_file_or_arguments_alone_are_enough(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("nepochs: 7\n")
    assert setup_configuration(None, str(file)).nepochs == 7
    assert setup_configuration({"nepochs": 3}).nepochs == 3


def test_what_is_no_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="args = 5 has no attributes"):
        setup_configuration(5)
    file = tmp_path / "run.yaml"
    file.write_text("nepoch: 3\n")
    with pytest.raises(ConfigError, match="nepoch"):
        setup_configuration(None, file)


def test_what_a_configuration_does_not_hold_is_named(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("execution:\n  accelerator: cpu\n")
    with pytest.warns(UserWarning, match=r"says accelerator, which a TrainingConfig does not hold.*ExecutionConfig"):
        setup_configuration(None, file)
    file.write_text("nepochs: 3\nstitch_crop_size: 12\n")
    with pytest.warns(UserWarning, match="crop_px = 12, assembly = central of the reconstruction"):
        assert setup_configuration(None, file).nepochs == 3
