"""The bridge from the dataclasses to `params.cfg`, against recorded results."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import MutableMapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from ptychopinn_backend import params
from ptychopinn_backend.config import InferenceConfig, ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.config.generators import CNN_OPTIONS
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.legacy.params_bridge import KEY_MAPPINGS, dataclass_to_legacy_dict, update_legacy_dict

# Recorded keys that belong to fields this package does not have.
DROPPED_KEYS = {"learned_input_channels", "torch_mae_pred_l2_match_target"}
# Keys of fields that only this package has; `tv_weight` is a legacy key too, with the same default.
ADDED_KEYS = {
    *("tv_weight", "mean_deviation_weight", "mse_weight", "validation_fraction"),
    *(*CNN_OPTIONS, "decoder_spatial_kernel", "border_maps", "shared_decoder", "cnn_output_mode"),
    *("stage_1_epochs", "stage_2_epochs", "stage_3_epochs", "physics_weight_schedule", "stage_3_lr_factor"),
    *("epochs_fine_tune", "fine_tune_gamma", "target_photon_fraction", "held_out_fraction"),
}

FULL_TRAINING = TrainingConfig(
    model=ModelConfig(
        N=128,
        gridsize=2,
        n_filters_scale=1,
        model_type="supervised",
        amp_activation="swish",
        object_big=False,
        probe_big=False,
        probe_mask=True,
        pad_object=False,
        probe_scale=2.5,
        gaussian_smoothing_sigma=0.5,
    ),
    train_data_file=Path("/data/train.npz"),
    test_data_file=Path("/data/test.npz"),
    batch_size=32,
    nepochs=7,
    mae_weight=0.25,
    nll_weight=0.5,
    realspace_mae_weight=0.1,
    realspace_weight=0.2,
    nphotons=1e6,
    n_groups=200,
    n_subsample=300,
    subsample_seed=9,
    neighbor_count=7,
    enable_oversampling=True,
    neighbor_pool_size=8,
    positions_provided=False,
    probe_trainable=True,
    intensity_scale_trainable=False,
    output_dir=Path("/out/x"),
    sequential_sampling=True,
    backend="pytorch",
)


@pytest.fixture
def inference(tmp_path: Path) -> InferenceConfig:
    archive = tmp_path / "wts.h5.zip"
    archive.write_bytes(b"")
    return InferenceConfig(
        model=ModelConfig(gridsize=2),
        model_path=archive,
        test_data_file=Path("/data/t.npz"),
        n_groups=11,
        debug=True,
        output_dir=Path("/out/inf"),
    )


def assert_recorded(case: dict[str, Any], config: Any) -> None:
    cfg: dict[str, Any] = {} if case["start"] == "empty" else dict(params.DEFAULTS)
    before = set(cfg)
    update_legacy_dict(cfg, config)
    expected = {key: value for key, value in case["result"].items() if key not in DROPPED_KEYS}
    assert set(cfg) - set(expected) <= ADDED_KEYS
    assert {key: cfg[key] for key in expected} == expected
    assert {key: type(cfg[key]) for key in expected} == {key: type(value) for key, value in expected.items()}
    assert not (set(cfg) - before) & set(case["none_valued_fields_skipped"])


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("TrainingConfig(defaults) -> {}", TrainingConfig()),
        ("TrainingConfig(defaults) -> DEFAULT_CFG", TrainingConfig()),
        ("TrainingConfig(full) -> DEFAULT_CFG", FULL_TRAINING),
        ("ModelConfig(defaults) -> DEFAULT_CFG", ModelConfig()),
    ],
)
def test_recorded_results(golden: Path, name: str, config: ModelConfig | TrainingConfig) -> None:
    assert_recorded(json.loads((golden / "update_legacy_dict.json").read_text())[name], config)


def test_recorded_inference(golden: Path, inference: InferenceConfig) -> None:
    case = json.loads((golden / "update_legacy_dict.json").read_text())["InferenceConfig -> DEFAULT_CFG"]
    # The recording names a path that does not exist; here the archive must be there.
    case["result"]["model_path"] = str(inference.model_path)
    assert_recorded(case, inference)


def test_key_mappings_are_the_promised_ones() -> None:
    assert KEY_MAPPINGS == {
        "object_big": "object.big",
        "probe_big": "probe.big",
        "probe_mask": "probe.mask",
        "probe_trainable": "probe.trainable",
        "intensity_scale_trainable": "intensity_scale.trainable",
        "positions_provided": "positions.provided",
        "output_dir": "output_prefix",
        "train_data_file": "train_data_file_path",
        "test_data_file": "test_data_file_path",
    }


def test_none_never_overwrites() -> None:
    cfg = {"n_subsample": 5, "train_data_file_path": "kept.npz", "resnet_width": 3, "gradient_clip_val": 1.0}
    before = dict(cfg)
    update_legacy_dict(cfg, TrainingConfig())
    assert {key: cfg[key] for key in before} == before


def test_flat_dict_holds_every_field_once_with_legacy_keys(inference: InferenceConfig) -> None:
    for config in (FULL_TRAINING, inference):
        names = [item.name for item in (*fields(config), *fields(ModelConfig)) if item.name != "model"]
        flat = dataclass_to_legacy_dict(config)
        assert set(flat) == {KEY_MAPPINGS.get(name, name) for name in names}
        assert "model" not in flat
        assert not any(isinstance(value, Path) for value in flat.values())


class Recorder(MutableMapping[str, Any]):
    """A mapping that is no dict, as another package's configuration object may be."""

    def __init__(self) -> None:
        self.stored: OrderedDict[str, Any] = OrderedDict(kept=1)

    def __getitem__(self, key: str) -> Any:
        return self.stored[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.stored[key] = value

    def __delitem__(self, key: str) -> None:
        raise AssertionError("the bridge never deletes")

    def __iter__(self) -> Any:
        return iter(self.stored)

    def __len__(self) -> int:
        return len(self.stored)


def test_any_mapping_works() -> None:
    recorder, plain = Recorder(), {"kept": 1}
    update_legacy_dict(recorder, FULL_TRAINING)
    update_legacy_dict(plain, FULL_TRAINING)
    assert dict(recorder) == plain


@pytest.mark.parametrize("backend", ["tensorflow", "pytorch"])
def test_backend_changes_its_own_key_only(backend: str) -> None:
    cfg: dict[str, Any] = {}
    update_legacy_dict(cfg, TrainingConfig(backend=backend))
    reference: dict[str, Any] = {}
    update_legacy_dict(reference, TrainingConfig())
    assert cfg == {**reference, "backend": backend}


def test_execution_options_never_reach_the_mapping() -> None:
    cfg: dict[str, Any] = {}
    with pytest.raises(ConfigError, match="ExecutionConfig has no legacy keys; only ModelConfig, TrainingConfig and"):
        update_legacy_dict(cfg, ExecutionConfig())  # type: ignore[arg-type]
    assert cfg == {}
    flat = dataclass_to_legacy_dict(TrainingConfig())
    assert not {item.name for item in fields(ExecutionConfig)} & {*flat, *params.DEFAULTS}
