"""Configuration files: sections, precedence, and errors that tell a newcomer what to change."""

from __future__ import annotations

import re
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.config.yaml_file import (
    ConfigSyntaxError,
    RunConfig,
    load_run_config,
    load_yaml_config,
    run_config_from_mapping,
    yaml_text,
)
from ptychopinn_backend.errors import ConfigError

from .strategies import executions, trainings


def write(folder: Path, text: str) -> Path:
    file = folder / "run.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_top_level_keys_find_their_home(tmp_path: Path) -> None:
    file = write(tmp_path, "N: 128\nnepochs: 3\nlearning_rate: 0.01\ntrain_data_file: a.npz\n")
    run = load_run_config(file)
    assert run.training.model.N == 128
    assert run.training.nepochs == 3
    assert run.training.train_data_file == Path("a.npz")
    assert run.execution.learning_rate == 0.01
    assert run.given == {"N", "nepochs", "learning_rate", "train_data_file"}


def test_sections(tmp_path: Path) -> None:
    text = "model:\n  gridsize: 2\ntraining:\n  nphotons: 1e6\nexecution:\n  recon_log_fixed_indices: [0, 4]\nseed: 3\n"
    run = load_run_config(write(tmp_path, text))
    assert (run.training.model.gridsize, run.training.nphotons) == (2, 1e6)
    assert (run.execution.recon_log_fixed_indices, run.execution.seed) == ((0, 4), 3)


def test_empty_file_and_empty_section_give_defaults(tmp_path: Path) -> None:
    defaults = RunConfig(TrainingConfig(), ExecutionConfig(), frozenset())
    assert load_run_config(write(tmp_path, "# nothing yet\n")) == defaults
    assert load_run_config(write(tmp_path, "model:\n  # N: 64\n")) == defaults
    assert load_run_config(None) == defaults


def test_overrides_win_and_none_means_not_given(tmp_path: Path) -> None:
    file = write(tmp_path, "training:\n  nepochs: 3\n  batch_size: 8\nN: 128\n")
    run = load_run_config(file, {"nepochs": 5, "batch_size": None, "gridsize": 2})
    assert (run.training.nepochs, run.training.batch_size) == (5, 8)
    assert (run.training.model.N, run.training.model.gridsize) == (128, 2)
    assert run.given == {"nepochs", "batch_size", "N", "gridsize"}


@pytest.mark.parametrize(
    ("text", "number"),
    [("1e9", 1e9), ("1E9", 1e9), ("+2e5", 2e5), ("1.5e3", 1500.0), ("1.e2", 100.0), ("5.0e-01", 0.5), ("7", 7)],
)
def test_numbers_in_scientific_notation(tmp_path: Path, text: str, number: float) -> None:
    assert load_run_config(write(tmp_path, f"nphotons: {text}\n")).training.nphotons == number


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gridsiz: 2\n", "'gridsiz' is not a configuration key. Did you mean 'gridsize'? See specs/config.md"),
        ("3: 2\n", "'3' is not a configuration key. See specs/config.md"),
        (
            "model:\n  nepochs: 2\n",
            "'nepochs' is not a configuration key in section 'model'.",
        ),
        ("training:\n  nepoch: 2\n", "key in section 'training'. Did you mean 'nepochs'?"),
        ("training:\n  model: {}\n", "'model' is not a configuration key in section 'training'."),
        ("model: 64\n", "Section 'model' is 64; expected indented 'key: value' lines"),
        ("N: 64\nmodel:\n  N: 64\n", "'N' is given twice, at the top level and in a section. Keep one of them"),
        ("- N\n- 64\n", "holds a list; expected 'key: value' lines. Correct the file"),
        ("N: 100\n", "N = 100 is not one of 32, 64, 128, 256, 512."),
        ("nepochs: '3'\n", "nepochs = '3' must be a whole number above 0"),
    ],
)
def test_refused_content(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        load_run_config(write(tmp_path, text))


@pytest.mark.parametrize("value", [2, None])
def test_unknown_override_is_refused_even_without_a_value(value: int | None) -> None:
    with pytest.raises(ConfigError, match=r"'gridsiz' is not a configuration key. Did you mean 'gridsize'"):
        run_config_from_mapping({}, {"gridsiz": value})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a: [1, 2\nb: 3\n", "line 1"),
        (b"N: 64\nN: 128\n", "'N' is given twice"),
        (b"{a: 1}: 2\n", "unhashable key"),
        (b"N: !!python/object/apply:os.getcwd []\n", "could not determine a constructor"),
        (b"\xff\xfe\xff", "codec can't decode"),
        (b"[" * 3000, "recursion"),
    ],
)
def test_syntax_errors_say_where_and_what(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigSyntaxError) as caught:
        load_yaml_config(file)
    message = str(caught.value)
    assert message.startswith(f"'{file}' is not valid YAML (")
    assert words in message
    assert message.endswith("Correct the file, one 'key: value' a line.")
    assert "\n" not in message
    assert isinstance(caught.value, yaml.parser.ParserError)
    assert isinstance(caught.value, ConfigError)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no.yaml' does not exist. Check the path"):
        load_run_config(tmp_path / "no.yaml")


def as_yaml(training: TrainingConfig, execution: ExecutionConfig, sections: bool) -> str:
    plain: dict[str, Any] = {
        name: str(value) if isinstance(value, Path) else value for name, value in asdict(training).items()
    }
    model = plain.pop("model")
    options = asdict(execution)
    content = {"model": model, "training": plain, "execution": options} if sections else {**plain, **model, **options}
    return yaml_text(content)


@given(training=trainings, execution=executions, sections=st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_configuration_survives_yaml(
    tmp_path_factory: pytest.TempPathFactory, training: TrainingConfig, execution: ExecutionConfig, sections: bool
) -> None:
    file = write(tmp_path_factory.mktemp("yaml"), as_yaml(training, execution, sections))
    run = load_run_config(file)
    assert run.training == training
    assert run.execution == execution


def test_no_two_sections_share_a_key() -> None:
    names = [item.name for owner in (ModelConfig, TrainingConfig, ExecutionConfig) for item in fields(owner)]
    assert len(names) == len(set(names))
