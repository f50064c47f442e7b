"""Settings of the host's library PtychoPINN-Torch fill ours where these are at their defaults."""

from __future__ import annotations

import configparser
import json
import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from ptychodus.api.settings import SettingsRegistry
from ptychodus.model import ModelCore

from ptychodus_plugin.configuration import training_config
from ptychodus_plugin.settings import LibrarySettings
from ptychodus_plugin.torch_settings import TORCH_GROUPS

FULL_LIST = Path(__file__).parents[3] / "shared" / "legacy" / "ptychodus_torch_settings.json"


def opened(folder: Path, **groups: dict[str, Any]) -> LibrarySettings:
    """Return our settings after a file with these groups was opened."""
    file = folder / "settings.ini"
    lines = [
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items()) for group, keys in groups.items()
    ]
    file.write_text("\n".join(lines))
    registry = SettingsRegistry()
    settings = LibrarySettings(registry)
    if find_spec("ptychodus.model.ptychopinn_torch") is not None:
        from ptychodus.model.ptychopinn_torch import PtychoPINNTorchReconstructorLibrary

        PtychoPINNTorchReconstructorLibrary(registry, False)
    registry.create_group("Processing").create_string_parameter("Algorithm", "pty-chi_LSQML")
    registry.open_settings(file)
    return settings


def changed(settings: LibrarySettings) -> dict[str, Any]:
    return {
        option.key: settings.value(table.title, option.key)
        for table in settings.tables
        for option in table.options
        if str(settings.value(table.title, option.key)) != str(option.default)
    }


@pytest.mark.skipif(not FULL_LIST.is_file(), reason="the full list of settings is not at hand")
def test_every_key_of_the_library_is_known_with_its_default() -> None:
    listed = json.loads(FULL_LIST.read_text())
    known = {
        group: {key: str(value.default) for key, value in keys.items()} for group, (_, keys) in TORCH_GROUPS.items()
    }
    assert known == {group: {key: default for key, (_, default) in keys.items()} for group, keys in listed.items()}


def test_a_file_that_says_nothing_of_it_changes_nothing(tmp_path: Path) -> None:
    defaults = {group: {key: value.default for key, value in keys.items()} for group, (_, keys) in TORCH_GROUPS.items()}
    assert changed(opened(tmp_path, **defaults)) == {}


NETWORK = {
    "Backend": "pytorch",
    "Preset": "custom",
    "GridSize": 2,
    "AmpActivation": "swish",
    "CbamEncoder": True,
    "PatchCrop": 32,
    "IntensityScaleTrainable": False,
}
"""What the defaults there say here, where settings are taken over at all."""


@pytest.mark.parametrize(
    ("group", "keys", "expected"),
    [
        ("PtychoPINNTorchTraining", {"epochs": 80}, {"NumEpochs": 80}),
        ("PtychoPINNTorchTraining", {"learning_rate": 0.01, "batch_size": 32}, {"LearningRate": 0.01, "BatchSize": 32}),
        (
            "PtychoPINNTorchTraining",
            {"learning_rate_scheduler": "Cosine", "learning_rate_warmup_epochs": 3, "minimum_learning_rate_ratio": 0.2},
            {"Scheduler": "WarmupCosine", "WarmupEpochs": 3, "MinLearningRateRatio": 0.2},
        ),
        ("PtychoPINNTorchTraining", {"gradient_clip_val": 2.0}, {"GradientClipValue": 2.0}),
        (
            "PtychoPINNTorchTraining",
            {"epochs_finetune": 4, "finetune_gamma": 0.5},
            {"FineTuneEpochs": 4, "FineTuneRateFactor": 0.5},
        ),
        ("PtychoPINNTorchTraining", {"device": "cpu"}, {"Accelerator": "cpu"}),
        ("PtychoPINNTorchModel", {"loss_function": "MAE"}, {"MAEWeight": 1.0, "NLLWeight": 0.0}),
        (
            "PtychoPINNTorchTraining",
            {"use_negative_log_likelihood_loss": False},
            {"MAEWeight": 1.0, "NLLWeight": 0.0},
        ),
        (
            "PtychoPINNTorchModel",
            {"num_filters_scale": 1, "object_big": False},
            {"NumFiltersScale": 1, "ObjectBig": False},
        ),
        ("PtychoPINNTorchModel", {"amplitude_activation_function": "sigmoid"}, {"AmpActivation": "sigmoid"}),
        ("PtychoPINNTorchData", {"grid_size_x": 3, "grid_size_y": 3}, {"GridSize": 3}),
        ("PtychoPINNTorchData", {"probe_scale": 2.0}, {"ProbeScale": 2.0}),
        (
            "PtychoPINNTorchInference",
            {"patch_weighting_method": "uniform", "middle_trim": 24},
            {"PatchAssembly": "central", "PatchCrop": 24},
        ),
        ("PtychoPINNTorchInference", {"batch_size": 4}, {"BatchSize": 4}),
        ("Processing", {"Algorithm": "PtychoPINN-Torch_Unsupervised"}, {}),
    ],
)
def test_settings_are_taken_over(group: str, keys: dict[str, Any], expected: dict[str, Any], tmp_path: Path) -> None:
    settings = opened(tmp_path, **{group: keys})
    found = changed(settings)
    neighbours = found.pop("NumNearestNeighbors")
    assert neighbours == 6
    wanted = {**NETWORK, **expected}
    assert found == {key: value for key, value in wanted.items() if key != "AmpActivation" or value != "sigmoid"}
    training_config(settings, "pinn")


