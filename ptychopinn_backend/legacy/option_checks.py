"""Checks that the option sets share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ptychopinn_backend.errors import ConfigError


def check(options: Any, rule: Callable[[str, Any], None], names: tuple[str, ...]) -> None:
    """Apply one rule to several options."""
    for name in names:
        rule(name, getattr(options, name))


def check_list(options: Any, name: str) -> None:
    """Raise unless an option is a list of paths, and make them text."""
    value = getattr(options, name)
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f"{name} = {value!r} must be a list of paths. Write [{value!r}] for a single one.")
    object.__setattr__(options, name, [str(path) for path in value])


def to_pairs(options: Any, names: tuple[str, ...]) -> None:
    """Raise unless options are two values each, and make lists, as JSON has them, tuples."""
    for name in names:
        value = getattr(options, name)
        if not isinstance(value, (list, tuple)) or len(value) != 2:
            raise ConfigError(f"{name} = {value!r} must be two numbers. Write for example (2, 2).")
        object.__setattr__(options, name, tuple(value))
