"""Translation of existing PyTorch configurations into those of `ptychopinn_backend.config`; JSON in and out.

The option sets are in `ptychopinn_backend.legacy.option_sets`. The functions take them, or any objects with the same
attributes (an attribute that an older object lacks has its default). What they change on the way is listed in
`specs/config.md`; options that differ from their default and have no counterpart are named in a log warning.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from ptychopinn_backend.config import training as config
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.errors import ConfigError, nearest_name
from ptychopinn_backend.files.atomic_file import atomic_file
from ptychopinn_backend.legacy import option_sets as torch_config_sets
from ptychopinn_backend.legacy.option_fates import TORCH
from ptychopinn_backend.legacy.option_files import known_options, read_content
from ptychopinn_backend.legacy.option_layout import SETS, sections_of
from ptychopinn_backend.legacy.option_sets import (
    ARRAY_OPTIONS,
    DataConfig,
    DatagenConfig,
    InferenceConfig,
    ModelConfig,
    TrainingConfig,
    default_options,
)
from ptychopinn_backend.legacy.result_options import (
    reconstruct_options,
    require_covered,
    scan_of_experiment,
    simulation_plan,
)
from ptychopinn_backend.legacy.translation import (
    SAME_NAME_MODEL,
    SAME_NAME_TRAINING,
    execution_fields,
    gridsize,
    model_fields,
    training_fields,
)

__all__ = [
    "DataConfig",
    "DatagenConfig",
    "InferenceConfig",
    "ModelConfig",
    "OptionSets",
    "TrainingConfig",
    "UnknownOptionError",
    "load_option_sets",
    "options_from_mapping",
    "options_to_mapping",
    "save_option_sets",
    "to_execution_config",
    "to_inference_config",
    "to_model_config",
    "to_reconstruct_options",
    "to_simulation_plan",
    "to_training_config",
]

logger = logging.getLogger(__name__)

Options = TypeVar("Options")

_EXECUTION_OPTIONS: Final = ("device", "strategy", "n_devices", "learning_rate", "num_workers", "accum_steps")


class UnknownOptionError(ConfigError, TypeError):
    """An option or override has an unknown name; also a TypeError, as for an unknown argument of a constructor."""


class OptionSets(NamedTuple):
    """The five option sets of one configuration file."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    inference: InferenceConfig = InferenceConfig()
    datagen: DatagenConfig = DatagenConfig()


def to_model_config(data: Any, model: Any, overrides: Mapping[str, Any] | None = None) -> config.ModelConfig:
    """Translate a network.

    Args:
        data: `DataConfig`, or an object with its attributes.
        model: `ModelConfig` of the option sets, or an object with its attributes.
        overrides: values by field name of `config.ModelConfig`; they win.

    Returns:
        The network as this package describes it.

    Raises:
        UnknownOptionError: an override has an unknown name.
        ConfigError: the grid is not square, or a value breaks its rule.
    """
    data_set, model_set = _adopt(DataConfig, data), _adopt(ModelConfig, model)
    values = model_fields(vars(data_set), vars(model_set))
    given = _checked_overrides(config.ModelConfig, overrides)
    if "gridsize" not in given:
        values["gridsize"] = gridsize(data_set.grid_size)
    carried = [*SAME_NAME_MODEL, "mode", "intensity_scale_trainable", "loss_function", "use_shared_decoder"]
    if isinstance(model_set.probe_mask, bool):
        carried.append("probe_mask")
    _log_left_out(model_set, carried)
    return config.ModelConfig(**{**values, **given})


def to_training_config(
    model: config.ModelConfig, data: Any, pt_model: Any, training: Any, overrides: Mapping[str, Any] | None = None
) -> config.TrainingConfig:
    """Translate a training.

    Args:
        model: the translated network.
        data: `DataConfig`, or an object with its attributes.
        pt_model: `ModelConfig` of the option sets, or an object with its attributes.
        training: `TrainingConfig` of the option sets, or an object with its attributes.
        overrides: values by field name of `config.TrainingConfig`; they win. `n_groups` and `train_data_file` must be
            given here unless `training` holds them, `nphotons` unless `data` holds another value than its default.

    Returns:
        The training as this package describes it, with backend 'pytorch'.

    Raises:
        UnknownOptionError: an override has an unknown name.
        ConfigError: a value that must be given is missing, or one breaks its rule.
    """
    data_set, model_set = _adopt(DataConfig, data), _adopt(ModelConfig, pt_model)
    training_set = _adopt(TrainingConfig, training)
    given = _checked_overrides(config.TrainingConfig, overrides)
    values = {**training_fields(vars(data_set), vars(model_set), vars(training_set)), "backend": "pytorch"}
    values.update(given)
    _require_given(values, "n_groups", "n_groups=512")
    _require_given(values, "train_data_file", "train_data_file='train.npz'")
    default_photons = DataConfig.nphotons
    if "nphotons" not in given and data_set.nphotons == default_photons:
        raise ConfigError(
            f"nphotons is left at its PyTorch default {default_photons:g}, but the default here is "
            f"{config.TrainingConfig.nphotons:g}. Say which one is meant with overrides={{'nphotons': ...}}."
        )
    if values.get("test_data_file") is None:
        warnings.warn(
            "test_data_file is not given: validation uses a part of the training groups. "
            "Give overrides={'test_data_file': ...} to validate on another scan.",
            UserWarning,
            stacklevel=2,
        )
    _log_left_out(data_set, ("nphotons", "N", "C", "K", "subsample_seed", "grid_size", "probe_scale"))
    _log_left_out(training_set, (*SAME_NAME_TRAINING, "epochs", "nll", "torch_loss_mode", *_EXECUTION_OPTIONS))
    return config.TrainingConfig(model=model, **values)


