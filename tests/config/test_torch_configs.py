"""Option sets of PyTorch configurations: defaults, rules, JSON, and their translation against recorded results."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import FrozenInstanceError, asdict, fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend import config, params, torch_configs
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.execution import ExecutionConfig
from ptychopinn_backend.params_bridge import update_legacy_dict
from ptychopinn_backend.torch_configs import (
    DataConfig,
    DatagenConfig,
    InferenceConfig,
    ModelConfig,
    OptionSets,
    TrainingConfig,
    UnknownOptionError,
    load_option_sets,
    options_from_mapping,
    options_to_mapping,
    save_option_sets,
    to_execution_config,
    to_inference_config,
    to_model_config,
    to_training_config,
)

# Fields of the recording that this package does not have.
DROPPED_FIELDS = {"learned_input_channels", "torch_mae_pred_l2_match_target"}
GIVEN = {
    "n_groups": 512,
    "nphotons": 1e9,
    "train_data_file": Path("train.npz"),
    "test_data_file": Path("test.npz"),
}

DEFAULTS: dict[type[Any], dict[str, Any]] = {
    DataConfig: {
        "nphotons": 1e5,
        "N": 64,
        "C": 4,
        "K": 6,
        "K_quadrant": 30,
        "n_subsample": 7,
        "subsample_seed": None,
        "grid_size": (2, 2),
        "neighbor_function": "Nearest",
        "min_neighbor_distance": 0.0,
        "max_neighbor_distance": 3.0,
        "scan_pattern": "Isotropic",
        "normalize": "Batch",
        "probe_scale": 4.0,
        "probe_normalize": True,
        "data_scaling": "Parseval",
        "phase_subtraction": True,
        "x_bounds": (0.1, 0.9),
        "y_bounds": (0.1, 0.9),
        "measurement_domain": None,
    },
    ModelConfig: {
        "mode": "Unsupervised",
        "architecture": "cnn",
        "n_filters_scale": 2,
        "amp_activation": "silu",
        "batch_norm": False,
        "probe_mask": False,
        "probe_mask_tensor": None,
        "edge_pad": 10,
        "decoder_last_c_outer_fraction": 0.125,
        "eca_encoder": False,
        "cbam_encoder": True,
        "cbam_bottleneck": False,
        "cbam_decoder": False,
        "eca_decoder": False,
        "spatial_decoder": False,
        "decoder_spatial_kernel": 7,
        "object_big": True,
        "probe_big": True,
        "offset": 6,
        "C_model": 4,
        "C_forward": 4,
        "pad_object": True,
        "gaussian_smoothing_sigma": 0.0,
        "intensity_scale_trainable": False,
        "intensity_scale": 10000.0,
        "max_position_jitter": 10,
        "num_datasets": 1,
        "loss_function": "Poisson",
        "amp_loss": None,
        "phase_loss": None,
        "amp_loss_coeff": 1.0,
        "phase_loss_coeff": 1.0,
        "fno_modes": 12,
        "fno_width": 32,
        "fno_blocks": 4,
        "fno_cnn_blocks": 2,
        "fno_input_transform": "none",
    },
    TrainingConfig: {
        "nll": True,
        "device": "cuda",
        "strategy": "ddp",
        "n_devices": 1,
        "learning_rate": 1e-3,
        "epochs": 50,
        "batch_size": 16,
        "epochs_fine_tune": 0,
        "fine_tune_gamma": 0.1,
        "scheduler": "Default",
        "num_workers": 4,
        "accum_steps": 1,
        "gradient_clip_val": None,
        "optimizer": "adam",
        "stage_1_epochs": 0,
        "stage_2_epochs": 0,
        "stage_3_epochs": 0,
        "physics_weight_schedule": "cosine",
        "stage_3_lr_factor": 0.1,
        "experiment_name": "",
        "notes": "",
        "model_name": "",
        "train_data_file": None,
        "test_data_file": None,
        "output_dir": "training_outputs",
        "n_groups": None,
        "training_directories": [],
    },
    InferenceConfig: {
        "middle_trim": 32,
        "batch_size": 1000,
        "experiment_number": 0,
        "pad_eval": True,
        "window": 20,
        "patch_weighting": "probe",
    },
    DatagenConfig: {
        "objects_per_probe": 4,
        "diff_per_object": 7000,
        "object_class": "dead_leaves",
        "image_size": (250, 250),
        "probe_paths": [],
        "beamstop_diameter": 4,
    },
}

# Option -> (another value, field it becomes, value there).
MODEL_TRANSLATION = {
    "mode": ("Supervised", "model_type", "supervised"),
    "architecture": ("cnn", "architecture", "cnn"),
    "n_filters_scale": (1, "n_filters_scale", 1),
    "amp_activation": ("relu", "amp_activation", "relu"),
    "probe_mask": (True, "probe_mask", True),
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
    "scheduler": ("Exponential", "scheduler", "Exponential"),
    "gradient_clip_val": (1.0, "gradient_clip_val", 1.0),
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
        "batch_norm": True,
        "edge_pad": 5,
        "decoder_last_c_outer_fraction": 0.25,
        "eca_encoder": True,
        "cbam_encoder": False,
        "cbam_bottleneck": True,
        "cbam_decoder": True,
        "eca_decoder": True,
        "spatial_decoder": True,
        "decoder_spatial_kernel": 5,
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
        "epochs_fine_tune": 2,
        "fine_tune_gamma": 0.5,
        "stage_1_epochs": 1,
        "stage_2_epochs": 1,
        "stage_3_epochs": 1,
        "physics_weight_schedule": "linear",
        "stage_3_lr_factor": 0.5,
        "experiment_name": "x",
        "notes": "x",
        "model_name": "x",
        "training_directories": ["x"],
    },
    InferenceConfig: {
        "middle_trim": 16,
        "experiment_number": 1,
        "pad_eval": False,
        "window": 0,
        "patch_weighting": "uniform",
    },
}
COUNT, COUNT_OR_ZERO = "must be a whole number above 0", "must be a whole number of at least 0"
POSITIVE, NOT_NEGATIVE = "must be a finite number above 0", "must be a finite number of at least 0"
BOOLEAN, PAIR = "must be true or false", "must be two numbers. Write for example (2, 2)"
FRACTIONS = "must be two fractions, 0 <= low < high <= 1. Use (0.0, 1.0) to keep the whole scan"

RULES: list[tuple[type[Any], tuple[str, ...], Any, str]] = [
    (DataConfig, ("nphotons", "probe_scale"), 0, POSITIVE),
    (DataConfig, ("N", "C", "K", "K_quadrant", "n_subsample"), 0, COUNT),
    (DataConfig, ("subsample_seed",), -1, COUNT_OR_ZERO),
    (DataConfig, ("grid_size",), (0, 0), COUNT),
    (DataConfig, ("grid_size", "x_bounds", "y_bounds"), (1, 1, 1), PAIR),
    (DataConfig, ("x_bounds", "y_bounds"), (0.5, 0.5), FRACTIONS),
    (DataConfig, ("neighbor_function",), "nearest", "Did you mean 'Nearest'?"),
    (DataConfig, ("min_neighbor_distance", "max_neighbor_distance"), -1.0, NOT_NEGATIVE),
    (DataConfig, ("scan_pattern",), "Spiral", "is not one of 'Isotropic', 'Rectangular'."),
    (DataConfig, ("normalize",), "Pattern", "is not one of 'Group', 'Batch', None."),
    (DataConfig, ("probe_normalize", "phase_subtraction"), 1, BOOLEAN),
    (DataConfig, ("data_scaling",), "Min", "is not one of 'Parseval', 'Max'."),
    (DataConfig, ("measurement_domain",), "counts", "is not one of 'count_intensity', 'normalized_amplitude', None."),
    (ModelConfig, ("mode",), "PINN", "is not one of 'Unsupervised', 'Supervised'."),
    (ModelConfig, ("loss_function",), "MSE", "is not one of 'Poisson', 'MAE'."),
    (ModelConfig, ("amp_loss", "phase_loss"), "TV", "is not one of None, 'Total_Variation', 'Mean_Deviation'."),
    (
        ModelConfig,
        (
            "batch_norm",
            "eca_encoder",
            "cbam_encoder",
            "cbam_bottleneck",
            "cbam_decoder",
            "eca_decoder",
            "spatial_decoder",
            "object_big",
            "probe_big",
            "pad_object",
            "intensity_scale_trainable",
        ),
        "yes",
        BOOLEAN,
    ),
    (ModelConfig, ("edge_pad", "offset", "max_position_jitter"), -1, COUNT_OR_ZERO),
    (ModelConfig, ("C_model", "C_forward", "num_datasets", "decoder_spatial_kernel"), 0, COUNT),
    (ModelConfig, ("decoder_last_c_outer_fraction",), 1.0, "must lie in [0, 1)"),
    (ModelConfig, ("intensity_scale",), 0.0, POSITIVE),
    (ModelConfig, ("amp_loss_coeff", "phase_loss_coeff"), -1.0, NOT_NEGATIVE),
    (TrainingConfig, ("nll",), 1, BOOLEAN),
    (TrainingConfig, ("n_devices", "epochs", "accum_steps"), 0, COUNT),
    (
        TrainingConfig,
        ("num_workers", "epochs_fine_tune", "stage_1_epochs", "stage_2_epochs", "stage_3_epochs"),
        -1,
        COUNT_OR_ZERO,
    ),
    (TrainingConfig, ("learning_rate", "fine_tune_gamma", "stage_3_lr_factor"), 0.0, POSITIVE),
    (TrainingConfig, ("physics_weight_schedule",), "step", "is not one of 'linear', 'cosine', 'exponential'."),
    (TrainingConfig, ("training_directories",), "scans", "must be a list of paths. Write ['scans'] for a single one"),
    (InferenceConfig, ("middle_trim", "batch_size"), 0, COUNT),
    (InferenceConfig, ("experiment_number", "window"), -1, COUNT_OR_ZERO),
    (InferenceConfig, ("pad_eval",), None, BOOLEAN),
    (InferenceConfig, ("patch_weighting",), "none", "is not one of 'probe', 'uniform'."),
    (DatagenConfig, ("objects_per_probe", "diff_per_object"), 0, COUNT),
    (DatagenConfig, ("object_class",), "", "must name a kind of object. Use 'dead_leaves'"),
    (DatagenConfig, ("image_size",), 250, PAIR),
    (DatagenConfig, ("image_size",), (250, 0), COUNT),
    (DatagenConfig, ("beamstop_diameter",), -1, COUNT_OR_ZERO),
    (DatagenConfig, ("probe_paths",), "p.npz", "must be a list of paths. Write ['p.npz'] for a single one"),
]


@pytest.fixture(autouse=True)
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m").mkdir()
    Path("m/wts.h5.zip").write_bytes(b"")


@pytest.mark.parametrize("cls", DEFAULTS)
def test_every_option_and_default(cls: type[Any]) -> None:
    defaults = cls()
    assert {item.name: getattr(defaults, item.name) for item in fields(cls)} == DEFAULTS[cls]
    with pytest.raises(FrozenInstanceError):
        setattr(defaults, fields(cls)[0].name, 1)


@pytest.mark.parametrize(
    ("cls", "name", "value", "words"),
    [(cls, name, value, words) for cls, names, value, words in RULES for name in names],
)
def test_rule(cls: type[Any], name: str, value: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)) as caught:
        cls(**{name: value})
    assert str(caught.value).startswith(f"{name} = ")


@pytest.mark.parametrize(("name", "row"), {**MODEL_TRANSLATION, **DATA_TO_MODEL}.items())
def test_translation_of_one_model_option(name: str, row: tuple[Any, str, Any]) -> None:
    value, target, expected = row
    if name in DATA_TO_MODEL:
        translated = to_model_config(replace(DataConfig(), **{name: value}), ModelConfig())
    else:
        translated = to_model_config(DataConfig(), replace(ModelConfig(), **{name: value}))
    assert translated == replace(to_model_config(DataConfig(), ModelConfig()), **{target: expected})


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
        InferenceConfig: {"batch_size"},
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


RECORDED = json.loads((Path(__file__).parents[1] / "golden" / "config_bridge.json").read_text())


def model_case(keywords: dict[str, Any]) -> Any:
    return lambda: to_model_config(DataConfig(), ModelConfig(**keywords))


def training_case(
    drop: tuple[str, ...] = (),
    data: dict[str, Any] | None = None,
    model: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    **more: Any,
) -> Any:
    overrides = {key: value for key, value in {**GIVEN, **more}.items() if key not in drop}
    data_set, model_set = DataConfig(**(data or {})), ModelConfig(**(model or {}))
    return lambda: to_training_config(
        to_model_config(data_set, model_set), data_set, model_set, TrainingConfig(**(training or {})), overrides
    )


def inference_case(data: dict[str, Any] | None = None, **overrides: Any) -> Any:
    data_set = DataConfig(**(data or {}))
    return lambda: to_inference_config(to_model_config(data_set, ModelConfig()), data_set, InferenceConfig(), overrides)


MASK = np.ones((64, 64))
CASES: dict[str, Any] = {
    "to_model_config(DataConfig(), ModelConfig())": model_case({}),
    "to_model_config(DataConfig(N=128, grid_size=(3,3), probe_scale=1.0), ModelConfig(mode='Supervised', "
    "amp_activation='sigmoid', n_filters_scale=1, object_big=False, probe_big=False, pad_object=False, "
    "gaussian_smoothing_sigma=0.7))": lambda: to_model_config(
        DataConfig(N=128, grid_size=(3, 3), probe_scale=1.0),
        ModelConfig(
            mode="Supervised",
            amp_activation="sigmoid",
            n_filters_scale=1,
            object_big=False,
            probe_big=False,
            pad_object=False,
            gaussian_smoothing_sigma=0.7,
        ),
    ),
    **{
        f"to_model_config amp_activation='{name}'": model_case({"amp_activation": name})
        for name in ("silu", "SiLU", "swish", "sigmoid", "softplus", "relu", "tanh", "gelu")
    },
    "to_model_config grid_size=(2,3)": lambda: to_model_config(DataConfig(grid_size=(2, 3)), ModelConfig()),
    "to_model_config mode='PINN'": model_case({"mode": "PINN"}),
    "to_model_config probe_mask=True": model_case({"probe_mask": True}),
    "to_model_config probe_mask=None": model_case({"probe_mask": None}),
    "to_model_config probe_mask=tensor": model_case({"probe_mask": MASK}),
    "to_model_config probe_mask_tensor=tensor, probe_mask=False": model_case({"probe_mask_tensor": MASK}),
    "to_model_config overrides=dict(probe_mask=True, gridsize=4)": lambda: to_model_config(
        DataConfig(), ModelConfig(), {"probe_mask": True, "gridsize": 4}
    ),
    "to_model_config overrides=dict(bogus=1)": lambda: to_model_config(DataConfig(), ModelConfig(), {"bogus": 1}),
    "to_training_config(all overrides)": training_case(),
    "to_training_config strings for paths": training_case(
        train_data_file="train.npz", test_data_file="test.npz", output_dir="o"
    ),
    "to_training_config nll=False, K=7, epochs=3, batch_size=4, intensity_scale_trainable=True, subsample_seed=5, "
    "optimizer='sgd', scheduler='Exponential'": training_case(
        data={"K": 7, "subsample_seed": 5},
        model={"intensity_scale_trainable": True},
        training={"nll": False, "epochs": 3, "batch_size": 4, "optimizer": "sgd", "scheduler": "Exponential"},
    ),
    "to_training_config no nphotons override, DataConfig.nphotons default 1e5": training_case(drop=("nphotons",)),
    "to_training_config no nphotons override, DataConfig.nphotons=1e9": training_case(
        drop=("nphotons",), data={"nphotons": 1e9}
    ),
    "to_training_config nphotons override = 1e5 (the PyTorch default, explicit)": training_case(nphotons=1e5),
    "to_training_config no n_groups": training_case(drop=("n_groups",)),
    "to_training_config no n_groups override but TrainingConfig.n_groups=64": training_case(
        drop=("n_groups",), training={"n_groups": 64}
    ),
    "to_training_config no test_data_file": training_case(drop=("test_data_file",)),
    "to_training_config no train_data_file": training_case(drop=("train_data_file",)),
    "to_training_config(no overrides at all)": training_case(drop=tuple(GIVEN)),
    "to_inference_config(ok)": inference_case(model_path=Path("m"), test_data_file=Path("t.npz")),
    "to_inference_config(ok + n_groups=9, strings)": inference_case(
        {"K": 7}, model_path="m", test_data_file="t.npz", n_groups=9, output_dir="o"
    ),
    "to_inference_config no model_path": inference_case(test_data_file="t.npz"),
    "to_inference_config no test_data_file": inference_case(model_path="m"),
}
BRIDGE_CASE = next(case for case in RECORDED if case["case"].startswith("update_legacy_dict"))


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return {"__path__": str(value)} if isinstance(value, Path) else value


def assert_recorded_fields(result: dict[str, Any], recorded: dict[str, Any]) -> None:
    expected = {key: value for key, value in recorded.items() if key not in DROPPED_FIELDS}
    if "model" in expected:
        assert_recorded_fields(result["model"], expected.pop("model"))
    assert {key: result[key] for key in expected} == expected
    assert {key: type(result[key]) for key in expected} == {key: type(value) for key, value in expected.items()}


def test_every_recorded_case_is_here() -> None:
    assert {case["case"] for case in RECORDED} == {*CASES, BRIDGE_CASE["case"]}


@pytest.mark.parametrize("case", [c for c in RECORDED if c is not BRIDGE_CASE], ids=lambda case: case["case"])
def test_recorded_translation(case: dict[str, Any]) -> None:
    build = CASES[case["case"]]
    if not case["ok"]:
        with pytest.raises({"ValueError": ValueError, "TypeError": TypeError}[case["exception"]]) as caught:
            build()
        assert isinstance(caught.value, ConfigError)
        return
    if "warnings" in case:
        with pytest.warns(
            UserWarning, match="test_data_file is not given: .* Give overrides=.* to validate on another"
        ):
            result = build()
    else:
        result = build()
    assert_recorded_fields(plain(asdict(result)), case["result"])


def test_recorded_params_cfg() -> None:
    cfg = dict(params.DEFAULTS)
    update_legacy_dict(cfg, CASES["to_training_config(all overrides)"]())
    expected = {key: value for key, value in BRIDGE_CASE["result"].items() if key not in DROPPED_FIELDS}
    assert {key: cfg[key] for key in expected} == expected


def test_params_cfg_equals_direct_construction() -> None:
    translated = training_case(
        drop=("nphotons",),
        data={"N": 128, "grid_size": (3, 3), "K": 9, "nphotons": 1e6, "probe_scale": 2.0, "subsample_seed": 1},
        model={"mode": "Supervised", "probe_mask": MASK, "intensity_scale_trainable": True, "loss_function": "MAE"},
        training={"epochs": 3, "nll": False, "batch_size": 8, "gradient_clip_val": 0.5, "output_dir": "o"},
    )()
    direct = config.TrainingConfig(
        model=config.ModelConfig(
            N=128, gridsize=3, model_type="supervised", amp_activation="swish", probe_mask=True, probe_scale=2.0
        ),
        train_data_file=Path("train.npz"),
        test_data_file=Path("test.npz"),
        nepochs=3,
        nll_weight=0.0,
        batch_size=8,
        nphotons=1e6,
        n_groups=512,
        neighbor_count=9,
        subsample_seed=1,
        intensity_scale_trainable=True,
        torch_loss_mode="mae",
        gradient_clip_val=0.5,
        output_dir=Path("o"),
        backend="pytorch",
    )
    one, other = dict(params.DEFAULTS), dict(params.DEFAULTS)
    update_legacy_dict(one, translated)
    update_legacy_dict(other, direct)
    assert one == other
    assert {key: type(value) for key, value in one.items()} == {key: type(value) for key, value in other.items()}


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("to_model_config grid_size=(2,3)", "grid_size = (2, 3) is not square, but gridsize is one number. Use (2, 2)"),
        ("to_model_config amp_activation='tanh'", "amp_activation = 'tanh' is not one of 'sigmoid', 'swish',"),
        (
            "to_training_config no n_groups",
            "n_groups = None: PyTorch option sets do not say it. Give it with overrides",
        ),
        ("to_training_config no train_data_file", "train_data_file = None: PyTorch option sets do not say it."),
        ("to_inference_config no model_path", "Give it with overrides=dict(model_path='training_outputs')"),
        ("to_inference_config no test_data_file", "Give it with overrides=dict(test_data_file='scan.npz')"),
        (
            "to_training_config no nphotons override, DataConfig.nphotons default 1e5",
            "nphotons is left at its PyTorch default 100000, but the default here is 1e+09. Say which one is meant",
        ),
    ],
)
def test_words_of_translation_errors(case: str, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        CASES[case]()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda bad: to_model_config(DataConfig(), ModelConfig(), bad), "a field of ModelConfig."),
        (lambda bad: training_case(**bad)(), "a field of TrainingConfig."),
        (lambda bad: inference_case(model_path="m", test_data_file="t", **bad)(), "a field of InferenceConfig."),
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
        training_case(**{name: 1})()


def test_the_model_cannot_be_an_override() -> None:
    with pytest.raises(UnknownOptionError, match="'model' is not a field of TrainingConfig"):
        to_training_config(
            config.ModelConfig(), DataConfig(), ModelConfig(), TrainingConfig(), {**GIVEN, "model": None}
        )


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


def test_json_round_trip(tmp_path: Path) -> None:
    sets = OptionSets(
        data=DataConfig(N=128, x_bounds=(0.0, 0.5), normalize=None),
        model=ModelConfig(amp_loss="Total_Variation", probe_mask=np.eye(2)),
        training=TrainingConfig(training_directories=["a", "b"], gradient_clip_val=1.0),
        inference=InferenceConfig(window=5),
        datagen=DatagenConfig(probe_paths=["p.npz"], image_size=(64, 96)),
    )
    save_option_sets(tmp_path / "sets.json", sets)
    loaded = load_option_sets(tmp_path / "sets.json")
    assert loaded.model.probe_mask == [[1.0, 0.0], [0.0, 1.0]]
    assert loaded._replace(model=sets.model) == sets
    assert replace(loaded.model, probe_mask=None) == replace(sets.model, probe_mask=None)


@pytest.mark.parametrize("cls", DEFAULTS)
def test_defaults_survive_json(cls: type[Any]) -> None:
    assert options_from_mapping(cls, json.loads(json.dumps(options_to_mapping(cls())))) == cls()


def test_sections_may_be_absent_or_end_in_config(tmp_path: Path) -> None:
    file = tmp_path / "sets.json"
    file.write_text('{"data_config": {"N": 128, "normalize": "None"}, "model": {}}')
    assert load_option_sets(file) == OptionSets(data=DataConfig(N=128, normalize=None))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not valid JSON (Expecting property name"),
        ("[1]", "must hold an object of sections. Write {"),
        ('{"data": 3}', "must hold an object of sections. Write {"),
        ('{"dat": {}}', "'dat' is not a section of option sets. Did you mean 'data'?"),
        ('{"data": {"Nn": 64}}', "'Nn' is not an option of DataConfig. Did you mean 'N'?"),
        ('{"model": {"mode": "x"}}', "mode = 'x' is not one of 'Unsupervised', 'Supervised'."),
    ],
)
def test_refused_json(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "sets.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(words)):
        load_option_sets(file)


def test_missing_json(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Option file '.*no.json' does not exist. Check the path"):
        load_option_sets(tmp_path / "no.json")


def test_public_names() -> None:
    assert all(hasattr(torch_configs, name) for name in torch_configs.__all__)
