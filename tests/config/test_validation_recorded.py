"""Recorded verdicts on configurations: the same are accepted, the same refused, with the same exception type."""

from __future__ import annotations

import ast
import builtins
import json
import re
import warnings
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
import yaml

from ptychopinn_backend.config import InferenceConfig, ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.config.yaml_file import load_yaml_config

CASES = json.loads((Path(__file__).parents[1] / "golden" / "validation.json").read_text())

STRICTER = {
    "n_filters_scale': 0.5": "a fraction of a feature map does not exist",
    "'N': 100": "the networks halve the pattern three times and more",
    "'model_type': 'foo'": "would fail only later, when the network is built",
    "'amp_activation': 'tanh'": "would fail only later, when the network is built",
    "'backend': 'jax'": "would fail only later, when the backend is created",
    "'torch_loss_mode': 'foo'": "would fail only later, when the loss is built",
}
ABSENT_FIELDS = {"spectral_bottleneck": "no such option here", "ffno_encoder": "no such option here"}
CALL = re.compile(r"(?:validate_\w+\()?(\w+)\((?:model=ModelConfig\(\), )?\*\*(\{.*\})\)\)?")
CONSTRUCTORS = {
    "ModelConfig": ModelConfig,
    "TrainingConfig": TrainingConfig,
    "PyTorchExecutionConfig": ExecutionConfig,
}


def verdict(build: Any) -> tuple[Any, Any, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value, error = build(), None
        except Exception as raised:
            value, error = None, raised
    return value, error, [warning.category.__name__ for warning in caught]


def recorded(part: str) -> list[Any]:
    return [
        pytest.param(case, id=case["input"]) for case in CASES if part in case["input"] and CALL.match(case["input"])
    ]


@pytest.mark.parametrize("case", recorded("**{"))
def test_constructor_cases(case: dict[str, Any]) -> None:
    if any(name in case["input"] for name in ABSENT_FIELDS):
        assert not case["ok"]
        return
    match = CALL.match(case["input"])
    assert match is not None
    keywords = ast.literal_eval(match[2])
    value, error, _ = verdict(lambda: CONSTRUCTORS[match[1]](**keywords))
    if any(text in case["input"] for text in STRICTER):
        assert case["ok"]
        assert isinstance(error, ValueError)
    elif case["ok"]:
        assert error is None
        assert case["value"] in (None, getattr(value, "accelerator", None))
    else:
        assert isinstance(error, getattr(builtins, case["exception"]))


def special_cases(folder: Path) -> dict[str, Any]:
    empty, full = folder / "empty", folder / "full"
    empty.mkdir()
    full.mkdir()
    for name in ("wts.h5.zip", "foo.zip"):
        (full / name).write_bytes(b"")
    bad = folder / "bad.yaml"
    bad.write_text("a: [1, 2\nb: 3\n")
    inference: dict[str, Any] = {"model": ModelConfig(), "test_data_file": "t.npz"}
    return {
        "TrainingConfig(model=ModelConfig()).n_groups": lambda: TrainingConfig().n_groups,
        "TrainingConfig(model=ModelConfig(), n_images=77).n_groups": lambda: TrainingConfig(n_images=77).n_groups,
        "TrainingConfig(model=ModelConfig(), n_images=77, n_groups=5).n_groups": lambda: (
            TrainingConfig(n_images=77, n_groups=5).n_groups
        ),
        "InferenceConfig(..., n_images=77).n_groups": lambda: (
            InferenceConfig(model_path=full, n_images=77, **inference).n_groups
        ),
        "InferenceConfig(...).n_groups": lambda: InferenceConfig(model_path=full, **inference).n_groups,
        "setattr on ModelConfig instance": lambda: setattr(ModelConfig(), "N", 128),
        "validate_inference_config: dir without wts.h5.zip": lambda: InferenceConfig(model_path=empty, **inference),
        "validate_inference_config: dir with wts.h5.zip": lambda: InferenceConfig(model_path=full, **inference),
        "validate_inference_config: path <dir>/wts.h5 (zip exists)": lambda: InferenceConfig(
            model_path=full / "wts.h5", **inference
        ),
        "validate_inference_config: missing path": lambda: InferenceConfig(model_path=folder / "no", **inference),
        "validate_inference_config: <dir>/foo where foo.zip exists": lambda: InferenceConfig(
            model_path=full / "foo", **inference
        ),
        "load_yaml_config(missing)": lambda: load_yaml_config(folder / "no.yaml"),
        "load_yaml_config(bad)": lambda: load_yaml_config(bad),
    }


EXCEPTIONS = {
    "ValueError": ValueError,
    "FrozenInstanceError": FrozenInstanceError,
    "FileNotFoundError": FileNotFoundError,
    "ParserError": yaml.parser.ParserError,
}


def test_special_cases(tmp_path: Path) -> None:
    special = special_cases(tmp_path)
    cases = {case["input"]: case for case in CASES if case["input"] in special}
    assert set(cases) == set(special)
    for name, build in special.items():
        case = cases[name]
        value, error, warned = verdict(build)
        assert warned == [warning["category"] for warning in case.get("warnings", [])], name
        if case["ok"]:
            assert error is None, name
            assert case["value"] is None or value == case["value"], name
        else:
            assert isinstance(error, EXCEPTIONS[case["exception"]]), name


def test_default_execution_options() -> None:
    (case,) = [case for case in CASES if case["input"].startswith("PyTorchExecutionConfig()")]
    options, training = ExecutionConfig(), TrainingConfig()
    moved = {"gradient_clip_val", "gradient_clip_algorithm", "scheduler"}
    absent = {key for key in case["value"] if key.startswith(tuple(ABSENT_FIELDS))} | {"middle_trim", "pad_eval"}
    for key, value in case["value"].items():
        if key in moved:
            assert getattr(training, key) == value
        elif key == "accelerator":
            # Resolving 'auto' needs the framework, so the backend does it when it runs, not the constructor.
            assert options.accelerator == "auto"
        elif key not in absent:
            assert getattr(options, key) == value


def test_every_recorded_case_is_used(tmp_path: Path) -> None:
    used = {case["input"] for case in CASES if CALL.match(case["input"])} | set(special_cases(tmp_path))
    unused = {case["input"] for case in CASES} - used
    assert unused == {"PyTorchExecutionConfig() [no CUDA host]"}
