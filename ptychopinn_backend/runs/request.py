"""What a run is asked to do: options by who gave them, and the files it reads."""

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
"""Fields of `TrainingConfig` that name what an input names."""

_PATHS: Final = (*_ALIASES, "output_dir", "scans", "validation", "dataset", "init")
"""Options and inputs that are paths."""
_WITHOUT_EFFECT: Final = {TRAIN: ("n_objects",), PRETRAIN: ("validation", "dataset", "preset", "calibrate")}
"""Inputs a command does not have."""


class Layer(NamedTuple):
    """Options of one giver."""

    by: str
    """Who gave them, as the plan says it."""
    options: Mapping[str, Any]
    """Field of a configuration -> value."""


@dataclass(frozen=True)
class RunRequest:
    """What a run is asked to do."""

    given: tuple[Layer, ...]
    """Options somebody named, the strongest first."""
    inputs: InputConfig = field(default_factory=InputConfig)
    """What it reads and where it starts from."""
    settings: Layer | None = None
    """Options of a program that has a value for each, whether its user chose it or not."""
    backend: str | None = None
    """Backend given by an argument."""
    command: str = TRAIN
    """'train' or 'pretrain'."""
    default_preset: str | None = None
    """Preset where none and no architecture is given."""
    output: Path | None = None
    """Folder of the results, or None."""
    givers: Mapping[str, str] = field(default_factory=dict)
    """Input -> who gave it."""


class AskedOptions(NamedTuple):
    """What givers say, parted into options and inputs."""

    given: tuple[Layer, ...]
    """The layers with options alone."""
    inputs: InputConfig
    """The inputs in force."""
    givers: Mapping[str, str]
    """Input -> who gave it."""


def asked_options(layers: Sequence[Layer]) -> AskedOptions:
    """Part what givers say into options and inputs.

    Args:
        layers: options and inputs by name, the strongest giver first; None is not given.

    Returns:
        Options and inputs, each with who gave it.

    Raises:
        ConfigError: an unknown name, or one giver names the same input twice.
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
    """Return what a command line and its configuration file ask for; the file is read once.

    Args:
        command: 'train' or 'pretrain'.
        config_file: YAML file, or a file of options of an existing installation, or None.
        named: options and inputs by name; None, or an empty tuple, is not given.
        default_preset: preset where none and no architecture is given.
        backend: argument of --backend.
        output: argument of --output; None takes `output_dir`.

    Returns:
        The request.

    Raises:
        FileNotFoundError: the file does not exist.
        ConfigError: invalid YAML, an unknown key, a file of another command, or no folder for the results.
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
    """Return the options of a file with its paths, which are told from its folder, told from the working folder."""

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
