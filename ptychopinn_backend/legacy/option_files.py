"""Option files of existing installations: YAML and JSON of the core, and the JSON option sets of PyTorch.

A file of this package is one too. What becomes of an option is in `ptychopinn_backend.legacy.option_fates`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from ptychopinn_backend.config.checks import require_positive_integer
from ptychopinn_backend.config.yaml_file import SECTIONS, is_option, load_yaml_config, options_from_mapping
from ptychopinn_backend.errors import ConfigError, nearest_name
from ptychopinn_backend.legacy import option_sets
from ptychopinn_backend.legacy.option_fates import FLAT, TORCH, Fate
from ptychopinn_backend.legacy.result_options import ASSEMBLIES
from ptychopinn_backend.legacy.translation import (
    execution_fields,
    gridsize,
    in_one_spelling,
    model_fields,
    training_fields,
)

SETS: Final[Mapping[str, type[Any]]] = {
    "data": option_sets.DataConfig,
    "model": option_sets.ModelConfig,
    "training": option_sets.TrainingConfig,
    "inference": option_sets.InferenceConfig,
    "datagen": option_sets.DatagenConfig,
}
"""Section -> option set."""
_PAGE: Final = "docs/migration.md"
_CROPS: Final = ("stitch_crop_size", "middle_trim")
"""Options that say how much of a patch is stitched, the stronger one first."""
_OF_INFERENCE: Final = ("model_path", "debug")
_OF_SPEED: Final = {
    "num_workers": option_sets.TrainingConfig.num_workers,
    "inference_batch_size": option_sets.InferenceConfig.batch_size,
}
_SHOWN: Final = 40
"""Longest value in a warning."""


@dataclass(frozen=True)
class OptionFile:
    """What an option file says, in the terms of this package."""

    options: Mapping[str, Any]
    """Field of a configuration, or input of a run -> value."""
    results: Mapping[str, Any] = field(default_factory=dict)
    """What concerns a reconstruction: crop_px, assembly, window, experiment_number, model_path, debug."""
    is_torch: bool = False
    """It holds the option sets of PyTorch."""
    left_out: tuple[str, ...] = ()
    """Options without effect, with their values where these are not the usual ones."""

    def warn(self, path: Path, *, to_train: bool = False) -> None:
        """Warn once of all that is left out.

        Args:
            path: of the file.
            to_train: it is only trained, so that what concerns a reconstruction has no effect either.
        """
        of_results = tuple(f"{name} = {value}" for name, value in self.results.items()) if to_train else ()
        sentences = []
        if self.left_out:
            sentences.append(f"'{path}' holds options that have no effect here: {', '.join(self.left_out)}.")
        if of_results:
            sentences.append(
                f"'{path}' says {', '.join(of_results)} of the reconstruction; give it to 'ptychopinn infer', or the "
                "file to 'ptychopinn ptycho-train'."
            )
        if sentences:
            warnings.warn(f"{' '.join(sentences)} {_PAGE} says of each option why.", UserWarning, stacklevel=2)


def read_option_file(path: str | Path) -> OptionFile:
    """Read a YAML or JSON file with options of this package or of existing installations.

    Args:
        path: the file; a name that ends in '.json' is read as JSON, another one as YAML.

    Returns:
        What it says.

    Raises:
        FileNotFoundError: the file does not exist.
        ConfigError: it cannot be read, an option is unknown, has an invalid value, or is refused.
    """
    content = read_content(path)
    if is_option_sets(content, Path(path)):
        return translated_sets(sections_of(content))
    return translated_flat(content)


def read_content(path: str | Path) -> dict[str, Any]:
    """Return the object of a JSON file, or the mapping of a YAML file.

    Args:
        path: the file.

    Returns:
        Its content.

    Raises:
        FileNotFoundError: the file does not exist.
        ConfigError: it cannot be read.
    """
    file = Path(path)
    if file.suffix.lower() != ".json":
        return load_yaml_config(file)
    if not file.is_file():
        raise FileNotFoundError(f"Option file '{file}' does not exist. Check the path.")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"'{file}' is not valid JSON ({error}). Correct the file.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"'{file}' must hold an object of sections. Write {{\"data\": {{...}}, ...}}.")
    return content


def section_name(name: str) -> str:
    """Return the section that a key of a file means: 'data', 'data_config' and 'DataConfig' are one.

    Args:
        name: the key.

    Returns:
        Name of the section, or the key where it is none.
    """
    short = name.removesuffix("_config").removesuffix("Config").lower()
    return short if short in SETS else name


def is_option_sets(content: Mapping[str, Any], path: Path | None = None) -> bool:
    """Return whether a file holds the option sets of PyTorch.

    Args:
        content: of the file.
        path: of the file; one in JSON with nothing but sections that both have counts as theirs.

    Returns:
        True for sections with options of PyTorch, or such options without sections.
    """
    names = {str(name): section_name(str(name)) for name in content}
    if content and all(section in SETS for section in names.values()):
        own = all(name in SECTIONS for name in names)
        inner = [str(option) for value in content.values() if isinstance(value, dict) for option in value]
        is_json = path is not None and path.suffix.lower() == ".json"
        return not own or is_json or not all(is_option(option) or option in FLAT for option in inner)
    if any(isinstance(value, dict) for value in content.values()):
        return False
    known = {name for fates in TORCH.values() for name in fates}
    foreign = [name for name in names if not is_option(name) and name not in FLAT]
    return bool(foreign) and all(name in known for name in foreign)


def sections_of(content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return option sets by section, also where a file has none and an option is in the first set that knows it.

    Args:
        content: of a file that `is_option_sets`.

    Returns:
        Section -> option -> value.

    Raises:
        ConfigError: a section or an option is unknown.
    """
    sections: dict[str, dict[str, Any]] = {}
    for name, value in content.items():
        section = section_name(str(name))
        if section in SETS:
            if not isinstance(value, dict):
                raise ConfigError(
                    f'{name} = {value!r}, but a file must hold an object of sections. Write {{"data": {{...}}, ...}}.'
                )
            sections.setdefault(section, {}).update(value)
            continue
        home = next((section for section, fates in TORCH.items() if name in fates), None)
        if home is None:
            raise ConfigError(f"'{name}' is not a section of option sets.{nearest_name(str(name), SETS)} See {_PAGE}.")
        sections.setdefault(home, {})[str(name)] = value
    return sections


