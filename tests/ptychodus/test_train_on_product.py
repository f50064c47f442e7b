"""Training on the product that is chosen, which the host prepares and does not pass on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ptychodus.api.settings import SettingsRegistry
from ptychodus.model import ModelCore

from ptychodus_plugin.configuration import train_payload
from ptychodus_plugin.product import raw_data_of
from ptychodus_plugin.settings import LibrarySettings
from ptychopinn_backend.archive import read_metadata
from ptychopinn_backend.errors import ConfigError, DataError
from tests.ptychodus.scenes import make_input, product_in


def test_the_chosen_product_trains_into_an_empty_folder(host: ModelCore, tmp_path: Path) -> None:
    parameters, _ = make_input(step_px=10.0)
    for name in ("scan", "model"):
        (tmp_path / name).mkdir()
    product = product_in(host, parameters, tmp_path / "scan")
    for group, key, value in (
        ("PtychoPINNTraining", "TrainOn", "product"),
        ("PtychoPINNTraining", "NumEpochs", 1),
        ("PtychoPINNTraining", "Calibrate", "never"),
        ("PtychoPINNModel", "Accelerator", "cpu"),
        ("PtychoPINNModel", "Backend", "pytorch"),
    ):
        host.settings_registry[group].parameters()[key].set_value(value)
    product.train_reconstructor_local(tmp_path / "model", tmp_path / "model", block=True)
    assert read_metadata(tmp_path / "model" / "model.zip")["model"]["N"] == 32


@pytest.mark.parametrize(("train_on", "expected"), [("auto", "product"), ("product", "product"), ("folder", None)])
def test_what_is_trained_on(
    train_on: str, expected: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = LibrarySettings(SettingsRegistry())
    settings.tables[2].parameter("TrainOn").set_value(train_on)
    parameters, _ = make_input(step_px=16.0)
    if expected is None:
        with pytest.raises(DataError, match="holds no training data"):
            train_payload(settings, "pinn", tmp_path, tmp_path, parameters=parameters)
    else:
        payload = train_payload(settings, "pinn", tmp_path, tmp_path, parameters=parameters)
        assert (payload.parameters, payload.request.inputs.scans) == (parameters, ())
    # What a training leaves in its folder is no scan.
    np.savez(tmp_path / "calibration-1.npz", probe=np.ones((1, 32, 32)), positions_xy=np.zeros((4, 2)))
    if expected is not None:
        assert train_payload(settings, "pinn", tmp_path, tmp_path, parameters=parameters).parameters is parameters
    raw_data_of(parameters).to_file(tmp_path / "monday.npz")
    caplog.clear()
    payload = train_payload(settings, "pinn", tmp_path, tmp_path, parameters=parameters)
    assert (payload.parameters is None) == (train_on != "product")
    warned = "TrainOn = 'auto' trains on monday.npz in" in caplog.text and "not on the chosen product" in caplog.text
    assert warned == (train_on == "auto")
    (tmp_path / "monday.npz").rename(tmp_path / "train_data.npz")
    caplog.clear()
    train_payload(settings, "pinn", tmp_path, tmp_path, parameters=parameters)
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


def test_a_host_that_passes_no_product_on_says_so(tmp_path: Path) -> None:
    settings = LibrarySettings(SettingsRegistry())
    settings.tables[2].parameter("TrainOn").set_value("product")
    with pytest.raises(ConfigError, match=r"TrainOn = 'product', and no product is at hand.*set TrainOn = folder"):
        train_payload(settings, "pinn", tmp_path, tmp_path)
    settings.tables[2].parameter("TrainOn").set_value("everything")
    with pytest.raises(ConfigError, match=r"TrainOn = 'everything' is not one of 'auto', 'product', 'folder'"):
        train_payload(settings, "pinn", tmp_path, tmp_path)
