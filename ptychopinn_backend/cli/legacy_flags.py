"""The flags of `ptycho_train` and `ptycho_inference` of the original, as options and as words of our commands."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from ptychopinn_backend.config.training import ModelConfig, TrainingConfig
from ptychopinn_backend.config.yaml_file import is_option, yaml_text, yaml_value
from ptychopinn_backend.errors import ConfigError, nearest_name
from ptychopinn_backend.legacy.option_fates import FLAT, TORCH
from ptychopinn_backend.legacy.option_files import OptionFile, translated_flat, translated_sets
from ptychopinn_backend.legacy.option_layout import sections_of

_ALIASES: Final[Mapping[str, str]] = {
    "torch_accelerator": "accelerator",
    "torch_num_workers": "num_workers",
    "torch_learning_rate": "learning_rate",
    "torch_scheduler": "scheduler",
    "torch_logger": "logger_backend",
    "torch_deterministic": "deterministic",
    "torch_enable_checkpointing": "enable_checkpointing",
    "torch_checkpoint_save_top_k": "checkpoint_save_top_k",
    "torch_accumulate_grad_batches": "accum_steps",
    "torch_inference_batch_size": "inference_batch_size",
    **{f"torch_plateau_{name}": f"plateau_{name}" for name in ("factor", "patience", "min_lr", "threshold")},
    **{
        f"torch_recon_log_{name}": f"recon_log_{name}"
        for name in ("every_n_epochs", "num_patches", "fixed_indices", "stitch", "max_stitch_samples")
    },
    "max_epochs": "nepochs",
    "accumulate_grad_batches": "accum_steps",
    "checkpoint_monitor": "checkpoint_monitor_metric",
    "logger": "logger_backend",
    "device": "accelerator",
    "ptycho_dir": "scans",
    "test_data": "test_data_file",
    "infer_dir": "test_data_file",
    "file_index": "experiment_number",
}
"""Flag -> option, where the names differ."""
_NEGATIONS: Final[Mapping[str, str]] = {
    "no_deterministic": "deterministic",
    "no_probe_mask": "probe_mask",
    "disable_checkpointing": "enable_checkpointing",
}
"""Flag -> option that it sets to False."""
_TEXTS: Final = (
    *("train_data_file", "test_data_file", "output_dir", "model_path", "run_id", "config", "scans"),
    "console_level",
    *("train_data_file_path", "test_data_file_path", "output_prefix"),
)
_OF_COMMANDS: Final = (
    *("config", "do_stitching", "quiet", "verbose", "console_level", "comparison_plot", "phase_vmin", "phase_vmax"),
    *("model_path", "run_id"),
)
"""Flags that concern the command itself."""
_WITHOUT_EFFECT: Final[Mapping[str, str]] = {
    "debug_dump": "what the network makes is in reconstruction.npz",
    "profile": "run the command under a profiler",
    "disable_mlflow": "MLflow is used with --logger mlflow alone",
}
_FLAGS: Final[Mapping[str, str]] = {
    "gridsize": "--gridsize",
    "nepochs": "--epochs",
    "batch_size": "--batch-size",
    "n_groups": "--groups",
    "neighbor_count": "--neighbors",
    "learning_rate": "--learning-rate",
    "nphotons": "--photons",
    "architecture": "--architecture",
    "n_filters_scale": "--filters-scale",
    "seed": "--seed",
    "accelerator": "--accelerator",
    "devices": "--devices",
    "num_nodes": "--num-nodes",
    "strategy": "--strategy",
    "precision": "--precision",
    "backend": "--backend",
    "measurement": "--measurement",
    "dataset": "--dataset",
    "calibrate": "--calibrate",
    "preset": "--preset",
    "init": "--init",
}
"""Option -> option of `ptychopinn train`."""
_OF_INFERENCE: Final[Mapping[str, str]] = {
    "n_groups": "--groups",
    "neighbor_count": "--neighbors",
    "inference_batch_size": "--batch-size",
    "n_subsample": "--subsample",
    "subsample_seed": "--seed",
    "seed": "--seed",
    "accelerator": "--accelerator",
    "precision": "--precision",
    "backend": "--backend",
    "measurement": "--measurement",
    "nphotons": "--nphotons",
    "calibrate": "--calibrate",
    "crop_px": "--crop",
    "assembly": "--assembly",
}
"""Option -> option of `ptychopinn infer`."""

_OF_ONE: Final = {"do_stitching": True, "phase_vmin": False, "phase_vmax": False, "comparison_plot": False}
"""Flag -> whether it concerns a training, and not a reconstruction."""
_PLACES: Final = ("test_data_file", "output_dir")


@dataclass(frozen=True)
class LegacyCall:
    """What the words of a command and its option file ask for."""

    options: dict[str, Any]
    """Field of a configuration, or input of a run -> value."""
    results: dict[str, Any] = field(default_factory=dict)
    """What concerns a reconstruction."""
    command: dict[str, Any] = field(default_factory=dict)
    """What concerns the command itself."""
    typed: tuple[str, ...] = ()
    """Names of those options that are words, and not of the file."""


def read_call(words: Sequence[str], read_file: Any) -> LegacyCall:
    """Read the words of a command, and the file they name.

    Args:
        words: after the name of the command: --name value, --name=value, or --name alone.
        read_file: reads an option file; called with its path.

    Returns:
        What they ask for; words win over the file. What has no effect here is named in one warning each.

    Raises:
        FileNotFoundError: the file does not exist.
        ConfigError: an unknown flag, or a value that breaks its rule.
    """
    given = _parsed(words)
    command: dict[str, Any] = {name: given.pop(name) for name in _OF_COMMANDS if name in given}
    if "run_id" in command:
        command.setdefault("model_path", f"runs:/{command.pop('run_id')}")
    left_out = [f"--{name}: {reason}" for name, reason in _WITHOUT_EFFECT.items() if given.pop(name, None) is not None]
    file = OptionFile({})
    if command.get("config") is not None:
        path = Path(command["config"])
        file = read_file(path)
        file.warn(path)
    named = _translated(given)
    left_out += [f"--{text}" for text in named.left_out]
    if left_out:
        warnings.warn(
            f"Flags without effect here: {', '.join(left_out)}. docs/migration.md says of each option why.",
            UserWarning,
            stacklevel=2,
        )
    typed = _with_groups(named.options)
    options = {**_with_groups(file.options), **typed}
    return LegacyCall(options, {**file.results, **named.results}, command, tuple(typed))


def training_words(call: LegacyCall) -> list[str]:
    """Return the words of `ptychopinn train` that do the same.

    Args:
        call: what is asked for.

    Returns:
        Words, 'train' first.

    Raises:
        ConfigError: no scan to train on.
    """
    options = dict(call.options)
    scans = options.pop("train_data_file", None) or options.pop("scans", None)
    options.pop("scans", None)
    if scans is None and options.get("dataset") is None:
        raise ConfigError(
            "--train_data_file is missing: no scan to train on. Name one, here or in the file of --config."
        )
    words = ["train", *map(str, scans if isinstance(scans, list | tuple) else [] if scans is None else [scans])]
    words += ["-o", str(output_of(call, "training_outputs"))]
    options.pop("output_dir", None)
    validation = options.pop("test_data_file", None) or options.pop("validation", None)
    options.pop("validation", None)
    if validation is not None:
        words += ["--validation", str(validation)]
    options = {"preset": "legacy", "calibrate": "never", **options}
    reading = options.pop("reading", None) or {}
    options.pop("command", None)
    if "nphotons" in options:
        # What the original was told of the photons also gave the counts of normalised patterns.
        reading = {"nphotons": options["nphotons"], **reading}
    for name, value in options.items():
        words += [_FLAGS[name], str(value)] if name in _FLAGS else ["--set", f"{name}={_yaml(value)}"]
    for name, value in reading.items():
        words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return words


def inference_words(call: LegacyCall, archive: Path, scan: Path, output: Path) -> list[str]:
    """Return the words of `ptychopinn infer` that do the same.

    Args:
        call: what is asked for; what concerns a training is left out.
        archive: the model.
        scan: what is reconstructed.
        output: folder of the results.

    Returns:
        Words, 'infer' first.
    """
    options = {"calibrate": "never", **call.options, **call.results}
    if "subsample_seed" in options:
        options.pop("seed", None)
    words = ["infer", str(archive), str(scan), "-o", str(output)]
    for name, value in options.items():
        if name in _OF_INFERENCE and value is not None:
            words += [_OF_INFERENCE[name], str(value)]
    return words


def warn_of_unused(call: LegacyCall, *, trains: bool, reconstructs: bool) -> None:
    """Warn once of words that have no effect on what a command does.

    Args:
        call: what is asked for.
        trains: the command trains.
        reconstructs: it reconstructs.
    """
    unused = [name for name in _OF_ONE if name in call.command and not (trains if _OF_ONE[name] else reconstructs)]
    if trains and "model_path" in call.command:
        unused.append("model_path")
    if not trains:
        unused += [name for name in call.typed if name not in (*_OF_INFERENCE, *_PLACES)]
    shown = [f"--{name}" for name in unused]
    if not reconstructs:
        shown += [f"{name} = {value}" for name, value in call.results.items()]
    if not shown:
        return
    remedy = (
        "The model says how it was trained."
        if reconstructs
        else "Reconstruct with --do_stitching and --test_data_file, or with 'ptychopinn ptycho-inference'."
    )
    warnings.warn(f"Without effect on this command: {', '.join(shown)}. {remedy}", UserWarning, stacklevel=2)


def output_of(call: LegacyCall, default: str) -> Path:
    """Return the folder of the results.

    Args:
        call: what is asked for.
        default: where nothing names it.

    Returns:
        The folder.
    """
    return Path(call.options.get("output_dir", default))


def _parsed(words: Sequence[str]) -> dict[str, Any]:
    """Return flag -> value, under the names of options."""
    given: dict[str, Any] = {}
    name = ""
    for word in words:
        if word.startswith("--") and len(word) > 2:
            written, separator, value = word[2:].partition("=")
            name = written.replace("-", "_")
            given[name] = [value] if separator else []
        elif name:
            given[name].append(word)
        else:
            raise ConfigError(f"'{word}' belongs to no flag. Write --name value.")
    return {_option_of(name): _value_of(name, values) for name, values in given.items()}


def _option_of(flag: str) -> str:
    name = _NEGATIONS.get(flag, _ALIASES.get(flag, flag))
    if name in _WITHOUT_EFFECT or name in _OF_COMMANDS or _is_known(name):
        return name
    torch = [option for fates in TORCH.values() for option in fates]
    known = (*_ALIASES, *_NEGATIONS, *_OF_COMMANDS, *FLAT, *torch, *_fields())
    raise ConfigError(
        f"--{flag} is not a flag.{nearest_name(flag, known)} 'ptychopinn ptycho-train --help' lists them."
    )


def _fields() -> Iterable[str]:
    return (*ModelConfig.__dataclass_fields__, *TrainingConfig.__dataclass_fields__)


def _is_known(name: str) -> bool:
    return name != "model" and (is_option(name) or name in FLAT or any(name in fates for fates in TORCH.values()))


def _value_of(flag: str, values: Sequence[str]) -> Any:
    if flag in _NEGATIONS:
        return False
    if not values:
        return True
    option = _ALIASES.get(flag, flag)
    if flag == "device":
        # The first GPU is what 'cuda' means; another is chosen outside.
        values = [text.removesuffix(":0") for text in values]
    if option in _TEXTS:
        return values[0] if len(values) == 1 else list(values)
    try:
        plain = [None if text == "None" else yaml_value(text) for text in values]
    except yaml.YAMLError:
        raise ConfigError(f"--{flag} {' '.join(values)} cannot be read as a value. Quote it.") from None
    several = len(plain) > 1 or option == "recon_log_fixed_indices"
    return plain if several and not isinstance(plain[0], list) else plain[0]


def _translated(given: Mapping[str, Any]) -> OptionFile:
    flat = {name: value for name, value in given.items() if is_option(name) or name in FLAT}
    rest = {name: value for name, value in given.items() if name not in flat}
    ours = translated_flat(flat)
    if not rest:
        return ours
    theirs = translated_sets(sections_of(rest))
    backend = {name: value for name, value in theirs.options.items() if name != "backend"}
    return OptionFile(
        {**backend, **ours.options}, {**theirs.results, **ours.results}, False, ours.left_out + theirs.left_out
    )


def _with_groups(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with n_images under its present name, and without those that are None."""
    found = {name: value for name, value in options.items() if value is not None}
    images = found.pop("n_images", None)
    if images is not None:
        found.setdefault("n_groups", images)
    return found


def _yaml(value: Any) -> str:
    return yaml_text({"value": value}, flow=True).strip().removeprefix("{value: ").removesuffix("}")
