"""How an option file is laid out: which of its options are of the PyTorch sets, and which of the core."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from ptychopinn_backend.config.yaml_file import SECTIONS, is_option
from ptychopinn_backend.errors import ConfigError, nearest_name
from ptychopinn_backend.legacy import option_sets
from ptychopinn_backend.legacy.option_fates import CORE, FLAT, TORCH

SETS: Final[Mapping[str, type[Any]]] = {
    "data": option_sets.DataConfig,
    "model": option_sets.ModelConfig,
    "training": option_sets.TrainingConfig,
    "inference": option_sets.InferenceConfig,
    "datagen": option_sets.DatagenConfig,
}
"""Section -> option set of PyTorch."""
_CLASSES: Final = {
    "model": "ModelConfig",
    "training": "TrainingConfig",
    "inference": "InferenceConfig",
    "execution": "PyTorchExecutionConfig",
}
"""Section -> configuration of the core."""
_OF_TORCH_ALONE: Final = ("data", "datagen")


class LaidOut(NamedTuple):
    """The options of a file."""

    sections: dict[str, dict[str, Any]]
    """Section -> option -> value, of the PyTorch sets."""
    core: dict[str, Any]
    """Option -> value, or own section -> option -> value, of the core."""
    is_torch: bool
    """It is a file of the PyTorch sets, so that what it leaves out has the defaults of these."""


def section_name(name: str) -> str:
    """Return the section that a key of a file means: 'data', 'data_config' and 'DataConfig' are one.

    Args:
        name: the key.

    Returns:
        Name of the section, or the key where it is none.
    """
    short = name.removesuffix("_config").removesuffix("Config").lower()
    short = "execution" if short in ("pytorchexecution", "pytorch_execution") else short
    return short if short in SETS or short in SECTIONS else name


def laid_out(content: Mapping[str, Any], *, is_json: bool = False) -> LaidOut:
    """Part the options of a file.

    Args:
        content: option -> value, or section -> option -> value, or both.
        is_json: sections whose options both have are of the PyTorch sets.

    Returns:
        Its options; a name that nothing knows is among those of the core, or in its section.

    Raises:
        ConfigError: a section is no mapping, or an option is given twice with two values.
    """
    is_torch = _is_torch(content, is_json)
    found = LaidOut({}, {}, is_torch)
    plain = {name: value for name, value in content.items() if not _is_section(name, value, is_torch)}
    for name, value in content.items():
        if name in plain:
            continue
        section = section_name(str(name))
        if is_torch and section in SETS:
            found.sections.setdefault(section, {})
        for option, inner in _mapping(name, value).items():
            _place(found, section, option, inner)
    homes = _homes(plain) if is_torch else ()
    for name, value in plain.items():
        home = next((section for section in homes if name in TORCH[section]), None)
        if home is None and not _is_core(name):
            home = next((section for section in SETS if name in TORCH[section]), None)
        if home is not None:
            _put(found.sections.setdefault(home, {}), name, value)
        elif is_torch and not _is_core(name):
            raise _unknown(name)
        else:
            _put(found.core, name, value)
    return found


def sections_of(content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return option sets of PyTorch by section; what stands outside is of the set that knows all of it, or the first.

    Args:
        content: section -> option -> value, or option -> value.

    Returns:
        Section -> option -> value.

    Raises:
        ConfigError: a section or an option is unknown.
    """
    sections: dict[str, dict[str, Any]] = {}
    homes = _homes(name for name in content if section_name(str(name)) not in SETS)
    for name, value in content.items():
        section = section_name(str(name))
        if section in SETS:
            sections.setdefault(section, {}).update(_mapping(name, value))
            continue
        home = next((section for section in homes if name in TORCH[section]), None)
        if home is None:
            raise _unknown(name)
        sections.setdefault(home, {})[str(name)] = value
    return sections


def _mapping(name: Any, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(
            f'{name} = {value!r}, but a file must hold an object of sections. Write {{"data": {{...}}, ...}}.'
        )
    return value


def _unknown(name: Any) -> ConfigError:
    options = [option for fates in TORCH.values() for option in fates]
    nearest = nearest_name(str(name), options) if nearest_name(str(name), SETS) == "" else nearest_name(str(name), SETS)
    return ConfigError(f"'{name}' is not a section of option sets, nor an option.{nearest} See docs/migration.md.")


def _is_section(name: Any, value: Any, is_torch: bool) -> bool:
    section = section_name(str(name))
    return (section in SETS or section in SECTIONS) and (isinstance(value, dict) or (is_torch and section in SETS))


def _place(found: LaidOut, section: str, option: Any, value: Any) -> None:
    """Put an option of a section where it belongs."""
    if found.is_torch and section in SETS and (option in TORCH[section] or not _is_core(option)):
        _put(found.sections[section], option, value)
    elif section_name(str(option)) == "model" and isinstance(value, dict):
        # A configuration of the core holds that of its network.
        for name, inner in value.items():
            _place(found, "model", name, inner)
    elif section not in SECTIONS or option in CORE.get(_CLASSES.get(section, ""), ()):
        _put(found.core, option, value)
    else:
        _put(found.core.setdefault(section, {}), option, value)


def _put(options: dict[str, Any], name: Any, value: Any) -> None:
    if name in options and options[name] != value:
        raise ConfigError(f"'{name}' is given twice, as {options[name]!r} and as {value!r}. Keep one of them.")
    options[name] = value


def _is_core(name: Any) -> bool:
    return is_option(name) or (isinstance(name, str) and name in FLAT)


def _is_torch(content: Mapping[str, Any], is_json: bool) -> bool:
    """Return whether a file is one of the PyTorch sets."""
    named = {str(name): section_name(str(name)) for name in content}
    if any(section in _OF_TORCH_ALONE for section in named.values()):
        return True
    inner = [
        (section, str(option))
        for name, section in named.items()
        if section in SETS and isinstance(content.get(name), dict)
        for option in content[name]
    ]
    if any(option in TORCH[section] and not _is_core(option) for section, option in inner):
        return True
    if any(_is_core(option) and option not in TORCH[section] for section, option in inner):
        return False
    plain = [name for name, section in named.items() if section not in SETS and section not in SECTIONS]
    if plain:
        known = {name for fates in TORCH.values() for name in fates}
        return any(name in known and not _is_core(name) for name in plain) and all(
            name in known or not _is_core(name) for name in plain
        )
    is_own = all(name in SECTIONS for name in named)
    return bool(named) and all(section in SETS for section in named.values()) and (is_json or not is_own)


def _homes(plain: Iterable[Any]) -> tuple[str, ...]:
    """Return the sections that options without one are of: the set that knows them all, else every set in turn."""
    names = list(plain)
    whole = [section for section in SETS if all(name in TORCH[section] for name in names)]
    return (whole[0],) if whole else tuple(SETS)
