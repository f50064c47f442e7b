"""The one legacy mutable mapping, `params.cfg`, for readers written against it.

This package writes `cfg` (through `ptychopinn_backend.legacy.params_bridge`) and never reads it to decide anything. The
defaults differ from the dataclasses of `ptychopinn_backend.config` on purpose: they are the historical state that
existing scripts expect before any bridge call.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from ptychopinn_backend.errors import ConfigError, nearest_name

DATA_SOURCES: Final = ("generic", "lines", "grf", "points", "testimg", "diagonals", "experimental", "xpp", "V")

DEFAULTS: Final[Mapping[str, Any]] = {
    "N": 128,
    "offset": 4,
    "gridsize": 2,
    "outer_offset_train": None,
    "outer_offset_test": None,
    "batch_size": 16,
    "nepochs": 60,
    "n_filters_scale": 2,
    "output_prefix": "outputs",
    "big_gridsize": 10,
    "max_position_jitter": 10,
    "sim_jitter_scale": 0.0,
    "default_probe_scale": 0.7,
    "mae_weight": 0.0,
    "nll_weight": 1.0,
    "tv_weight": 0.0,
    "realspace_mae_weight": 0.0,
    "realspace_weight": 0.0,
    "nphotons": 1e9,
    "nimgs_train": 9,
    "nimgs_test": 3,
    "data_source": "generic",
    "probe.trainable": False,
    "intensity_scale.trainable": False,
    "positions.provided": False,
    "object.big": True,
    "probe.big": False,
    "probe_scale": 10.0,
    "set_phi": False,
    "probe.mask": True,
    "pad_object": True,
    "model_type": "pinn",
    "label": "",
    "size": 392,
    "amp_activation": "sigmoid",
    "h5_path": "wts.h5",
    "npseed": 42,
    "debug": True,
    "gaussian_smoothing_sigma": 0.0,
    "use_xla_translate": True,
}

cfg: dict[str, Any] = copy.deepcopy(dict(DEFAULTS))

_REQUIRED: Final = object()


def big_n(mapping: Mapping[str, Any]) -> int:
    """Return the side in pixels of the area a regular group covers: N + (gridsize - 1) * offset."""
    return int(mapping["N"] + (mapping["gridsize"] - 1) * mapping["offset"])


def padded_size(mapping: Mapping[str, Any]) -> int:
    """Return bigN plus max_position_jitter, in pixels."""
    return int(big_n(mapping) + mapping["max_position_jitter"])


def padding_size(mapping: Mapping[str, Any]) -> int:
    """Return padded_size - N, in pixels."""
    return int(padded_size(mapping) - mapping["N"])


_DERIVED: Final = {"bigN": big_n, "padded_size": padded_size, "padding_size": padding_size}


def get(key: str, default: Any = _REQUIRED) -> Any:
    """Return a value of `cfg`, or a derived one ('bigN', 'padded_size', 'padding_size').

    Args:
        key: the legacy key.
        default: what to return for an unknown key.

    Returns:
        The value.

    Raises:
        KeyError: the key is unknown and no default is given.
    """
    if key in _DERIVED:
        return _DERIVED[key](cfg)
    if key in cfg:
        return cfg[key]
    if default is not _REQUIRED:
        return default
    raise KeyError(f"'{key}' is not in params.cfg.{nearest_name(key, cfg)} Set it first or give a default.")


def set(key: str, value: Any) -> None:  # noqa: A001 - the legacy name
    """Set a value of `cfg` and check the rules that span several keys.

    Args:
        key: the legacy key.
        value: its new value.

    Raises:
        ConfigError: the value breaks a rule, or the key is a derived one; `cfg` is left as it was.
    """
    if key in _DERIVED:
        raise ConfigError(f"{key} = {value!r} cannot be set: it is computed. Set N, gridsize or the offsets instead.")
    proposed = {**cfg, key: value}
    if key != "data_source":
        # An archive of another program may have brought one that is not known here.
        proposed.pop("data_source", None)
    _require_valid(proposed, f"{key} = {value!r} leaves")
    cfg[key] = value


def validate() -> bool:
    """Check the rules that `set` checks, for values that were written into `cfg` directly.

    Returns:
        True.

    Raises:
        ConfigError: a value breaks a rule.
    """
    _require_valid(cfg, "params.cfg has")
    return True


def print_params() -> None:
    """Print every key of `cfg` with its value, and the derived ones; of arrays their shape and range."""
    derived: dict[str, Any] = {}
    for key, compute in _DERIVED.items():
        with suppress(KeyError, TypeError):
            derived[key] = compute(cfg)
    lines = ["Current parameters:", "-" * 20]
    lines += [f"{key}: {_text(value)}" for key, value in sorted({**cfg, **derived}.items())]
    sys.stdout.write("\n".join([*lines, "-" * 20]) + "\n")


def _require_valid(mapping: Mapping[str, Any], who: str) -> None:
    source = mapping.get("data_source", DATA_SOURCES[0])
    if source not in DATA_SOURCES:
        raise ConfigError(f"data_source = {source!r} is not one of {', '.join(DATA_SOURCES)}. Choose one of these.")
    if (mapping.get("realspace_mae_weight") or 0) > 0 and not (mapping.get("realspace_weight") or 0) > 0:
        raise ConfigError(
            f"{who} realspace_mae_weight above 0 with realspace_weight at 0, where it has no effect. Set "
            "realspace_weight above 0 first."
        )


def _text(value: Any) -> str:
    if not getattr(value, "shape", ()):
        return str(value)
    import numpy as np

    array = np.asarray(value)
    if array.size == 0:
        return str(value)
    magnitude = np.abs(array)
    return f"array {array.shape} of {array.dtype}, magnitudes {magnitude.min():.3g} to {magnitude.max():.3g}"


def snapshot() -> dict[str, Any]:
    """Return a deep copy of `cfg`, to be handed to `restore` or written into an archive."""
    return copy.deepcopy(cfg)


def restore(saved: Mapping[str, Any]) -> None:
    """Make `cfg` equal to a snapshot, in place, so that other holders of the mapping see it."""
    replacement = copy.deepcopy(dict(saved))
    cfg.clear()
    cfg.update(replacement)