def test_ours_win_where_they_were_changed(tmp_path: Path) -> None:
    settings = opened(
        tmp_path,
        PtychoPINNTorchTraining={"epochs": 80},
        PtychoPINNTraining={"NumEpochs": 5},
        PtychoPINNModel={"GridSize": 3},
    )
    assert settings.value("Training", "NumEpochs") == 5
    assert settings.value("Model", "GridSize") == 3


@pytest.mark.parametrize(
    ("group", "keys", "words"),
    [
        (
            "PtychoPINNTorchData",
            {"probe_ramp_removal": True},
            "probe_ramp_removal = True of PtychoPINN-Torch is not taken",
        ),
        ("PtychoPINNTorchModel", {"auxiliary_phase_loss": "Total_Variation"}, "phase_loss = 'Total_Variation'"),
        ("PtychoPINNTorchData", {"grid_size_x": 3}, "not taken over: grid_size = (2, 3) is not square"),
        ("PtychoPINNTorchTraining", {"visible_gpu_indices": "1"}, "= 1 of PtychoPINN-Torch: set CUDA_VISIBLE_DEVICES"),
        ("PtychoPINNTorchData", {"x_lower_bound": 0.2}, "without effect here: x_bounds = (0.2, 0.9)"),
        ("PtychoPINNTorchData", {"num_channels": 9}, "not taken over: C = 9 contradicts grid_size = (2, 2)"),
        ("PtychoPINNTorchModel", {"use_shared_decoder": True}, "no settings here: shared_decoder = True (False stays)"),
        ("PtychoPINNTorchModel", {"decoder_last_c_outer_fraction": 0.25}, "border_maps = 16 (4 stays)"),
        ("PtychoPINNTorchTraining", {"batch_size": 24}, "batch_size = 24 (a power of two is needed; 16 is taken)"),
    ],
)
def test_what_cannot_be_taken_over_is_said(
    group: str, keys: dict[str, Any], words: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "ptychopinn_backend.ptychodus"):
        opened(tmp_path, **{group: keys})
    assert words in caplog.text


def test_the_host_opens_such_a_file_and_saves_what_was_taken_over(host: ModelCore, tmp_path: Path) -> None:
    file = tmp_path / "settings.ini"
    file.write_text("[PtychoPINNTorchTraining]\nepochs = 7\n[PtychoPINNTorchModel]\nnum_filters_scale = 1\n")
    host.settings_registry.open_settings(file)
    host.settings_registry.save_settings(file)
    saved = configparser.ConfigParser(interpolation=None)
    saved.read(file)
    assert saved["PtychoPINNTraining"]["NumEpochs"] == "7"
    assert saved["PtychoPINNModel"]["NumFiltersScale"] == "1"
    assert saved["PtychoPINNModel"]["Backend"] == "pytorch"
