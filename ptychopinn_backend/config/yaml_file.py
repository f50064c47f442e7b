"""Configuration from YAML: unknown keys are refused, and the nearest valid name is suggested."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.config.inputs import InputConfig
from ptychopinn_backend.config.training import ModelConfig, TrainingConfig
from ptychopinn_backend.errors import ConfigError, nearest_name

SECTIONS: Final[dict[str, type[Any]]] = {
    "model": ModelConfig,
    "training": TrainingConfig,
    "execution": ExecutionConfig,
    "run": InputConfig,
}
"""Section of a file -> what its keys set."""
_HOMES: Final[dict[str, type[Any]]] = {
    item.name: owner for owner in SECTIONS.values() for item in fields(owner) if item.name not in SECTIONS
}


class ConfigSyntaxError(ConfigError, yaml.parser.ParserError):
    """A configuration file is not valid YAML."""

    def __init__(self, message: str) -> None:
        yaml.MarkedYAMLError.__init__(self, problem=message)
        self.args = (message,)


class RunConfig(NamedTuple):
    """What a configuration file says: training (with its model), execution and inputs."""

    training: TrainingConfig
    execution: ExecutionConfig
    given: frozenset[str]
    """Names of the fields the file or the overrides set, for precedence rules."""
    inputs: InputConfig = InputConfig()
    """What the run reads and where it starts from."""


class _Loader(yaml.SafeLoader):
    """Safe YAML without aliases and doubled keys, which reads '1e9' as a number; YAML 1.1 takes it for text."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            # A few lines of aliases of aliases can stand for more values than memory holds.
            place = self.get_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not read; write the value out", problem_mark=place)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        written = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in written:
            if written.count(key) > 1:
                raise yaml.MarkedYAMLError(problem=f"'{key}' is given twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep=deep)


class _Dumper(yaml.SafeDumper):
    """Writes text that `_Loader` would take for a number, such as '1e9', in quotes."""


for _side in (_Loader, _Dumper):
    _side.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+\Z"), list("-+0123456789")
    )


def yaml_value(text: str) -> Any:
    """Return what YAML text says, with numbers such as '1e-3' read as numbers.

    Args:
        text: YAML; aliases and doubled keys are refused.

    Returns:
        The value.

    Raises:
        yaml.YAMLError: it is not valid.
    """
    return yaml.load(text, Loader=_Loader)


def yaml_text(content: Mapping[str, Any], *, flow: bool | None = False) -> str:
    """Return a mapping as YAML that `yaml_value` reads back as it is.

    Args:
        content: plain values.
        flow: True writes everything in one line, None the innermost lists.

    Returns:
        The text.
    """
    return str(yaml.dump(dict(content), Dumper=_Dumper, default_flow_style=flow, allow_unicode=True, width=10_000))


def load_yaml_config(path: str | Path) -> dict[str, Any]:
    """Read a YAML file as a mapping.

    Args:
        path: the file.

    Returns:
        The mapping; empty for an empty file.

    Raises:
        FileNotFoundError: the file does not exist.
        ConfigSyntaxError: the file is not valid YAML, or a key is written twice.
        ConfigError: the file holds something else than a mapping.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"Configuration file '{file}' does not exist. Check the path.")
    try:
        content = yaml_value(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ConfigSyntaxError(
            f"'{file}' is not valid YAML ({reason}). Correct the file, one 'key: value' a line."
        ) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"'{file}' holds a {type(content).__name__}; expected 'key: value' lines. Correct the file.")
    return content


def is_option(name: Any) -> bool:
    """Return whether a name is that of an option."""
    return isinstance(name, str) and name in _HOMES


def _owner_of(name: Any, section: str | None) -> type[Any]:
    owner = _HOMES.get(name) if isinstance(name, str) else None
    if owner is None or (section is not None and SECTIONS[section] is not owner):
        where = f" in section '{section}'" if section else ""
        valid = [known for known, home in _HOMES.items() if section is None or home is SECTIONS[section]]
        raise ConfigError(
            f"'{name}' is not a configuration key{where}.{nearest_name(str(name), valid)} See specs/config.md."
        )
    return owner


def options_from_mapping(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a mapping with optional sections, by field name; no rule but that of names is checked.

    A key may stand at the top level, or in a section `model:`, `training:`, `execution:` or `run:`.

    Args:
        content: parsed file.

    Returns:
        Field name -> value.

    Raises:
        ConfigError: an unknown key, or a key given twice.
    """
    options: dict[str, Any] = {}

    def place(name: Any, value: Any, section: str | None) -> None:
        _owner_of(name, section)
        if name in options:
            raise ConfigError(f"'{name}' is given twice, at the top level and in a section. Keep one of them.")
        options[name] = value

    for name, value in content.items():
        if name not in SECTIONS:
            place(name, value, None)
            continue
        if value is not None and not isinstance(value, dict):
            raise ConfigError(f"Section '{name}' is {value!r}; expected indented 'key: value' lines. Correct the file.")
        for inner_name, inner_value in (value or {}).items():
            place(inner_name, inner_value, name)
    return options


def run_config(options: Mapping[str, Any]) -> RunConfig:
    """Build the configuration from options by field name.

    Args:
        options: field name -> value; defaults stand for what is missing.

    Returns:
        Training configuration (with its model), execution options and inputs.

    Raises:
        ConfigError: an unknown name, or an invalid value.
    """
    values: dict[type[Any], dict[str, Any]] = {owner: {} for owner in SECTIONS.values()}
    for name, value in options.items():
        values[_owner_of(name, None)][name] = value
    return RunConfig(
        training=TrainingConfig(model=ModelConfig(**values[ModelConfig]), **values[TrainingConfig]),
        execution=ExecutionConfig(**values[ExecutionConfig]),
        given=frozenset(options),
        inputs=InputConfig(**values[InputConfig]),
    )


def given_options(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that have a value, after a look at the names of all.

    Args:
        overrides: values by field name; None and an empty tuple mean "not given".

    Returns:
        Field name -> value.

    Raises:
        ConfigError: an unknown name.
    """
    for name in overrides:
        _owner_of(name, None)
    return {name: value for name, value in overrides.items() if value is not None and value != ()}


def run_config_from_mapping(content: Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> RunConfig:
    """Build the configuration from a mapping with optional sections, and overrides, which win.

    Args:
        content: parsed file; see `options_from_mapping`.
        overrides: explicit values by field name; None means "not given".

    Returns:
        Training configuration (with its model), execution options and inputs.

    Raises:
        ConfigError: an unknown key, a key given twice, or an invalid value.
    """
    return run_config({**options_from_mapping(content), **given_options(overrides or {})})


def load_run_config(path: str | Path | None, overrides: Mapping[str, Any] | None = None) -> RunConfig:
    """Read a YAML file, apply explicit overrides and build the configuration.

    Args:
        path: the file, or None for defaults and overrides alone.
        overrides: explicit values by field name; None means "not given".

    Returns:
        Training configuration (with its model), execution options and inputs.

    Raises:
        FileNotFoundError: the file does not exist.
        ConfigError: invalid YAML, an unknown key or an invalid value.
    """
    return run_config_from_mapping(load_yaml_config(path) if path is not None else {}, overrides)
