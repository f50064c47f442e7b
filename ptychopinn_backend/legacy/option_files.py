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
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.config.training import ModelConfig, TrainingConfig
from ptychopinn_backend.config.yaml_file import SECTIONS, is_option, load_yaml_config, options_from_mapping
from ptychopinn_backend.errors import ConfigError, nearest_name
from ptychopinn_backend.legacy import option_sets
from ptychopinn_backend.legacy.option_fates import FLAT, TORCH, Fate
from ptychopinn_backend.legacy.option_layout import SETS, laid_out
from ptychopinn_backend.legacy.possible_values import (
    bring_to_possible,
    check_group_size,
    refuse_arrays,
    take_clip_of_zero,
)
from ptychopinn_backend.legacy.result_options import ASSEMBLIES
from ptychopinn_backend.legacy.translation import (
    execution_fields,
    gridsize,
    in_one_spelling,
    model_fields,
    training_fields,
)

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
_TRAINED: Final = ("data", "model", "training")
"""Sections that say how to train."""
_OF_THE_RUN: Final = ("N", "output_dir", "train_data_file", "test_data_file")
"""Options whose defaults nobody means: the scan and the command say them."""
_OURS: Final[Mapping[str, Any]] = {
    item.name: item.default
    for owner in (ModelConfig, TrainingConfig, ExecutionConfig)
    for item in fields(owner)
    if item.name not in _OF_THE_RUN
}


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
                f"'{path}' says {', '.join(of_results)} of the reconstruction; give the file to 'ptychopinn "
                "ptycho-inference --config', or to 'ptychopinn ptycho-train --do_stitching --config'."
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
    found = laid_out(read_content(path), is_json=Path(path).suffix.lower() == ".json")
    if not found.sections:
        return translated_flat(found.core)
    theirs = translated_sets(found.sections, is_whole=found.is_torch)
    if not found.core:
        return theirs
    core, stated = translated_flat(found.core), translated_sets(found.sections).options
    for name, value in core.options.items():
        if stated.get(name, value) != value and name != "backend":
            raise ConfigError(
                f"{name} is given twice, as {value!r} and by the option sets as {stated[name]!r}. Keep one of them."
            )
    # Single options of the sets do not make a file one of PyTorch.
    options = {name: value for name, value in theirs.options.items() if found.is_torch or name != "backend"}
    return OptionFile(
        {**options, **core.options}, {**theirs.results, **core.results}, found.is_torch, theirs.left_out + core.left_out
    )


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


def translated_sets(sections: Mapping[str, Mapping[str, Any]], *, is_whole: bool = False) -> OptionFile:
    """Translate option sets of PyTorch.

    Args:
        sections: section -> option -> value, of any branch.
        is_whole: they are all that says how to train, so that options left out have the defaults they have there.

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
    refuse_arrays(given["model"])
    whole = given
    if is_whole and any(sections.get(section) for section in _TRAINED):
        whole = {**given, **{name: {**option_sets.default_options(SETS[name]), **given[name]} for name in _TRAINED}}
    check_group_size(given, whole["data"])
    options, notes = _training_of(given)
    if whole is not given:
        options = {**_differing(_training_of(whole)[0]), **options}
    changed_first = sorted(left_out + notes, key=lambda text: " = " not in text)
    return OptionFile(options, _results_of(given["inference"]), True, tuple(changed_first))


def _differing(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options whose values are not the defaults here, and the network, which a preset would choose."""
    return {
        name: value
        for name, value in options.items()
        if name in _OURS and (name == "architecture" or value != _OURS[name])
    }


def _training_of(given: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """Return options of a training, and what could be taken only in part, for a warning."""
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
    if options.get("nll_weight") == 0:
        # Without the likelihood, what is left of their loss is the error of the amplitudes.
        options |= {"mae_weight": 1.0, "torch_loss_mode": "poisson"}
    # These change the time a run takes and no result; the defaults there are slower here.
    for name, usual in _OF_SPEED.items():
        if options.get(name) == usual:
            del options[name]
    if data.get("measurement_domain") == "normalized_amplitude":
        options["measurement"] = "normalized_amplitude"
    if training.get("training_directories"):
        options["scans"] = list(training["training_directories"])
    notes = bring_to_possible(options)
    if options.get("accelerator") == option_sets.TrainingConfig.device:
        options["accelerator"] = "auto"
    return {name: value for name, value in options.items() if value is not None}, notes


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
    take_clip_of_zero(taken)
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
