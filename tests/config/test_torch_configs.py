"""Translation of PyTorch option sets, option by option."""

from __future__ import annotations

import logging
import re
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.config import training as config
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.torch_configs import (
    DataConfig,
    InferenceConfig,
    ModelConfig,
    TrainingConfig,
    UnknownOptionError,
    options_from_mapping,
    to_execution_config,
    to_inference_config,
    to_model_config,
    to_training_config,
)

GIVEN = {
    "n_groups": 512,
    "nphotons": 1e9,
    "train_data_file": Path("train.npz"),
    "test_data_file": Path("test.npz"),
}

PLAIN = config.ModelConfig()
MASK = np.ones((64, 64))

# Option -> (another value, field it becomes, value there).
MODEL_TRANSLATION = {
    "mode": ("Supervised", "model_type", "supervised"),
    "architecture": ("cnn", "architecture", "cnn"),
    "n_filters_scale": (1, "n_filters_scale", 1),
    "amp_activation": ("relu", "amp_activation", "relu"),
    "probe_mask": (True, "probe_mask", True),
    "decoder_last_c_outer_fraction": (0.25, "border_maps", 16),
    "probe_mask_tensor": (np.ones((64, 64)), "probe_mask", True),
    "object_big": (False, "object_big", False),
    "probe_big": (False, "probe_big", False),
    "pad_object": (False, "pad_object", False),
    "gaussian_smoothing_sigma": (0.7, "gaussian_smoothing_sigma", 0.7),
    "fno_modes": (8, "fno_modes", 8),
    "fno_width": (16, "fno_width", 16),
    "fno_blocks": (3, "fno_blocks", 3),
    "fno_cnn_blocks": (1, "fno_cnn_blocks", 1),
    "fno_input_transform": ("sqrt", "fno_input_transform", "sqrt"),
    "batch_norm": (True, "batch_norm", True),
    "eca_encoder": (True, "eca_encoder", True),
    "cbam_encoder": (False, "cbam_encoder", False),
    "cbam_bottleneck": (True, "cbam_bottleneck", True),
    "cbam_decoder": (True, "cbam_decoder", True),
    "eca_decoder": (True, "eca_decoder", True),
    "spatial_decoder": (True, "spatial_decoder", True),
    "decoder_spatial_kernel": (5, "decoder_spatial_kernel", 5),
    "probe_mask_sigma": (0.5, "probe_mask_sigma", 0.5),
    "probe_mask_diameter": (20.0, "probe_mask_diameter", 20.0),
    "max_hidden_channels": (64, "max_hidden_channels", 64),
    "resnet_width": (48, "resnet_width", 48),
    "generator_output_mode": ("amp_phase", "generator_output_mode", "amp_phase"),
    "cnn_output_mode": ("real_imag", "cnn_output_mode", "real_imag"),
    "use_shared_decoder": (True, "shared_decoder", True),
}
DATA_TO_MODEL = {
    "N": (128, "N", 128),
    "grid_size": ((3, 3), "gridsize", 3),
    "probe_scale": (1.0, "probe_scale", 1.0),
}
DATA_TO_TRAINING = {
    "nphotons": (1e6, "nphotons", 1e6),
    "K": (7, "neighbor_count", 7),
    "subsample_seed": (5, "subsample_seed", 5),
}
MODEL_TO_TRAINING = {
    "intensity_scale_trainable": (True, "intensity_scale_trainable", True),
    "loss_function": ("MAE", "torch_loss_mode", "mae"),
}
TRAINING_TRANSLATION = {
    "nll": (False, "nll_weight", 0.0),
    "epochs": (3, "nepochs", 3),
    "batch_size": (4, "batch_size", 4),
    "epochs_fine_tune": (2, "epochs_fine_tune", 2),
    "fine_tune_gamma": (0.5, "fine_tune_gamma", 0.5),
    "stage_1_epochs": (1, "stage_1_epochs", 1),
    "stage_2_epochs": (2, "stage_2_epochs", 2),
    "stage_3_epochs": (3, "stage_3_epochs", 3),
    "physics_weight_schedule": ("linear", "physics_weight_schedule", "linear"),
    "stage_3_lr_factor": (0.5, "stage_3_lr_factor", 0.5),
    "scheduler": ("Exponential", "scheduler", "Exponential"),
    "lr_warmup_epochs": (3, "lr_warmup_epochs", 3),
    "lr_min_ratio": (0.2, "lr_min_ratio", 0.2),
    "plateau_factor": (0.3, "plateau_factor", 0.3),
    "plateau_patience": (4, "plateau_patience", 4),
    "plateau_min_lr": (1e-6, "plateau_min_lr", 1e-6),
    "plateau_threshold": (0.01, "plateau_threshold", 0.01),
    "gradient_clip_val": (1.0, "gradient_clip_val", 1.0),
    "gradient_clip_algorithm": ("agc", "gradient_clip_algorithm", "agc"),
    "momentum": (0.8, "momentum", 0.8),
    "weight_decay": (0.01, "weight_decay", 0.01),
    "adam_beta1": (0.8, "adam_beta1", 0.8),
    "adam_beta2": (0.99, "adam_beta2", 0.99),
    "torch_loss_mode": ("mae", "torch_loss_mode", "mae"),
    "optimizer": ("sgd", "optimizer", "sgd"),
    "train_data_file": ("a.npz", "train_data_file", Path("a.npz")),
    "test_data_file": ("b.npz", "test_data_file", Path("b.npz")),
    "output_dir": ("o", "output_dir", Path("o")),
    "n_groups": (64, "n_groups", 64),
}
TRAINING_TO_EXECUTION = {
    "device": ("cpu", "accelerator", "cpu"),
    "n_devices": (2, "devices", 2),
    "learning_rate": (0.01, "learning_rate", 0.01),
    "num_workers": (0, "num_workers", 0),
    "accum_steps": (8, "accum_steps", 8),
    "strategy": ("fsdp", "strategy", "auto"),
}

