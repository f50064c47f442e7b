"""The three settings groups Ptychodus has for PtychoPINN, with the keys this package adds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from ptychodus.api.settings import SettingsRegistry
from ptychodus.model.ptychopinn.settings import (
    PtychoPINNInferenceSettings,
    PtychoPINNModelSettings,
    PtychoPINNTrainingSettings,
)

from ptychodus_plugin.inference_options import INFERENCE_OPTIONS
from ptychodus_plugin.model_options import MODEL_OPTIONS
from ptychodus_plugin.options import CUSTOM, Option, Selection, decided_by
from ptychodus_plugin.torch_settings import TorchSettings
from ptychodus_plugin.training_options import TRAINING_OPTIONS
from ptychopinn_backend.config.presets import AUTO
from ptychopinn_backend.factory import DEFAULT_BACKEND, ENVIRONMENT_VARIABLE, resolve_backend

_FIELDS_OF_KEYS: Final = {
    "Backend": "backend",
    "Preset": "preset",
    "NumNearestNeighbors": "neighbor_count",
    "PatchAssembly": "assembly",
    "PatchCrop": "crop_px",
}
"""Key -> name of what it says, where an option names no field."""


class OptionTable(NamedTuple):
    """One settings group and what is known about its keys."""

    title: str
    group: Any
    """The host's `ParameterGroup`."""
    options: tuple[Option, ...]
    defaults: Mapping[str, Any]
    """Key -> value of a new session: the host decides those of its own keys."""

    def parameter(self, key: str) -> Any:
        """Return the host's observable parameter of a key."""
        return self.group.parameters()[key]


