"""What goes wrong reaches the user as one sentence with a remedy, through the host's own calls."""

from __future__ import annotations

import logging
import shutil
import zipfile
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from ptychodus.api.geometry import PixelGeometry
from ptychodus.api.probe import ProbeSequence
from ptychodus.api.probe_positions import ProbePositionSequence
from ptychodus.api.reconstruct import ReconstructInput
from ptychodus.model import ModelCore

from ptychodus_plugin.configuration import training_files
from ptychopinn_backend.archive import read_metadata
from ptychopinn_backend.errors import (
    ArchiveError,
    ConfigError,
    DamagedArchiveError,
    DataError,
    ForeignArchiveError,
    UnsupportedOptionError,
)
from tests.ptychodus.scenes import PIXEL_M, decide_nothing, make_input, probe_modes, product_in


def of_size(parameters: ReconstructInput, height: int, width: int) -> ReconstructInput:
    """The same scan with patterns and probe of another size."""
    count = len(parameters.diffraction_patterns)
    probe = np.resize(probe_modes(max(height, width)), (1, height, width))
    return replace(
        parameters,
        diffraction_patterns=np.ones((count, height, width), np.uint16),
        bad_pixels=np.zeros((height, width), bool),
        product=replace(parameters.product, probes=ProbeSequence(probe, None, PixelGeometry(PIXEL_M, PIXEL_M))),
    )


@pytest.mark.parametrize(
    ("height", "width", "words"),
    [
        (32, 64, "32 x 64 pixels; PtychoPINN needs square ones. Crop the patterns in the Patterns view"),
        (48, 48, "48 x 48 pixels; PtychoPINN takes 32, 64, 128, 256, 512. Crop the patterns in the Patterns view"),
        (64, 64, "64 x 64 pixels; the loaded model takes 32 x 32. Crop the patterns in the Patterns view"),
    ],
)
def test_patterns_that_do_not_fit(
    host: ModelCore, archive: Path, tmp_path: Path, height: int, width: int, words: str
) -> None:
    parameters, _ = make_input(step_px=12.0)
    product = product_in(host, of_size(parameters, height, width), tmp_path)
    host.processing_core.processing_api.load_model_from_file(archive)
    with pytest.raises(DataError, match=words):
        product.reconstruct_local(block=True)


def test_too_few_positions(host: ModelCore, archive: Path, tmp_path: Path) -> None:
    parameters, _ = make_input(step_px=12.0)
    few = replace(
        parameters,
        diffraction_patterns=parameters.diffraction_patterns[:3],
        product=replace(
            parameters.product, probe_positions=ProbePositionSequence(list(parameters.product.probe_positions)[:3])
        ),
    )
    product = product_in(host, few, tmp_path)
    host.processing_core.processing_api.load_model_from_file(archive)
    with pytest.raises(DataError, match="3 positions; a group of grid size 2 needs at least 4"):
        product.reconstruct_local(block=True)


def test_no_model(host: ModelCore, tmp_path: Path) -> None:
    parameters, _ = make_input(step_px=12.0)
    with pytest.raises(ConfigError, match=r"No PtychoPINN model is loaded.*'Load Model...' in the Action menu"):
        product_in(host, parameters, tmp_path).reconstruct_local(block=True)


def test_failure_is_told_in_the_text_box_of_the_window(host: ModelCore, tmp_path: Path) -> None:
    parameters, _ = make_input(step_px=12.0)
    with pytest.raises(ConfigError):
        product_in(host, parameters, tmp_path).reconstruct_local(block=True)
    shown = list(host.processing_core.processing_api.task_monitor.get_log_handler().messages())
    assert any("Infer failed: No PtychoPINN model is loaded" in text for text in shown)


def test_unknown_backend(host: ModelCore, archive: Path, tmp_path: Path) -> None:
    parameters, _ = make_input(step_px=12.0)
    product = product_in(host, parameters, tmp_path)
    host.processing_core.processing_api.load_model_from_file(archive)
    host.settings_registry["PtychoPINNModel"].parameters()["Backend"].set_value_from_string("jax")
    with pytest.raises(ConfigError, match="'jax' from the setting is not one of tensorflow, pytorch"):
        product.reconstruct_local(block=True)


def test_the_backend_that_only_predicts_refuses_to_train_and_reconstructs(
    host: ModelCore, archive: Path, tmp_path: Path
) -> None:
    parameters, _ = make_input(step_px=12.0)
    decide_nothing(host)
    product = product_in(host, parameters, tmp_path)
    host.processing_core.processing_api.load_model_from_file(archive)
    settings = host.settings_registry["PtychoPINNModel"].parameters()
    settings["Backend"].set_value_from_string("onnx")
    product.export_training_data(tmp_path / "train_data.npz")
    with pytest.raises(UnsupportedOptionError, match=r"'onnx'.*only predicts.*tensorflow or pytorch to train"):
        product.train_reconstructor_local(tmp_path, tmp_path, block=True)
    settings["Accelerator"].set_value_from_string("tensorrt")
    with pytest.raises(ConfigError, match="needs the TensorrtExecutionProvider"):
        product.reconstruct_local(block=True)
    settings["Accelerator"].set_value_from_string("cpu")
    product.reconstruct_local(block=True)


def test_training_folder_without_data(host: ModelCore, tmp_path: Path) -> None:
    parameters, _ = make_input(step_px=12.0)
    product = product_in(host, parameters, tmp_path)
    host.settings_registry["PtychoPINNTraining"].parameters()["TrainOn"].set_value("folder")
    (tmp_path / "product.h5").unlink()
    with pytest.raises(DataError, match=r"holds no training data.*'Export Training Data...' in the Action menu"):
        product.train_reconstructor_local(tmp_path, tmp_path, block=True)


