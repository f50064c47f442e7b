"""What a run reads and where it starts from: the section `run` of a configuration file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from ptychopinn_backend.config.checks import require_choice, require_positive, require_positive_integer
from ptychopinn_backend.config.reading import MEASUREMENTS, Reading, reading_of
from ptychopinn_backend.errors import ConfigError

TRAIN: Final = "train"
PRETRAIN: Final = "pretrain"
CALIBRATE: Final = ("auto", "never", "always")
"""When probe and positions are refined before a training or a reconstruction."""


@dataclass(frozen=True)
class InputConfig:
    """Files of a run, and the preset and the archive under its options; no archive keeps them."""

    command: str | None = None
    """Command the file was written by: train or pretrain; None suits both."""
    scans: tuple[Path, ...] = ()
    """Scan files or folders to train on; for pretrain those that give the probe."""
    validation: tuple[Path, ...] = ()
    """Scan files to validate on; none keeps `validation_fraction` of the groups for it."""
    dataset: Path | None = None
    """Folder of a data set on disk, made from the scans, or used as it is without scans."""
    measurement: str | None = None
    """What the patterns hold: counts, amplitudes or normalized_amplitude; None asks each file."""
    reading: Mapping[str, Any] | None = None
    """What else is stated about the files, by the names of `Reading`; None asks each file."""
    preset: str | None = None
    """Preset under the options given: auto, fast, fine or legacy."""
    calibrate: str | None = None
    """Refine probe and positions first: auto, never or always; None is auto for train and never for arrays."""
    minutes: float | None = None
    """Time that training may take, the reading of the scans included; None is as long as the epochs take."""
    init: Path | None = None
    """Archive whose network and weights to start from."""
    n_objects: int | None = None
    """Objects that pretrain simulates for each scan; None takes 64."""

    def __post_init__(self) -> None:
        """Check every field and make paths `Path`.

        Raises:
            ConfigError: a field breaks its rule.
        """
        if self.command is not None:
            require_choice("command", self.command, (TRAIN, PRETRAIN))
        if self.measurement is not None:
            require_choice("measurement", self.measurement, MEASUREMENTS)
        if self.reading is not None:
            object.__setattr__(self, "reading", dict(reading_of(self.reading).stated()))
        if self.calibrate is not None:
            require_choice("calibrate", self.calibrate, CALIBRATE)
        for name in ("scans", "validation"):
            object.__setattr__(self, name, _paths(name, getattr(self, name)))
        for name in ("dataset", "init"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _path(name, getattr(self, name)))
        if self.minutes is not None:
            require_positive("minutes", self.minutes)
        if self.n_objects is not None:
            require_positive_integer("n_objects", self.n_objects)

    @property
    def how_to_read(self) -> Reading:
        """What is stated about the files."""
        stated = {} if self.reading is None else dict(self.reading)
        return reading_of({**stated, **({} if self.measurement is None else {"measurement": self.measurement})})

    def absolute(self) -> InputConfig:
        """Return the same with paths that mean the same from every working folder."""
        return replace(
            self,
            scans=tuple(path.absolute() for path in self.scans),
            validation=tuple(path.absolute() for path in self.validation),
            dataset=None if self.dataset is None else self.dataset.absolute(),
            init=None if self.init is None else self.init.absolute(),
            reading=None if self.reading is None else reading_of(self.reading).absolute().stated(),
        )


def reading_inputs(reading: Reading) -> dict[str, Any]:
    """Return what a user states about files as inputs of a run.

    Args:
        reading: what is stated.

    Returns:
        'measurement' and 'reading', each None where nothing is stated.
    """
    stated = reading.stated()
    measurement = stated.pop("measurement", None)
    return {"measurement": measurement, "reading": stated or None}


def _paths(name: str, value: Any) -> tuple[Path, ...]:
    if value is None:
        return ()
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return tuple(_path(name, item) for item in value)
    return (_path(name, value),)


def _path(name: str, value: Any) -> Path:
    if not isinstance(value, str | Path) or value == "":
        raise ConfigError(f"{name} = {value!r} must be a path. Give a string.")
    return Path(value)