# Option -> (another value, or values that break its rule): not carried into a configuration.
LEFT_OUT: dict[type[Any], dict[str, Any]] = {
    DataConfig: {
        "K_quadrant": 20,
        "n_subsample": 3,
        "neighbor_function": "4_quadrant",
        "min_neighbor_distance": 1.0,
        "max_neighbor_distance": 5.0,
        "scan_pattern": "Rectangular",
        "normalize": "Group",
        "probe_normalize": False,
        "data_scaling": "Max",
        "phase_subtraction": False,
        "x_bounds": (0.0, 1.0),
        "y_bounds": (0.2, 0.4),
        "measurement_domain": "count_intensity",
    },
    ModelConfig: {
        "edge_pad": 5,
        "offset": 4,
        "C_model": 1,
        "C_forward": 1,
        "intensity_scale": 1.0,
        "max_position_jitter": 0,
        "num_datasets": 2,
        "amp_loss": "Total_Variation",
        "phase_loss": "Mean_Deviation",
        "amp_loss_coeff": 0.5,
        "phase_loss_coeff": 0.5,
    },
    TrainingConfig: {
        "experiment_name": "x",
        "notes": "x",
        "model_name": "x",
        "training_directories": ["x"],
    },
    # All of it drives a reconstruction; see tests/legacy.
    InferenceConfig: {},
}


@pytest.fixture(autouse=True)
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m").mkdir()
    Path("m/wts.h5.zip").write_bytes(b"")


@pytest.mark.parametrize(("name", "row"), {**MODEL_TRANSLATION, **DATA_TO_MODEL}.items())
def test_translation_of_one_model_option(name: str, row: tuple[Any, str, Any]) -> None:
    value, target, expected = row
    if name in DATA_TO_MODEL:
        translated = to_model_config(replace(DataConfig(), **{name: value}), ModelConfig())
    else:
        translated = to_model_config(DataConfig(), replace(ModelConfig(), **{name: value}))
    # An eighth of the maps makes the border.
    border = {"border_maps": 4} if name == "n_filters_scale" else {}
    assert translated == replace(to_model_config(DataConfig(), ModelConfig()), **{target: expected, **border})


def test_stages_decide_on_the_epochs() -> None:
    training = replace(TrainingConfig(), epochs=20, stage_1_epochs=2, stage_2_epochs=3, scheduler="MultiStage")
    overrides = {"n_groups": 8, "train_data_file": "a.npz", "test_data_file": "b.npz", "nphotons": 1e5}
    network = to_model_config(DataConfig(), ModelConfig())
    translated = to_training_config(network, DataConfig(), ModelConfig(), training, overrides)
    assert (translated.nepochs, translated.scheduler) == (5, "MultiStage")


@pytest.mark.parametrize(("name", "row"), {**DATA_TO_TRAINING, **MODEL_TO_TRAINING, **TRAINING_TRANSLATION}.items())
def test_translation_of_one_training_option(name: str, row: tuple[Any, str, Any]) -> None:
    value, target, expected = row
    sets = {"data": DataConfig(), "pt_model": ModelConfig(), "training": TrainingConfig()}
    home = "data" if name in DATA_TO_TRAINING else "pt_model" if name in MODEL_TO_TRAINING else "training"
    sets[home] = replace(sets[home], **{name: value})
    model = to_model_config(DataConfig(), ModelConfig())
    given = {key: GIVEN[key] for key in GIVEN if key != target}
    plain = to_training_config(model, DataConfig(), ModelConfig(), TrainingConfig(), GIVEN)
    assert to_training_config(model, **sets, overrides=given) == replace(plain, **{target: expected})


