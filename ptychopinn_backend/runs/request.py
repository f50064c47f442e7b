"""The request of a run: its options, who gave them, and the files that it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, NamedTuple

from ptychopinn_backend.config.inputs import PRETRAIN, TRAIN, InputConfig
from ptychopinn_backend.config.yaml_file import given_options
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.legacy.option_files import read_option_file

COMMAND_LINE: Final = "command line"
_INPUT_NAMES: Final = frozenset(item.name for item in fields(InputConfig))
_ALIASES: Final = {"train_data_file": "scans", "test_data_file": "validation"}
"""Fields of `TrainingConfig`, each with the input of the same meaning."""

_PATHS: Final = (*_ALIASES, "output_dir", "scans", "validation", "dataset", "init")
"""Options and inputs that are paths."""
_WITHOUT_EFFECT: Final = {TRAIN: ("n_objects",), PRETRAIN: ("validation", "dataset", "preset", "calibrate")}
"""Inputs that a command does not have."""


class Layer(NamedTuple):
    """Options of one giver."""

    by: str
    """Name of the giver, as the plan shows it."""
    options: Mapping[str, Any]
    """Values of the options, by field of a configuration."""


@dataclass(frozen=True)
class RunRequest:
    """Request of a run."""

    given: tuple[Layer, ...]
    """Options that somebody named, the strongest giver first."""
    inputs: InputConfig = field(default_factory=InputConfig)
    """Files that the run reads, and the archive that it starts from."""
    settings: Layer | None = None
    """Options of a program that has a value for every option, whether its user chose it or not."""
    backend: str | None = None
    """Backend from an argument."""
    command: str = TRAIN
    """'train' or 'pretrain'."""
    default_preset: str | None = None
    """Preset to take if no preset and no architecture is given."""
    output: Path | None = None
    """Folder of the results, or None."""
    givers: Mapping[str, str] = field(default_factory=dict)
    """Giver of each input, by its name."""


class AskedOptions(NamedTuple):
    """The answers of all givers, separated into options and inputs."""

    given: tuple[Layer, ...]
    """The layers, without the inputs."""
    inputs: InputConfig
    """The inputs in force."""
    givers: Mapping[str, str]
    """Giver of each input, by its name."""


def asked_options(layers: Sequence[Layer]) -> AskedOptions:
    """Separate the options of all givers from the inputs.

    Args:
        layers: options and inputs by name, the strongest giver first; an input that is None counts as not given.

    Returns:
        The options and the inputs, with the giver of each.

    Raises:
        ConfigError: an input has a wrong value, or one giver names the same input twice.
    """
    inputs: dict[str, Any] = {}
    givers: dict[str, str] = {}
    parted = []
    for layer in layers:
        found = dict(layer.options)
        own: dict[str, Any] = {name: found.pop(name) for name in _INPUT_NAMES if name in found}
        own = {name: value for name, value in own.items() if value not in (None, ())}
        for alias, name in _ALIASES.items():
            file = found.pop(alias, None)
            if file is not None and name in own:
                raise ConfigError(
                    f"{alias} = {str(file)!r} and {name} = {own[name]!r} are both given by the {layer.by}. Keep one."
                )
            if file is not None:
                own[name] = file
        if "scans" in inputs:
            # A data set belongs to the scans it is made from.
            own.pop("dataset", None)
        inputs = {**own, **inputs}
        givers = {**dict.fromkeys(own, layer.by), **givers}
        parted.append(Layer(layer.by, found))
    return AskedOptions(tuple(parted), InputConfig(**inputs), givers)


def request_of_command(
    command: str,
    config_file: Path | None,
    named: Mapping[str, Any],
    *,
    default_preset: str | None = None,
    backend: str | None = None,
    output: Path | None = None,
) -> RunRequest:
    """Return the request of a command line and its configuration file; the file is read once.

    Args:
        command: 'train' or 'pretrain'.
        config_file: YAML file, or a file of options of an existing installation, or None.
        named: options and inputs by name; None and an empty tuple count as not given.
        default_preset: preset to take if no preset and no architecture is given.
        backend: argument of --backend.
        output: argument of --output; None takes the option `output_dir`.

    Returns:
        The request.

    Raises:
        FileNotFoundError: the file does not exist.
        ConfigError: the YAML is invalid, a key is unknown, the file belongs to another command, or no folder is named.
    """
    layers = [Layer(COMMAND_LINE, given_options(named))]
    if config_file is not None:
        options = _options_of(config_file)
        layers.append(Layer(config_file.name, _from_folder(config_file.parent, options)))
    given, inputs, givers = asked_options(layers)
    _require_of_command(command, inputs, config_file)
    folder = output
    for layer in given:
        named_folder = layer.options.get("output_dir")
        if folder is None and named_folder is not None:
            folder, givers = _path("output_dir", named_folder), {**givers, "output": layer.by}
    if folder is None:
        raise ConfigError(
            "Missing option '-o' / '--output': no folder for the results. Name one, or output_dir in a file."
        )
    return RunRequest(
        given,
        inputs,
        backend=backend,
        command=command,
        default_preset=default_preset,
        output=folder,
        givers=givers,
    )


def _options_of(config_file: Path) -> Mapping[str, Any]:
    file = read_option_file(config_file)
    file.warn(config_file, to_train=True)
    return file.options


def _from_folder(folder: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a file. Its paths are relative to its folder, and become relative to the working folder."""

    def told(value: Any) -> Any:
        if isinstance(value, list):
            return [told(item) for item in value]
        return folder / value if isinstance(value, str) and value else value

    return {name: told(value) if name in _PATHS else value for name, value in options.items()}


def _path(name: str, value: Any) -> Path:
    if not isinstance(value, str | Path) or value == "":
        raise ConfigError(f"{name} = {value!r} must be a path. Give a string.")
    return Path(value)


def _require_of_command(command: str, inputs: InputConfig, config_file: Path | None) -> None:
    if inputs.command not in (None, command):
        raise ConfigError(
            f"{config_file} is the plan of 'ptychopinn {inputs.command}', and this is 'ptychopinn {command}'. "
            f"Give it to 'ptychopinn {inputs.command} --config'."
        )
    for name in _WITHOUT_EFFECT[command]:
        value = getattr(inputs, name)
        if value not in (None, ()):
            raise ConfigError(f"{name} = {str(value)!r} has no effect on 'ptychopinn {command}'. Leave {name} out.")
