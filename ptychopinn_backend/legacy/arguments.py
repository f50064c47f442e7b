"""Arguments of existing scripts and their option files, joined to a configuration."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Final

from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.yaml_file import run_config
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.legacy.option_files import read_option_file

_DEFAULTS: Final = {
    item.name: item.default for owner in (ModelConfig, TrainingConfig) for item in fields(owner) if item.name != "model"
}
"""Option -> default; of `TrainingConfig.n_groups`, which depends on another, None."""


def training_from_arguments(args: Any, yaml_path: str | Path | None) -> TrainingConfig:
    """Return the configuration that arguments and a YAML file ask for.

    Args:
        args: what `argparse` returns, a mapping, or None; what is no option of model or training is left alone.
        yaml_path: option file of this package or of the original, or None.

    Returns:
        The configuration; arguments win over the file where they are not at their default.

    Raises:
        FileNotFoundError: the file does not exist.
        ConfigError: an unknown key of the file, or a value that breaks its rule.
    """
    of_file: Mapping[str, Any] = {}
    if yaml_path is not None:
        file = read_option_file(yaml_path)
        file.warn(Path(yaml_path), to_train=True)
        of_file = {name: value for name, value in file.options.items() if name in _DEFAULTS}
        elsewhere = sorted(name for name in file.options if name not in _DEFAULTS)
        if elsewhere:
            warnings.warn(
                f"{yaml_path} says {', '.join(elsewhere)}, which a TrainingConfig does not hold. Give it as "
                "ExecutionConfig(...) to the call that trains, or train with 'ptychopinn train --config'.",
                UserWarning,
                stacklevel=3,
            )
    given = {name: value for name, value in _mapping(args).items() if name in _DEFAULTS and value is not None}
    repeated = {name for name, value in given.items() if name in of_file and _is_default(name, value)}
    differing = sorted(name for name in repeated if of_file[name] != given[name])
    if differing:
        told = ", ".join(f"{name} = {of_file[name]!r}" for name in differing)
        warnings.warn(
            f"{yaml_path} says {told}, and the arguments only repeat the default; the file is followed. Leave it out "
            "of the file to take the default.",
            UserWarning,
            stacklevel=3,
        )
    return run_config({**of_file, **{name: value for name, value in given.items() if name not in repeated}}).training


def _mapping(args: Any) -> Mapping[str, Any]:
    if args is None:
        return {}
    if isinstance(args, Mapping):
        return args
    if not hasattr(args, "__dict__"):
        raise ConfigError(
            f"args = {args!r} has no attributes. Give what argparse's parse_args returns, a mapping, or None."
        )
    return dict(vars(args))


def _is_default(name: str, value: Any) -> bool:
    default = _DEFAULTS[name]
    if default is MISSING:
        return False
    return bool(str(default) == value if isinstance(default, Path) else default == value)
