"""From the dataclasses to the legacy mapping: one direction, one function, any mapping with string keys.

`update_legacy_dict(cfg, config)` works on this package's `params.cfg` and on that of another package alike.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from ptychopinn_backend.config import InferenceConfig, ModelConfig, TrainingConfig
from ptychopinn_backend.errors import ConfigError

KEY_MAPPINGS: Final[dict[str, str]] = {
    "object_big": "object.big",
    "probe_big": "probe.big",
    "probe_mask": "probe.mask",
    "probe_trainable": "probe.trainable",
    "intensity_scale_trainable": "intensity_scale.trainable",
    "positions_provided": "positions.provided",
    "output_dir": "output_prefix",
    "train_data_file": "train_data_file_path",
    "test_data_file": "test_data_file_path",
}
"""Field name -> legacy key, for the fields whose names differ."""


def dataclass_to_legacy_dict(config: ModelConfig | TrainingConfig | InferenceConfig) -> dict[str, Any]:
    """Return the configuration as a flat dict with legacy keys.

    Args:
        config: a configuration; a nested `model` is flattened.

    Returns:
        Legacy key -> value; paths as `str`; fields that are None are included as None.

    Raises:
        ConfigError: `config` is something else; execution options in particular never reach `params.cfg`.
    """
    if not isinstance(config, (ModelConfig, TrainingConfig, InferenceConfig)):
        raise ConfigError(
            f"{type(config).__name__} has no legacy keys; only ModelConfig, TrainingConfig and InferenceConfig "
            "reach params.cfg. Pass one of these."
        )
    flat: dict[str, Any] = {}
    for item in fields(config):
        value = getattr(config, item.name)
        if isinstance(value, ModelConfig):
            flat.update(dataclass_to_legacy_dict(value))
        else:
            flat[KEY_MAPPINGS.get(item.name, item.name)] = str(value) if isinstance(value, Path) else value
    return flat


def update_legacy_dict(cfg: MutableMapping[str, Any], config: ModelConfig | TrainingConfig | InferenceConfig) -> None:
    """Write a configuration into a legacy mapping.

    Args:
        cfg: the mapping to update in place, usually `params.cfg`.
        config: the configuration; fields that are None never overwrite an existing key.

    Raises:
        ConfigError: `config` is not one of the three configurations.
    """
    cfg.update({key: value for key, value in dataclass_to_legacy_dict(config).items() if value is not None})