class LibrarySettings:
    """All settings of the library."""

    def __init__(self, registry: SettingsRegistry) -> None:
        """Create the groups.

        Args:
            registry: the host's settings, which saves and restores them.
        """
        self.model = PtychoPINNModelSettings(registry)
        self.training = PtychoPINNTrainingSettings(registry)
        self.inference = PtychoPINNInferenceSettings(registry)
        self._tables = (
            _table("Model", registry, MODEL_OPTIONS),
            _table("Inference", registry, INFERENCE_OPTIONS),
            _table("Training", registry, TRAINING_OPTIONS),
        )
        known = {_field_of(option) for table in self._tables for option in table.options}
        self._torch = TorchSettings(registry, self.take, known)

    @property
    def tables(self) -> tuple[OptionTable, OptionTable, OptionTable]:
        """The three groups in the order they are shown."""
        return self._tables

    def value(self, title: str, key: str) -> Any:
        """Return the present value of a setting.

        Args:
            title: 'Model', 'Inference' or 'Training'.
            key: name in the settings file.

        Returns:
            The value, of the type of the option's default (a `Path` for ModelPath).
        """
        return self.parameter(title, key).get_value()

    def parameter(self, title: str, key: str) -> Any:
        """Return the host's observable parameter of a setting.

        Args:
            title: 'Model', 'Inference' or 'Training'.
            key: name in the settings file.

        Returns:
            The parameter.
        """
        return self._table_of(title).parameter(key)

    def is_default(self, title: str, key: str) -> bool:
        """Return whether a setting has the value of a new session.

        Args:
            title: 'Model', 'Inference' or 'Training'.
            key: name in the settings file.

        Returns:
            Whether it has.
        """
        return bool(self.value(title, key) == self._table_of(title).defaults[key])

    def _table_of(self, title: str) -> OptionTable:
        return next(table for table in self._tables if table.title == title)

    def values(self, config: str, selection: Selection) -> dict[str, Any]:
        """Return field -> value for one configuration class; what does not apply keeps that class's default.

        Args:
            config: 'model', 'training' or 'execution'.
            selection: the choices that decide what applies.

        Returns:
            Keyword arguments for the configuration class.
        """
        found: dict[str, Any] = {}
        for table in self._tables:
            for option in table.options:
                owner, _, field = option.config.partition(".")
                if owner == config and option.in_force(selection):
                    value = table.parameter(option.key).get_value()
                    if option.left_open is None or value != option.left_open:
                        found[field] = None if option.zero_is_none and value == 0 else value
        return found

    def take(self, options: Mapping[str, Any]) -> list[str]:
        """Set options where ours are at their defaults.

        Args:
            options: value by field of a configuration, or 'preset', 'backend', 'assembly', 'crop_px'.

        Returns:
            What was set, as 'Key = value'.
        """
        taken = []
        for table in self._tables:
            for option in table.options:
                parameter = table.parameter(option.key)
                value = options.get(_field_of(option))
                if value is None or not self.is_default(table.title, option.key) or value == parameter.get_value():
                    continue
                parameter.set_value(type(option.default)(value))
                taken.append(f"{option.key} = {parameter.get_value()}")
        return taken

    def backend(self) -> str:
        """Return the backend in force: PTYCHOPINN_BACKEND, else the setting.

        Returns:
            'tensorflow', 'pytorch' or 'onnx'.

        Raises:
            ConfigError: the name is not a backend; names the valid ones.
        """
        return resolve_backend(setting=self.value("Model", "Backend"))

    def selection(self, reconstructor: str) -> Selection:
        """Return the choices that decide which other options apply; an unknown backend counts as the default one.

        Args:
            reconstructor: 'pinn' or 'supervised'.

        Returns:
            The choices in force.
        """
        backend = os.environ.get(ENVIRONMENT_VARIABLE) or self.value("Model", "Backend")
        preset = self._preset() if reconstructor == "pinn" else CUSTOM
        decided = decided_by(preset)
        return Selection(
            backend=backend.strip().lower() or DEFAULT_BACKEND,
            reconstructor=reconstructor,
            architecture=decided.get("architecture", self.value("Model", "Architecture")),
            scheduler=decided.get("scheduler", self.value("Training", "Scheduler")),
            optimizer=decided.get("optimizer", self.value("Training", "Optimizer")),
            preset=preset,
        )

    def _preset(self) -> str:
        preset: str = self.value("Model", "Preset")
        return CUSTOM if preset == AUTO and self._is_changed() else preset

    def _is_changed(self) -> bool:
        """Return whether an option the automatic preset would decide differs from its default.

        A settings file from before there were presets therefore still means what it says.
        """
        return any(
            not self.is_default(table.title, option.key)
            for table in self._tables
            for option in table.options
            if option.decided(AUTO)
        )


def _field_of(option: Option) -> str:
    """Return the name under which an option is taken over."""
    return _FIELDS_OF_KEYS.get(option.key, option.config.partition(".")[2])


def _table(title: str, registry: SettingsRegistry, options: tuple[Option, ...]) -> OptionTable:
    """Return a group of the host with all keys of a table: those it lacks are added, whoever had them before."""
    name = f"PtychoPINN{title}"
    if name not in registry:
        raise LookupError(f"the settings have no group {name}")
    group = registry[name]
    for option in options:
        if option.key not in group.parameters():
            _create(group, option)
        found = group.parameters()[option.key].get_value()
        kind = Path if option.is_path else type(option.default)
        if not isinstance(found, (kind, int) if kind is float else kind):
            raise TypeError(f"the setting {name}.{option.key} = {found!r} is of another kind than {option.default!r}")
    return OptionTable(
        title, group, options, {key: parameter.get_value() for key, parameter in group.parameters().items()}
    )


def _create(group: Any, option: Option) -> None:
    bounds = {"minimum": option.minimum, "maximum": option.maximum}
    if option.is_path:
        group.create_path_parameter(option.key, Path(str(option.default)))
    elif isinstance(option.default, bool):
        group.create_boolean_parameter(option.key, option.default)
    elif isinstance(option.default, int):
        group.create_integer_parameter(option.key, option.default, **bounds)
    elif isinstance(option.default, float):
        group.create_real_parameter(option.key, option.default, **bounds)
    else:
        group.create_string_parameter(option.key, option.default)
