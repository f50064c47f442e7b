"""Many simulations in one YAML file: common values, and a list `scans:` of what differs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from ptychopinn_backend.config.checks import require_non_negative_integer, require_positive_integer
from ptychopinn_backend.data.simulation.spec import SimulationConfig
from ptychopinn_backend.errors import ConfigError, nearest_name
from ptychopinn_backend.legacy.option_files import read_content
from ptychopinn_backend.legacy.option_layout import section_name
from ptychopinn_backend.legacy.result_options import core_simulation_plan, is_core_simulation
from ptychopinn_backend.torch_configs import load_option_sets, to_simulation_plan

MAX_SCANS: Final = 100_000
"""Scans one file may describe."""
_FIELDS: Final = tuple(item.name for item in fields(SimulationConfig))
_COMMON_KEYS: Final = (*_FIELDS, "seed")
_SCAN_KEYS: Final = (*_COMMON_KEYS, "name", "repeat")
_YAML_1_1_FLOAT: Final = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_\-]{1,100}")


@dataclass(frozen=True)
class PlannedScan:
    """One scan to simulate."""

    name: str
    """File name without '.npz'."""
    spec: SimulationConfig
    """What to simulate."""
    seed: int
    """Seed of all randomness."""


def read_plan(path: str | Path | None, overrides: Mapping[str, Any]) -> tuple[list[PlannedScan], bool]:
    """Return the scans a YAML file and explicit values describe.

    Args:
        path: YAML file with fields of `SimulationConfig`, `seed`, and optionally `scans:`, a list of mappings with the
            same keys, `name` and `repeat`; or a file of an existing installation with a section 'datagen' or a
            `SimulationConfig` of its core; None means defaults.
        overrides: explicit values by field name, which win; None means "not given".

    Returns:
        The scans, and whether the file lists them under `scans:`. Without a seed of its own, every further scan takes
        the next seed.

    Raises:
        FileNotFoundError: the file does not exist.
        ConfigError: not YAML, an unknown key, a value that breaks a rule, or two scans of one name.
    """
    content = _content_of(Path(path)) if path is not None else {}
    entries = content.pop("scans", None)
    common = _checked(content, _COMMON_KEYS, "")
    given = {name: value for name, value in overrides.items() if value is not None}
    if entries is None:
        return _planned("scan", common | given, 1, 0), False
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError("scans must be a list of 'key: value' blocks, at least one. Begin each block with '- '.")
    scans: list[PlannedScan] = []
    for index, entry in enumerate(entries):
        values = common | _checked(entry, _SCAN_KEYS, f" in scan {index}") | given
        name, repeat = values.pop("name", f"scan_{index:03d}"), values.pop("repeat", 1)
        require_positive_integer("repeat", repeat)
        if len(scans) + repeat > MAX_SCANS:
            raise ConfigError(f"repeat = {repeat} makes more than {MAX_SCANS} scans. Split the file.")
        scans += _planned(name, values, repeat, 0 if "seed" in entry else len(scans))
    names = [scan.name for scan in scans]
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None:
        raise ConfigError(f"name = '{doubled}' is given to two scans, which would overwrite each other. Rename one.")
    return scans, True


def _content_of(path: Path) -> dict[str, Any]:
    """Return the content of a file in the terms of this package."""
    content = read_content(path)
    if is_core_simulation(content):
        return core_simulation_plan(content)
    if any(section_name(str(name)) == "datagen" for name in content):
        sets = load_option_sets(path)
        return to_simulation_plan(sets.data, sets.datagen)
    return content


def _planned(name: Any, values: dict[str, Any], repeat: int, seed_offset: int) -> list[PlannedScan]:
    if not isinstance(name, str) or not _FILE_NAME.fullmatch(name):
        raise ConfigError(f"name = {name!r} cannot name a file. Use letters, digits, '-' and '_'.")
    seed = values.pop("seed", 0)
    require_non_negative_integer("seed", seed)
    spec = SimulationConfig(**values)
    names = [name] if repeat == 1 else [f"{name}_{copy:03d}" for copy in range(repeat)]
    return [PlannedScan(each, spec, seed + seed_offset + copy) for copy, each in enumerate(names)]


def _checked(values: Mapping[Any, Any], valid: tuple[str, ...], where: str) -> dict[str, Any]:
    for name in values:
        if name not in valid:
            hint = nearest_name(str(name), valid)
            raise ConfigError(f"'{name}'{where} is not a simulation key.{hint} See specs/simulation.md.")
    return {name: _as_number(value) for name, value in values.items()}


def _as_number(value: Any) -> Any:
    """Return numbers such as 1e6, which YAML 1.1 takes for text, as float."""
    return float(value) if isinstance(value, str) and _YAML_1_1_FLOAT.fullmatch(value) else value