@pytest.mark.parametrize(("name", "row"), TRAINING_TO_EXECUTION.items())
def test_translation_of_one_execution_option(name: str, row: tuple[Any, str, Any]) -> None:
    value, target, expected = row
    plain = to_execution_config(TrainingConfig(n_devices=1))
    assert plain == ExecutionConfig(accelerator="cuda", num_workers=4)
    translated = to_execution_config(replace(TrainingConfig(), **{name: value}))
    strategy = "ddp" if name == "n_devices" else "auto"
    assert translated == replace(plain, **{target: expected, "strategy": strategy})


def test_execution_options_of_several_devices_inference_and_overrides() -> None:
    translated = to_execution_config(TrainingConfig(n_devices=2, strategy="fsdp"), InferenceConfig(), {"seed": 3})
    assert (translated.strategy, translated.inference_batch_size, translated.seed) == ("fsdp", 1000, 3)


def test_every_option_is_translated_or_named_as_left_out() -> None:
    translated = {
        DataConfig: {*DATA_TO_MODEL, *DATA_TO_TRAINING, "C"},
        ModelConfig: {*MODEL_TRANSLATION, *MODEL_TO_TRAINING},
        TrainingConfig: {*TRAINING_TRANSLATION, *TRAINING_TO_EXECUTION},
        InferenceConfig: {item.name for item in fields(InferenceConfig)},
    }
    for cls, left_out in LEFT_OUT.items():
        assert not translated[cls] & set(left_out)
        assert translated[cls] | set(left_out) == {item.name for item in fields(cls)}


@pytest.mark.parametrize(("cls", "name", "value"), [(c, n, v) for c, rows in LEFT_OUT.items() for n, v in rows.items()])
def test_left_out_options_are_logged_and_change_nothing(
    cls: type[Any], name: str, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    sets = {kind: kind() for kind in LEFT_OUT}

    def translate() -> list[Any]:
        model = to_model_config(sets[DataConfig], sets[ModelConfig])
        return [
            to_training_config(model, sets[DataConfig], sets[ModelConfig], sets[TrainingConfig], GIVEN),
            to_inference_config(
                model, sets[DataConfig], sets[InferenceConfig], {"model_path": "m", "test_data_file": "t.npz"}
            ),
        ]

    with caplog.at_level(logging.WARNING):
        plain = translate()
        assert not caplog.records
        sets[cls] = replace(sets[cls], **{name: value})
        assert translate() == plain
    (record,) = caplog.records
    assert record.getMessage().endswith(f"{cls.__name__} not carried over: {name}")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda bad: to_model_config(DataConfig(), ModelConfig(), bad), "a field of ModelConfig."),
        (
            lambda bad: to_training_config(PLAIN, DataConfig(), ModelConfig(), TrainingConfig(), {**GIVEN, **bad}),
            "a field of TrainingConfig.",
        ),
        (lambda bad: to_inference_config(PLAIN, DataConfig(), InferenceConfig(), bad), "a field of InferenceConfig."),
        (lambda bad: to_execution_config(TrainingConfig(), None, bad), "a field of ExecutionConfig."),
        (lambda bad: options_from_mapping(DataConfig, bad), "an option of DataConfig."),
    ],
)
def test_unknown_names_are_refused(call: Any, words: str) -> None:
    with pytest.raises(UnknownOptionError, match=re.escape(f"'zzz' is not {words} See specs/config.md")):
        call({"zzz": 1})


@pytest.mark.parametrize(("name", "nearest"), [("n_group", "n_groups"), ("nphoton", "nphotons"), ("epochs", "nepochs")])
def test_unknown_override_suggests_the_nearest_name(name: str, nearest: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' is not a field of TrainingConfig. Did you mean '{nearest}'"):
        to_training_config(PLAIN, DataConfig(), ModelConfig(), TrainingConfig(), {**GIVEN, name: 1})


def test_the_model_cannot_be_an_override() -> None:
    with pytest.raises(UnknownOptionError, match="'model' is not a field of TrainingConfig"):
        to_training_config(PLAIN, DataConfig(), ModelConfig(), TrainingConfig(), {**GIVEN, "model": None})


def test_foreign_objects_with_the_same_attributes_work() -> None:
    data = SimpleNamespace(N=128, grid_size=[1, 1], nphotons=1e6)
    model = SimpleNamespace(mode="Supervised", amp_activation="relu", something_else=3)
    translated = to_model_config(data, model)
    assert (translated.N, translated.gridsize, translated.model_type) == (128, 1, "supervised")
    with pytest.raises(ConfigError, match="mode = 'PINN' is not one of"):
        to_model_config(data, SimpleNamespace(mode="PINN"))


def test_a_given_mask_is_said_to_become_circular(caplog: pytest.LogCaptureFixture) -> None:
    to_model_config(DataConfig(), ModelConfig(probe_mask=MASK))
    assert "not carried over: probe_mask" in caplog.text