def known_options(section: str, options: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Part the options of a set into those of its class and those that have no effect.

    Args:
        section: of the set.
        options: as a file of any branch holds them.

    Returns:
        Options of the class, in its spelling, with unknown names among them; and what is left out, for a warning.

    Raises:
        ConfigError: an option that is refused, or has no valid value.
    """
    own = {item.name for item in fields(SETS[section])}
    rest = {name: value for name, value in options.items() if name not in own and _is_left(TORCH[section].get(name))}
    left_out = _parted(rest, TORCH[section])
    return in_one_spelling({name: value for name, value in options.items() if name not in rest}), left_out


def _is_left(fate: Fate | None) -> bool:
    return fate is not None and not fate.becomes


def _parted(rest: Mapping[str, Any], fates: Mapping[str, Fate]) -> list[str]:
    """Return what is left out, for a warning, and refuse what must not be."""
    left_out = []
    for name, value in rest.items():
        fate = fates[name]
        usual = fate.is_usual(value)
        if fate.refused and not usual:
            expected = " or ".join(dict.fromkeys(repr(known) for known in fate.usual))
            raise ConfigError(
                f"{name} = {value!r} is not offered, and without it something else would be computed: {fate.note}. "
                f"Set {name} to {expected}, or leave it out."
            )
        shown = repr(value)
        left_out.append(name if usual or len(shown) > _SHOWN else f"{name} = {shown}")
    # Those that somebody changed come first.
    return sorted(left_out, key=lambda text: " = " not in text)


def translated_sets(sections: Mapping[str, Mapping[str, Any]]) -> OptionFile:
    """Translate option sets of PyTorch, as far as they are given.

    Args:
        sections: section -> option -> value, of any branch.

    Returns:
        What they say.

    Raises:
        ConfigError: an option is unknown, has an invalid value, or is refused.
    """
    left_out: list[str] = []
    given: dict[str, dict[str, Any]] = {section: {} for section in SETS}
    for section, options in sections.items():
        known, dropped = known_options(section, options)
        left_out += dropped
        _refuse_unknown(known, SETS[section])
        checked = SETS[section](**known)
        given[section] = {name: getattr(checked, name) for name in known}
        rest = {name: value for name, value in given[section].items() if _is_left(TORCH[section][name])}
        left_out += _parted(rest, TORCH[section])
    if sections.get("datagen"):
        left_out += [f"{name} (for 'ptychopinn simulate')" for name in given["datagen"]]
    changed_first = sorted(left_out, key=lambda text: " = " not in text)
    return OptionFile(_training_of(given), _results_of(given["inference"]), True, tuple(changed_first))


def _training_of(given: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    data, model, training = given["data"], given["model"], given["training"]
    options = {
        **model_fields(data, model),
        **training_fields(data, model, training),
        **execution_fields(training, given["inference"]),
        "backend": "pytorch",
    }
    if "grid_size" in data:
        options["gridsize"] = gridsize(data["grid_size"])
    if options.get("nphotons") == option_sets.DataConfig.nphotons:
        del options["nphotons"]
    if options.get("accelerator") == option_sets.TrainingConfig.device:
        options["accelerator"] = "auto"
    # These change the time a run takes and no result; the defaults there are slower here.
    for name, usual in _OF_SPEED.items():
        if options.get(name) == usual:
            del options[name]
    if data.get("measurement_domain") == "normalized_amplitude":
        options["measurement"] = "amplitudes"
    if training.get("training_directories"):
        options["scans"] = list(training["training_directories"])
    return {name: value for name, value in options.items() if value is not None}


def _results_of(inference: Mapping[str, Any]) -> dict[str, Any]:
    renamed = {"middle_trim": "crop_px", "window": "window", "experiment_number": "experiment_number"}
    results = {renamed[name]: inference[name] for name in renamed if name in inference}
    if "patch_weighting" in inference:
        results["assembly"] = ASSEMBLIES[inference["patch_weighting"]]
    return results


def translated_flat(content: Mapping[str, Any]) -> OptionFile:
    """Translate options of the core, which may be those of this package.

    Args:
        content: option -> value, or section -> option -> value.

    Returns:
        What they say.

    Raises:
        ConfigError: an option is unknown, is given twice, or is refused.
    """
    own: dict[str, Any] = {}
    foreign: dict[str, Any] = {}
    for name, value in content.items():
        if name in SECTIONS and isinstance(value, dict):
            own[name] = {}
            for inner, inner_value in value.items():
                _place(inner, inner_value, own[name], foreign)
        else:
            _place(name, value, own, foreign)
    spelled = in_one_spelling({name: foreign[name] for name in ("object_layout", "object_big") if name in foreign})
    taken = options_from_mapping(own)
    if spelled.get("object_big") is not None:
        taken.setdefault("object_big", spelled["object_big"])
    taken |= _renamed(foreign, taken)
    if "logger_backend" in taken and taken["logger_backend"] is None:
        taken["logger_backend"] = "none"
    rest = {name: value for name, value in foreign.items() if name in FLAT and not FLAT[name].becomes}
    left_out = tuple(_parted(rest, FLAT))
    return OptionFile(taken, _results_of_flat(foreign), False, left_out)


def _place(name: Any, value: Any, own: dict[str, Any], foreign: dict[str, Any]) -> None:
    if name == "object_big" and value is None:
        foreign[name] = value
    elif is_option(name) or name in SECTIONS or not isinstance(name, str) or name not in FLAT:
        own[name] = value
    else:
        foreign[name] = value


def _renamed(foreign: Mapping[str, Any], taken: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in foreign.items():
        target = FLAT[name].becomes
        if "." in name or name.endswith(("_path", "_prefix")):
            if is_option(target) and target in taken:
                raise ConfigError(f"'{name}' and '{target}' say the same, and both are given. Keep {target}.")
            if is_option(target):
                found[target] = value
    return found


def _results_of_flat(foreign: Mapping[str, Any]) -> dict[str, Any]:
    results = {name: foreign[name] for name in _OF_INFERENCE if name in foreign}
    crops = {name: foreign[name] for name in _CROPS if foreign.get(name) not in (None, 0)}
    for name, value in crops.items():
        require_positive_integer(name, value)
    if crops:
        results["crop_px"] = next(iter(crops.values()))
        results["assembly"] = "central"
    return results


def _refuse_unknown(options: Iterable[str], cls: type[Any]) -> None:
    valid = [item.name for item in fields(cls)]
    for name in options:
        if name not in valid:
            raise ConfigError(
                f"'{name}' is not an option of {cls.__name__}.{nearest_name(str(name), valid)} See specs/config.md."
            )
