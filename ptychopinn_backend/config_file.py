"""Configuration from YAML: unknown keys are refused, and the nearest valid name is suggested."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.errors import ConfigError, nearest_name
from ptychopinn_backend.execution import ExecutionConfig


class ConfigSyntaxError(ConfigError, yaml.parser.ParserError):
    """A configuration file is not valid YAML."""


class RunConfig(NamedTuple):
    """What a configuration file says: training (with its model) and execution."""

    training: TrainingConfig
    execution: ExecutionConfig
    given: frozenset[str]
    """Names of the fields the file or the overrides set, for precedence rules."""


def load_yaml_config(path: str | Path) -> dict[str, Any]:
    """Read a YAML file as a mapping.

    Args:
        path: the file.

    Returns:
        The mapping; empty for an empty file.

    Raises:
        FileNotFoundError: the file does not exist.
        ConfigSyntaxError: the file is not valid YAML.
        ConfigError: the file holds something else than a mapping.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"Configuration file '{file}' does not exist. Check the path.")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        first_line = " ".join(str(error).split())
        raise ConfigSyntaxError(
            None, None, f"'{file}' is not valid YAML ({first_line}). Correct the file, one 'key: value' a line.", None
        ) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"'{file}' holds a {type(content).__name__}; expected 'key: value' lines. Correct the file.")
    return content


def run_config_from_mapping(content: Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> RunConfig:
    """Build the configuration from a mapping with optional sections.

    A key may stand at the top level, or in a section `model:`, `training:` or `execution:`; overrides win.

    Args:
        content: parsed file.
        overrides: explicit values by field name; None means "not given".

    Returns:
        Training configuration (with its model) and execution options.

    Raises:
        ConfigError: an unknown key, a key given twice, or an invalid value.
    """
    homes: dict[str, type[Any]] = {}
    for owner in (ExecutionConfig, TrainingConfig, ModelConfig):
        homes.update({item.name: owner for item in fields(owner) if item.name != "model"})
    sections = {"model": ModelConfig, "training": TrainingConfig, "execution": ExecutionConfig}
    values: dict[type[Any], dict[str, Any]] = {owner: {} for owner in sections.values()}

    def place(name: Any, value: Any, section: str | None) -> None:
        owner = homes.get(name) if isinstance(name, str) else None
        if owner is None or (section is not None and sections[section] is not owner):
            where = f" in section '{section}'" if section else ""
            valid = [n for n, home in homes.items() if section is None or home is sections[section]]
            raise ConfigError(
                f"'{name}' is not a configuration key{where}.{nearest_name(str(name), valid)} See specs/config.md."
            )
        if name in values[owner]:
            raise ConfigError(f"'{name}' is given twice, at the top level and in a section. Keep one of them.")
        values[owner][name] = value

    for name, value in content.items():
        if name in sections:
            if not isinstance(value, dict):
                raise ConfigError(f"Section '{name}' is {value!r}; expected indented 'key: value' lines.")
            for inner_name, inner_value in value.items():
                place(inner_name, inner_value, name)
        else:
            place(name, value, None)
    for name, value in (overrides or {}).items():
        if value is not None:
            values[homes[name]].pop(name, None) if name in homes else None
            place(name, value, None)
    given = frozenset(name for owned in values.values() for name in owned)
    return RunConfig(
        training=TrainingConfig(model=ModelConfig(**values[ModelConfig]), **values[TrainingConfig]),
        execution=ExecutionConfig(**values[ExecutionConfig]),
        given=given,
    )


def load_run_config(path: str | Path | None, overrides: Mapping[str, Any] | None = None) -> RunConfig:
    """Read a YAML file, apply explicit overrides and build the configuration.

    Args:
        path: the file, or None for defaults and overrides alone.
        overrides: explicit values by field name; None means "not given".

    Returns:
        Training configuration (with its model) and execution options.

    Raises:
        FileNotFoundError: the file does not exist.
        ConfigError: invalid YAML, an unknown key or an invalid value.
    """
    return run_config_from_mapping(load_yaml_config(path) if path is not None else {}, overrides)