def to_inference_config(
    model: config.ModelConfig, data: Any, inference: Any, overrides: Mapping[str, Any] | None = None
) -> config.InferenceConfig:
    """Translate an inference.

    Args:
        model: the translated network.
        data: `DataConfig`, or an object with its attributes.
        inference: `InferenceConfig` of the option sets, or an object with its attributes.
        overrides: values by field name of `config.InferenceConfig`; they win. `model_path` and `test_data_file` must
            be given here.

    Returns:
        The inference as this package describes it, with backend 'pytorch'. Where `test_data_file` is a folder,
        `experiment_number` chooses the scan. How patches are put together is in `to_reconstruct_options`.

    Raises:
        UnknownOptionError: an override has an unknown name.
        ConfigError: a value that must be given is missing, one breaks its rule, or no archive lies at `model_path`.
    """
    data_set, inference_set = _adopt(DataConfig, data), _adopt(InferenceConfig, inference)
    values: dict[str, Any] = {
        "neighbor_count": data_set.K,
        "subsample_seed": data_set.subsample_seed,
        "backend": "pytorch",
        **_checked_overrides(config.InferenceConfig, overrides),
    }
    _require_given(values, "model_path", "model_path='training_outputs'")
    _require_given(values, "test_data_file", "test_data_file='scan.npz'")
    require_covered(inference_set)
    values["test_data_file"] = scan_of_experiment(Path(values["test_data_file"]), inference_set.experiment_number)
    return config.InferenceConfig(model=model, **values)


def to_execution_config(
    training: Any, inference: Any | None = None, overrides: Mapping[str, Any] | None = None
) -> ExecutionConfig:
    """Translate the run-time options that existing configurations keep among those of training and inference.

    Args:
        training: `TrainingConfig` of the option sets, or an object with its attributes.
        inference: `InferenceConfig` of the option sets; gives the batch size of inference.
        overrides: values by option name of `ExecutionConfig`; they win.

    Returns:
        The run-time options. The strategy is 'auto' for a single device, where there is nothing to distribute.

    Raises:
        UnknownOptionError: an override has an unknown name.
        ConfigError: a value breaks its rule.
    """
    options = _adopt(TrainingConfig, training)
    batch = {} if inference is None else {"batch_size": _adopt(InferenceConfig, inference).batch_size}
    values = execution_fields(vars(options), batch)
    return ExecutionConfig(**{**values, **_checked_overrides(ExecutionConfig, overrides)})


def to_reconstruct_options(inference: Any) -> dict[str, Any]:
    """Translate how patches become an object.

    Args:
        inference: `InferenceConfig` of the option sets, or an object with its attributes.

    Returns:
        Arguments of `reconstruct` and `PtychoModel.infer`: assembly, crop_px and batch_size. `window` is for
        `Reconstruction.without_edge`.

    Raises:
        ConfigError: `pad_eval` is False, or a value breaks its rule.
    """
    return reconstruct_options(_adopt(InferenceConfig, inference))


def to_simulation_plan(data: Any, datagen: Any) -> dict[str, Any]:
    """Translate a simulation.

    Args:
        data: `DataConfig`, or an object with its attributes.
        datagen: `DatagenConfig`, or an object with its attributes.

    Returns:
        What the YAML file of 'ptychopinn simulate' holds: objects_per_probe scans for each probe, of diff_per_object
        patterns each, whose step fills image_size.

    Raises:
        ConfigError: a value breaks its rule.
    """
    return simulation_plan(_adopt(DataConfig, data), _adopt(DatagenConfig, datagen))


