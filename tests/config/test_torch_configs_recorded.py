"""Translation of PyTorch option sets against recorded results."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend import params
from ptychopinn_backend.config import training as config
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.legacy.params_bridge import update_legacy_dict
from ptychopinn_backend.torch_configs import (
    DataConfig,
    InferenceConfig,
    ModelConfig,
    TrainingConfig,
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


@pytest.fixture(autouse=True)
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m").mkdir()
    Path("m/wts.h5.zip").write_bytes(b"")


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
            N=128,
            gridsize=3,
            model_type="supervised",
            amp_activation="swish",
            probe_mask=True,
            probe_scale=2.0,
            cbam_encoder=True,
            border_maps=8,
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
