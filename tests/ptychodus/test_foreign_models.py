"""Models of the original PtychoPINN in the host: Load Model, Infer, Save Model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ptychodus.model import ModelCore

from ptychopinn_backend.archive import is_foreign, read_archive

from ..archive.foreign import keras_models, torch_models
from ..archive.foreign.keras_models import KerasVariant
from ..archive.foreign.test_saved_model import members as saved_members
from ..archive.foreign.torch_models import TorchVariant
from .scenes import decide_nothing, make_input, product_in
from .window import Window

LEGACY = Path(__file__).parents[3] / "shared" / "legacy"


def keras_archive(folder: Path) -> Path:
    variant = KerasVariant(N=32, gridsize=2)
    return keras_models.write(folder / "old.h5.zip", keras_models.members(keras_models.build(variant), variant, folder))


def checkpoint(folder: Path) -> Path:
    variant = TorchVariant(N=32, gridsize=2)
    file = folder / "last.ckpt"
    file.write_bytes(torch_models.checkpoint(torch_models.build(variant), variant))
    return file


def saved_model(folder: Path) -> Path:
    variant = KerasVariant(N=32, gridsize=2)
    return keras_models.write(folder / "old.h5.zip", saved_members(keras_models.build(variant), variant, folder))


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras")
@pytest.mark.parametrize("written", [keras_archive, checkpoint, saved_model])
def test_a_model_of_the_original_is_loaded_infers_and_is_saved(
    host: ModelCore, tmp_path: Path, written: Callable[[Path], Path]
) -> None:
    old = written(tmp_path)
    parameters, _ = make_input(step_px=12.0)
    decide_nothing(host)
    product = product_in(host, parameters, tmp_path)
    host.settings_registry["PtychoPINNModel"].parameters()["Backend"].set_value("pytorch")
    host.settings_registry["PtychoPINNModel"].parameters()["Accelerator"].set_value("cpu")
    host.processing_core.processing_api.load_model_from_file(old)
    reconstructor = host.processing_core.algorithm_parameter.get_current_reconstructor()
    *_, last = reconstructor.reconstruct(product.get_reconstruct_input())
    found = last.product.object_.get_array()
    assert np.isfinite(found).all()
    assert found.std() > 0
    host.processing_core.processing_api.save_model_to_file(tmp_path / "saved.zip")
    assert is_foreign(old)
    assert not is_foreign(tmp_path / "saved.zip")
    assert read_archive(tmp_path / "saved.zip").model == read_archive(old).model


@pytest.mark.skipif(not LEGACY.is_dir(), reason="models of the original are not at hand")
@pytest.mark.parametrize("name", ["legacy_gs2", "torch_gs1"])
def test_models_that_the_original_wrote_infer_in_the_host(host: ModelCore, tmp_path: Path, name: str) -> None:
    parameters, _ = make_input(N=64, step_px=12.0)
    product = product_in(host, parameters, tmp_path)
    host.settings_registry["PtychoPINNModel"].parameters()["Accelerator"].set_value("cpu")
    decide_nothing(host)
    host.processing_core.processing_api.load_model_from_file(LEGACY / name / "wts.h5.zip")
    reconstructor = host.processing_core.algorithm_parameter.get_current_reconstructor()
    *_, last = reconstructor.reconstruct(product.get_reconstruct_input())
    assert last.product.object_.get_array().std() > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras")
def test_load_model_and_infer_in_the_window(tmp_path: Path) -> None:
    variant = KerasVariant(N=32, gridsize=1)
    old = keras_models.write(
        tmp_path / "old.h5.zip", keras_models.members(keras_models.build(variant), variant, tmp_path)
    )
    with Window() as window:
        window.choose_algorithm("ptychopinn_pinn")
        window.set("Model", Backend="pytorch", Accelerator="cpu")
        decide_nothing(window.model)
        window.load_scan(tmp_path, step_px=12.0)
        window.controller._file_dialog_factory.get_open_file_path = lambda *a, **k: (old, "")
        (load,) = [action for action in window.actions.actions_menu.actions() if action.text().startswith("Load Model")]
        load.trigger()
        window.settle()
        window.run(lambda: window.click(window.actions.reconstruct_button))
        assert window.monitor.get_last_error() is None
        repository = window.model.product_core.product_repository
        assert repository[len(repository) - 1].get_product().object_.get_array().std() > 0
