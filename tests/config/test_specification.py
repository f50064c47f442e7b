"""The tables of specs/config.md say what the code says."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

import pytest

from ptychopinn_backend import params
from ptychopinn_backend.config import execution
from ptychopinn_backend.config import training as config
from ptychopinn_backend.config.inputs import InputConfig
from ptychopinn_backend.legacy import option_sets as torch_config_sets
from ptychopinn_backend.legacy.params_bridge import KEY_MAPPINGS

SPECIFICATION = (Path(__file__).parents[2] / "specs" / "config.md").read_text(encoding="utf-8")
TABLES: dict[str, type[Any]] = {
    "## ModelConfig": config.ModelConfig,
    "## TrainingConfig": config.TrainingConfig,
    "## InferenceConfig": config.InferenceConfig,
    "## ExecutionConfig": execution.ExecutionConfig,
    "## InputConfig": InputConfig,
    "### DataConfig": torch_config_sets.DataConfig,
    "### torch ModelConfig": torch_config_sets.ModelConfig,
    "### torch TrainingConfig": torch_config_sets.TrainingConfig,
    "### torch InferenceConfig": torch_config_sets.InferenceConfig,
    "### DatagenConfig": torch_config_sets.DatagenConfig,
}


def rows_below(heading: str) -> list[list[str]]:
    lines = iter(SPECIFICATION.splitlines())
    assert heading in lines
    rows: list[list[str]] = []
    for line in lines:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
        elif line.startswith("#"):
            break
    return rows[2:]


def default_text(item: Field[Any]) -> str:
    if item.default is MISSING:
        assert item.default_factory is not MISSING
        value = item.default_factory()
        return "ModelConfig()" if isinstance(value, config.ModelConfig) else repr(value)
    return repr(str(item.default)) if isinstance(item.default, Path) else repr(item.default)


@pytest.mark.parametrize("heading", TABLES)
def test_every_field_and_default_is_in_the_table(heading: str) -> None:
    expected = [[f"`{item.name}`", f"`{default_text(item)}`"] for item in fields(TABLES[heading])]
    assert [row[:2] for row in rows_below(heading)] == expected


@pytest.mark.parametrize("heading", ["## ModelConfig", "## TrainingConfig", "## InferenceConfig"])
def test_legacy_keys(heading: str) -> None:
    for name, _, key, *_ in rows_below(heading):
        field_name = name.strip("`")
        assert key == ("flattened" if field_name == "model" else f"`{KEY_MAPPINGS.get(field_name, field_name)}`")


def test_choices_in_the_rules_are_those_of_the_code() -> None:
    rules = {name: rule for name, _, _, rule, _ in rows_below("## ModelConfig")}
    assert rules["`N`"] == "one of " + ", ".join(map(str, config.PATTERN_SIZES))
    assert rules["`amp_activation`"].startswith(", ".join(config.AMP_ACTIVATIONS))


def test_params_cfg_defaults() -> None:
    table = [[f"`{key}`", f"`{value!r}`"] for key, value in params.DEFAULTS.items()]
    assert rows_below("## params.cfg") == table
    assert all(f"`{source}`" in SPECIFICATION for source in params.DATA_SOURCES)
