"""Values of existing option files that are possible there and not here: refused, or brought to what is possible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.legacy.option_sets import ARRAY_OPTIONS, DataConfig

_GROUP_SIZES: Final = (("data", "C"), ("model", "C_model"), ("model", "C_forward"))
"""Options that follow from grid_size."""


def refuse_arrays(model: Mapping[str, Any]) -> None:
    """Raise where a file gives the mask on the probe as an array.

    Args:
        model: options of the network.

    Raises:
        ConfigError: an option is an array.
    """
    for name in ARRAY_OPTIONS:
        if model.get(name) is not None and not isinstance(model[name], bool):
            raise ConfigError(
                f"{name} is an array, and the mask on the probe is a circle here. Set probe_mask to true and "
                f"probe_mask_diameter to its diameter in pixels, or leave {name} out."
            )


def check_group_size(given: Mapping[str, Mapping[str, Any]], data: Mapping[str, Any]) -> None:
    """Raise where a file states another group size than its grid; the default is in every dump.

    Args:
        given: section -> option -> value, as the file has them.
        data: options on data in force.

    Raises:
        ConfigError: they contradict each other.
    """
    if "grid_size" not in data:
        return
    patterns = data["grid_size"][0] * data["grid_size"][1]
    for section, name in _GROUP_SIZES:
        value = given[section].get(name, patterns)
        if value not in (patterns, DataConfig.C):
            raise ConfigError(
                f"{name} = {value} contradicts grid_size = {tuple(data['grid_size'])}, which makes groups of "
                f"{patterns} patterns. Correct one of them, or leave {name} out."
            )


def bring_to_possible(options: dict[str, Any]) -> list[str]:
    """Bring values that the classes there take to those that are possible here.

    Args:
        options: option of this package -> value; changed in place.

    Returns:
        What changes by it, for a warning.
    """
    notes = []
    size = options.get("batch_size")
    if isinstance(size, int) and not isinstance(size, bool) and size > 0 and size & (size - 1):
        options["batch_size"] = 1 << (size.bit_length() - 1)
        notes.append(f"batch_size = {size} (a power of two is needed; {options['batch_size']} is taken)")
    device, separator, index = str(options.get("accelerator")).partition(":")
    if separator and index.isdigit():
        options["accelerator"] = device
        if int(index):
            notes.append(f"device = '{device}:{index}' (CUDA_VISIBLE_DEVICES chooses a GPU)")
    take_clip_of_zero(options)
    return notes


def take_clip_of_zero(options: dict[str, Any]) -> None:
    """Let a gradient limit of 0 be none.

    Args:
        options: option of this package -> value; changed in place.
    """
    value = options.get("gradient_clip_val")
    if value == 0 and not isinstance(value, bool):
        # Zero is how their classes say that gradients are not clipped.
        options["gradient_clip_val"] = None
