"""The plan of a run: for each option its value, who gave it, and why.

`planning.prepare` makes a plan once, in the same way for the command line, Python and Ptychodus. The file `run.yaml` is
the text of a plan. It is a configuration file that repeats the run.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from ptychopinn_backend.archive import package_version
from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.config.inputs import InputConfig
from ptychopinn_backend.config.yaml_file import yaml_text
from ptychopinn_backend.files.atomic_file import atomic_file

PLAN_NAME: Final = "run.yaml"
DEFAULT: Final = "default"
"""Giver of an option that nobody gave."""
_NOT_REPEATED: Final = ("model", "n_images", "train_data_file", "test_data_file")
"""Fields of `TrainingConfig` that a repeated run takes from elsewhere."""

_WIDEST: Final = 26
"""Largest width of a column of the table in letters; a longer value moves the rest of its row to the right."""


@dataclass(frozen=True)
class Decision:
    """One option with its value, who gave it, and why."""

    name: str
    """Field of one of the configurations, for example 'gridsize'."""
    value: Any
    """Value in force."""
    by: str
    """Giver of the value: 'command line', 'run.yaml', 'preset fast', 'scan', 'default', ..."""
    why: str = ""
    """Reason, if the giver does not explain the value."""


@dataclass(frozen=True)
class RunPlan:
    """All options that decide the result of a training; equal plans on one machine give equal weights."""

    command: str
    """'train' or 'pretrain'."""
    inputs: InputConfig
    """Inputs of the run, with absolute paths; scans that were given as arrays are not in it."""
    training: TrainingConfig
    """Options of the training and its model; `backend` is the one in force."""
    execution: ExecutionConfig
    """Options of the execution."""
    every_point: bool
    """True if every scan gives one group for each of its points; `training.n_groups` then has no effect."""
    decisions: tuple[Decision, ...]
    """One decision for each input in use and for each option, in the order of the configurations."""

    @property
    def backend(self) -> str:
        """Backend in force: 'tensorflow' or 'pytorch'."""
        return self.training.backend

    @property
    def preset(self) -> str:
        """Name of the preset in force with the reason of its choice, or 'none'."""
        chosen = self.decision("preset")
        return f"{chosen.value} ({chosen.why})" if chosen.why else str(chosen.value)

    def decision(self, name: str) -> Decision:
        """Return the decision on an option.

        Args:
            name: name of the option.

        Returns:
            The value of the option, who gave it, and why.

        Raises:
            KeyError: there is no such option.
        """
        for decision in self.decisions:
            if decision.name == name:
                return decision
        raise KeyError(name)

    def table(self, *, defaults: bool = False) -> str:
        """Return the plan as a table of options, their values and their givers.

        Args:
            defaults: True also lists the options that nobody gave; False only counts them.

        Returns:
            The table as text, one line per option.
        """
        shown = [item for item in self.decisions if defaults or item.by != DEFAULT]
        rows = [(item.name, _text(item.value), _giver(item)) for item in shown]
        widths = [max(min(len(row[column]), _WIDEST) for row in rows) for column in (0, 1)]
        lines = [f"{name:<{widths[0]}}  {value:<{widths[1]}}  {giver}".rstrip() for name, value, giver in rows]
        if len(shown) < len(self.decisions):
            lines.append(f"{len(self.decisions) - len(shown)} further options have their defaults.")
        return "\n".join(lines)

    def as_yaml(self, folder: Path) -> str:
        """Return the text of `run.yaml`: every option with its value, and its giver in a comment.

        Args:
            folder: folder of the file; paths in the file are relative to it, so that both may move together.

        Returns:
            YAML text.
        """
        by = {item.name: item for item in self.decisions}
        lines = [
            f"# The plan of a run, written by ptychopinn-backend {package_version()}.",
            f"# 'ptychopinn {self.command} --config {PLAN_NAME} -o FOLDER' repeats it.",
            f"# Preset: {self.preset}.",
        ]
        for section, values in self._sections():
            lines.append(f"{section}:")
            for name, value in values.items():
                if isinstance(value, Path | tuple):
                    value = _relative_to(folder, value)
                comment = "" if name not in by or by[name].by == DEFAULT else f"  # {_giver(by[name])}"
                lines += [f"  {line}" for line in _yaml_lines(name, value, comment)]
        return "\n".join(lines) + "\n"

    def write(self, folder: Path) -> Path:
        """Write `run.yaml`; a file that already has this text stays as it is.

        Args:
            folder: folder of the file; it is made if it is missing.

        Returns:
            Path of the file.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path, text = folder / PLAN_NAME, self.as_yaml(folder).encode()
        if not path.is_file() or path.read_bytes() != text:
            with atomic_file(path) as file:
                file.write(text)
        return path

    def _sections(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        without = {*_NOT_REPEATED, *(["n_groups"] if self.every_point else [])}
        if self.decision("output_dir").by == DEFAULT:
            without.add("output_dir")
        inputs = {name: value for name, value in _values(self.inputs) if value not in (None, ())}
        yield "run", {**inputs, "command": self.command}
        yield "model", dict(_values(self.training.model))
        yield "training", {name: value for name, value in _values(self.training) if name not in without}
        yield "execution", dict(_values(self.execution))


def _values(config: InputConfig | ModelConfig | TrainingConfig | ExecutionConfig) -> Iterable[tuple[str, Any]]:
    return ((item.name, getattr(config, item.name)) for item in fields(config))


def _relative_to(folder: Path, value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_relative_to(folder, item) for item in value)
    if not isinstance(value, Path):
        return value
    try:
        return Path(os.path.relpath(value, folder))
    except ValueError:  # another drive
        return value.absolute()


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def _yaml_lines(name: str, value: Any, comment: str) -> list[str]:
    plain = _plain(value)
    # A list of numbers stands in one line. Paths may be long, so each has its own line.
    flow = None if isinstance(plain, list) and not any(isinstance(item, str) for item in plain) else False
    text = yaml_text({name: plain}, flow=flow)
    first, *rest = text.rstrip("\n").split("\n")
    return [first + comment, *rest]


def _text(value: Any) -> str:
    plain = _plain(value)
    if isinstance(plain, list) and plain and isinstance(plain[0], str):
        return plain[0] if len(plain) == 1 else f"{plain[0]} and {len(plain) - 1} more"
    return f"{plain:.6g}" if isinstance(plain, float) else str(plain)


def _giver(decision: Decision) -> str:
    return f"{decision.by}: {decision.why}" if decision.why else decision.by
