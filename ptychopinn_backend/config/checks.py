"""Checks that configuration constructors share; each raises `ConfigError` with the value, the rule and the remedy."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import fields
from typing import Any

import numpy as np

from ptychopinn_backend.errors import ConfigError, nearest_name


def unwrap_numpy_scalars(config: Any) -> None:
    """Turn NumPy scalars in the fields of a frozen dataclass into Python's own, as YAML and JSON need them.

    Args:
        config: the instance being constructed; changed in place.
    """
    for item in fields(config):
        value = getattr(config, item.name)
        if isinstance(value, np.generic):
            object.__setattr__(config, item.name, value.item())


def is_number(value: Any) -> bool:
    """Return whether `value` is a finite real number (bool and NaN are not)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def is_integer(value: Any) -> bool:
    """Return whether `value` is an int and not a bool."""
    return isinstance(value, int) and not isinstance(value, bool)


def require_positive_integer(name: str, value: Any) -> None:
    """Raise unless `value` is an int above zero."""
    if not is_integer(value) or value <= 0:
        raise ConfigError(f"{name} = {value!r} must be a whole number above 0. Set {name} to 1 or more.")


def require_odd(name: str, value: Any) -> None:
    """Raise unless `value` is an odd int above zero."""
    if not is_integer(value) or value <= 0 or value % 2 == 0:
        raise ConfigError(f"{name} = {value!r} must be an odd whole number above 0. Set {name} to 3, 5 or 7.")


def require_non_negative_integer(name: str, value: Any) -> None:
    """Raise unless `value` is an int of at least zero."""
    if not is_integer(value) or value < 0:
        raise ConfigError(f"{name} = {value!r} must be a whole number of at least 0. Set {name} to 0 or more.")


def require_positive(name: str, value: Any) -> None:
    """Raise unless `value` is a finite number above zero."""
    if not is_number(value) or value <= 0:
        raise ConfigError(f"{name} = {value!r} must be a finite number above 0. Set {name} to a positive number.")


def require_non_negative(name: str, value: Any) -> None:
    """Raise unless `value` is a finite number of at least zero."""
    if not is_number(value) or value < 0:
        raise ConfigError(f"{name} = {value!r} must be a finite number of at least 0. Set {name} to 0 or more.")


def require_in_unit_interval(name: str, value: Any) -> None:
    """Raise unless `value` is a number in [0, 1]."""
    if not is_number(value) or not 0 <= value <= 1:
        raise ConfigError(f"{name} = {value!r} must lie in [0, 1]. Choose a number from 0 to 1.")


def require_fraction_below_one(name: str, value: Any) -> None:
    """Raise unless `value` is a number in [0, 1)."""
    if not is_number(value) or not 0 <= value < 1:
        raise ConfigError(f"{name} = {value!r} must lie in [0, 1). Choose a number from 0 to just below 1.")


def require_choice(name: str, value: Any, choices: Collection[Any]) -> None:
    """Raise unless `value` is one of `choices`; the nearest choice is suggested."""
    if not any(value == choice and type(value) is type(choice) for choice in choices):
        listed = ", ".join(repr(choice) for choice in choices)
        # Letters tell nothing of numbers: 48 is not a misspelt 64.
        hint = nearest_name(value, [str(choice) for choice in choices]) if isinstance(value, str) else ""
        raise ConfigError(f"{name} = {value!r} is not one of {listed}.{hint} Set {name} to one of these.")


def require_bool(name: str, value: Any) -> None:
    """Raise unless `value` is True or False."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name} = {value!r} must be true or false. Set {name} to True or False.")