def options_from_mapping(cls: type[Options], mapping: Mapping[str, Any]) -> Options:
    """Build one option set from a mapping, for example a JSON object.

    Args:
        cls: one of the five option sets.
        mapping: option name -> value, of any branch; absent options have their default. Those that have no effect here
            are named in one warning.

    Returns:
        The option set.

    Raises:
        UnknownOptionError: an unknown name; the nearest is suggested.
        ConfigError: a value breaks its rule, or an option is refused (docs/migration.md).
    """
    known, left_out = known_options(_section_of(cls), mapping)
    _warn_of({cls.__name__: left_out})
    return _built(cls, known)


def options_to_mapping(options: Any) -> dict[str, Any]:
    """Return an option set as a dict that JSON can hold; arrays and tuples become lists."""
    plain: dict[str, Any] = {}
    for item in fields(options):
        value = getattr(options, item.name)
        plain[item.name] = value.tolist() if hasattr(value, "tolist") else _list_of(value)
    return plain


def load_option_sets(path: str | Path) -> OptionSets:
    """Read the option sets of a JSON file.

    Args:
        path: a JSON object with sections 'data', 'model', 'training', 'inference', 'datagen'; each may be absent, and
            be called '<name>_config' or '<Name>Config' instead. Without sections an option is in the first set that
            knows it. Options of any branch are read; those that have no effect here are named in one warning.

    Returns:
        The five sets; absent ones have their defaults.

    Raises:
        FileNotFoundError: the file does not exist.
        UnknownOptionError: a section or an option has an unknown name.
        ConfigError: the file is not such a JSON object, or a value breaks its rule.
    """
    sections = sections_of(read_content(path))
    parted = {name: known_options(name, section) for name, section in sections.items()}
    _warn_of({f"section '{name}'": left_out for name, (_, left_out) in parted.items()})
    return OptionSets(**{name: _built(SETS[name], known) for name, (known, _) in parted.items()})


def _built(cls: type[Options], known: Mapping[str, Any]) -> Options:
    _refuse_unknown(known, [item.name for item in fields(cls)], f"an option of {cls.__name__}")  # type: ignore[arg-type]
    return cls(**known)


def _warn_of(left_out: Mapping[str, Sequence[str]]) -> None:
    listed = [f"{', '.join(options)} ({where})" for where, options in left_out.items() if options]
    if listed:
        warnings.warn(
            f"Options without effect here: {'; '.join(listed)}. docs/migration.md says of each why.",
            UserWarning,
            stacklevel=3,
        )


def save_option_sets(path: str | Path, sets: OptionSets) -> None:
    """Write the option sets as a JSON file that `load_option_sets` reads.

    Args:
        path: the file; an existing one is replaced.
        sets: the five sets.
    """
    content = {name: options_to_mapping(options) for name, options in sets._asdict().items()}
    with atomic_file(path, "w") as file:
        file.write(json.dumps(content, indent=2) + "\n")


def _adopt(cls: type[Options], source: Any) -> Options:
    """Return `source` as an option set, checked, whatever class with the same attributes it is."""
    section = _section_of(cls)
    own = default_options(cls)
    if isinstance(source, cls):
        return cls(**{name: getattr(source, name) for name in own})
    told = {name: getattr(source, name) for name in (*own, *TORCH[section]) if hasattr(source, name)}
    known, left_out = known_options(section, told)
    changed = [option for option in left_out if " = " in option]
    if changed:
        logger.warning("Options of %s without effect here: %s", type(source).__name__, ", ".join(changed))
    return cls(**{name: value for name, value in known.items() if name in own})


def _section_of(cls: type[Any]) -> str:
    return next(section for section, known in SETS.items() if known is cls)


def _list_of(value: Any) -> Any:
    return [_list_of(item) for item in value] if isinstance(value, (list, tuple)) else value


def _refuse_unknown(names: Iterable[str], valid_names: Iterable[str], what: str) -> None:
    valid = list(valid_names)
    for name in names:
        if name not in valid:
            raise UnknownOptionError(f"'{name}' is not {what}.{nearest_name(str(name), valid)} See specs/config.md.")


def _checked_overrides(cls: type[Any], overrides: Mapping[str, Any] | None) -> dict[str, Any]:
    given = dict(overrides or {})
    _refuse_unknown(given, [item.name for item in fields(cls) if item.name != "model"], f"a field of {cls.__name__}")
    return given


def _require_given(values: Mapping[str, Any], name: str, example: str) -> None:
    if values.get(name) is None:
        raise ConfigError(f"{name} = None: PyTorch option sets do not say it. Give it with overrides=dict({example}).")


def _log_left_out(options: Any, carried: Iterable[str]) -> None:
    defaults = default_options(type(options))
    left_out = [
        name
        for name, default in defaults.items()
        if name not in set(carried)
        and (getattr(options, name) is not None if name in ARRAY_OPTIONS else getattr(options, name) != default)
    ]
    if left_out:
        module = torch_config_sets.__name__
        logger.warning("Options of %s.%s not carried over: %s", module, type(options).__name__, ", ".join(left_out))