def test_engine_error_in_the_child_arrives_as_itself(host: ModelCore, tmp_path: Path) -> None:
    parameters, _ = make_input(step_px=12.0)
    product = product_in(host, parameters, tmp_path)
    np.savez(tmp_path / "train_data.npz", xcoords=np.zeros(3), ycoords=np.zeros(3))
    with pytest.raises(DataError, match="lacks 'diffraction' or 'diff3d'") as caught:
        product.train_reconstructor_local(tmp_path, tmp_path, block=True)
    assert "Traceback" not in str(caught.value)


def test_file_that_is_no_archive(host: ModelCore, tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("hello")
    with pytest.raises(ForeignArchiveError):
        host.processing_core.processing_api.load_model_from_file(tmp_path / "text.zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("readme.txt", "hello")
    with pytest.raises(ForeignArchiveError):
        host.processing_core.processing_api.load_model_from_file(tmp_path / "other.zip")


def test_damaged_archive(host: ModelCore, archive: Path, tmp_path: Path) -> None:
    content = archive.read_bytes()
    (tmp_path / "cut.zip").write_bytes(content[: len(content) // 2])
    with pytest.raises(ArchiveError) as caught:
        host.processing_core.processing_api.load_model_from_file(tmp_path / "cut.zip")
    assert isinstance(caught.value, DamagedArchiveError | ForeignArchiveError)
    assert "cut.zip" in str(caught.value)


def test_archive_loads_under_any_name_and_is_remembered(
    host: ModelCore, archive: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copy(archive, tmp_path / "anything.zip")
    with caplog.at_level(logging.INFO, "ptychopinn_backend.ptychodus"):
        host.processing_core.processing_api.load_model_from_file(tmp_path / "anything.zip")
    assert "anything.zip: trained with pytorch as pinn, 32 x 32 patterns, grid size 2" in caplog.text
    assert host.processing_core.algorithm_parameter.get_current_reconstructor().is_model_loaded()
    assert host.ptychopinn_reconstructor_library.inference_settings.model_path.get_value() == tmp_path / "anything.zip"


def test_model_named_in_the_settings_counts_as_loaded(host: ModelCore, archive: Path) -> None:
    reconstructor = host.processing_core.algorithm_parameter.get_current_reconstructor()
    assert not reconstructor.is_model_loaded()
    host.settings_registry["PtychoPINNInference"].parameters()["ModelPath"].set_value(archive)
    assert reconstructor.is_model_loaded()


def test_training_files_of_a_folder(tmp_path: Path) -> None:
    for name in ("b.npz", "a.npz", "test_data.npz", "a.g2k7.groups_cache.npz", "notes.txt"):
        (tmp_path / name).touch()
    training, validation = training_files(tmp_path)
    assert [path.name for path in training] == ["a.npz", "b.npz"]
    assert [path.name for path in validation] == ["test_data.npz"]
    (tmp_path / "train_data.npz").touch()
    training, _ = training_files(tmp_path)
    assert [path.name for path in training] == ["train_data.npz"]


def test_patterns_and_product_of_the_host_are_trained_on_where_nothing_was_exported(tmp_path: Path) -> None:
    (tmp_path / "diffraction.h5").touch()
    assert training_files(tmp_path) == ((), ())
    (tmp_path / "product.h5").touch()
    assert training_files(tmp_path) == ((tmp_path / "diffraction.h5",), ())
    (tmp_path / "monday.npz").touch()
    assert training_files(tmp_path) == ((tmp_path / "monday.npz",), ())


def test_training_hdf5_of_the_host_is_trained_on(tmp_path: Path) -> None:
    for name in ("train_data.h5", "test_data.h5", "diffraction.h5", "product.h5"):
        (tmp_path / name).touch()
    training, validation = training_files(tmp_path)
    assert [path.name for path in (*training, *validation)] == ["train_data.h5", "test_data.h5"]


def test_starting_from_a_model_needs_one(host: ModelCore, tmp_path: Path) -> None:
    parameters, _ = make_input(step_px=12.0)
    product = product_in(host, parameters, tmp_path)
    (tmp_path / "train_data.npz").touch()
    host.settings_registry["PtychoPINNTraining"].parameters()["StartFromModel"].set_value(True)
    with pytest.raises(ConfigError, match="No PtychoPINN model is loaded"):
        product.train_reconstructor_local(tmp_path, tmp_path, block=True)


def test_training_starts_from_the_loaded_model(
    host: ModelCore, archive: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    io = import_module("ptychodus.api.io")
    if not hasattr(io, "save_training_data"):
        pytest.skip("this version of Ptychodus writes no training data in HDF5")
    parameters, _ = make_input(step_px=10.0)
    decide_nothing(host)
    product = product_in(host, parameters, tmp_path)
    io.save_training_data(tmp_path / "train_data.h5", parameters)
    for group, key, value in (
        ("PtychoPINNTraining", "StartFromModel", True),
        ("PtychoPINNTraining", "NumEpochs", 1),
        ("PtychoPINNModel", "Accelerator", "cpu"),
        ("PtychoPINNModel", "Backend", "pytorch"),
    ):
        host.settings_registry[group].parameters()[key].set_value(value)
    host.processing_core.processing_api.load_model_from_file(archive)
    # The host passes on what the child logs from the level of the root logger on.
    with caplog.at_level(logging.INFO):
        product.train_reconstructor_local(tmp_path, tmp_path / "out", block=True)
    assert f"Starting from '{archive}'" in caplog.text
    assert read_metadata(tmp_path / "out" / "model.zip")["model"]["gridsize"] == 2
