"""Option sets of PyTorch configurations: defaults, rules, JSON in and out."""

from __future__ import annotations

import json
import re
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend import torch_configs
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.torch_configs import (
    DataConfig,
    DatagenConfig,
    InferenceConfig,
    ModelConfig,
    OptionSets,
    TrainingConfig,
    load_option_sets,
    options_from_mapping,
    options_to_mapping,
    save_option_sets,
)

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
        "probe_mask_sigma": 1.0,
        "probe_mask_diameter": None,
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
        "generator_output_mode": "real_imag",
        "max_hidden_channels": None,
        "resnet_width": None,
        "cnn_output_mode": "amp_phase",
        "use_shared_decoder": False,
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
        "lr_warmup_epochs": 0,
        "lr_min_ratio": 0.1,
        "plateau_factor": 0.5,
        "plateau_patience": 2,
        "plateau_min_lr": 5e-5,
        "plateau_threshold": 0.0,
        "num_workers": 4,
        "accum_steps": 1,
        "gradient_clip_val": None,
        "gradient_clip_algorithm": "norm",
        "optimizer": "adam",
        "momentum": 0.9,
        "weight_decay": 0.0,
        "adam_beta1": 0.9,
        "adam_beta2": 0.999,
        "torch_loss_mode": "poisson",
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
            "use_shared_decoder",
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
    (TrainingConfig, ("torch_loss_mode",), "nll", "is not one of 'poisson', 'mae'."),
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
        ('{"dat": {}}', "'dat' is not a section of option sets, nor an option. Did you mean 'data'?"),
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
