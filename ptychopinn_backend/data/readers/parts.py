"""The two halves of a scan, which may lie in one file or in two: patterns, and positions with probe and object."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ptychopinn_backend.arrays import AnyArray, BoolArray, IntArray
from ptychopinn_backend.data.findings.finding import Finding
from ptychopinn_backend.data.findings.layout import PATTERN_AXIS_KEY
from ptychopinn_backend.data.readers.array_source import ArraySource


@dataclass(frozen=True)
class Instrument:
    """What a file says of the experiment; None where it is silent."""

    energy_eV: float | None = None
    """Photon energy."""
    distance_m: float | None = None
    """From the object to the detector."""
    detector_pixel_height_m: float | None = None
    """Along rows of the detector."""
    detector_pixel_width_m: float | None = None
    """Along columns of the detector."""
    object_pixel_height_m: float | None = None
    """Along rows of the object."""
    object_pixel_width_m: float | None = None
    """Along columns of the object."""

    def completed_by(self, other: Instrument) -> Instrument:
        """Return this one, with what it lacks taken from another."""
        names = [item.name for item in fields(self)]
        return Instrument(
            **{name: getattr(other, name) if getattr(self, name) is None else getattr(self, name) for name in names}
        )


@dataclass(frozen=True, eq=False)
class PatternPart:
    """Patterns of a scan."""

    files: tuple[Path, ...]
    """What they are read from."""
    patterns: ArraySource
    """(pattern, N, N), zero frequency at the array centre."""
    measurement: str | None
    """'counts' or 'amplitudes'; None where only the values tell."""
    indexes: IntArray | None = None
    """(pattern,) numbers that pair patterns with positions; None pairs them in order."""
    bad_pixels: BoolArray | None = None
    """(N, N), True = bad."""
    instrument: Instrument = field(default_factory=Instrument)
    """What the file says of the experiment."""
    notes: tuple[str, ...] = ()
    """What the reader decided, each a sentence with how to state it."""


@dataclass(frozen=True, eq=False)
class PositionPart:
    """Positions of a scan, with probe and object as far as the file has them."""

    files: tuple[Path, ...]
    """What they are read from."""
    x: AnyArray
    """(position,) columns."""
    y: AnyArray
    """(position,) rows."""
    in_metres: bool
    """Positions are in metres, not in object pixels."""
    indexes: IntArray | None = None
    """(position,) numbers that pair positions with patterns; None pairs them in order."""
    probe: AnyArray | None = None
    """As in the file."""
    object_guess: AnyArray | None = None
    """(H, W)."""
    object_centre_m: tuple[float, float] | None = None
    """x and y of the middle of the object, in the frame of the positions."""
    instrument: Instrument = field(default_factory=Instrument)
    """What the file says of the experiment."""
    described: dict[str, Any] = field(default_factory=dict)
    """Further facts for the metadata of the scan."""
    notes: tuple[str, ...] = ()
    """What the reader decided, each a sentence with how to state it."""


@dataclass(frozen=True, eq=False)
class OpenedScan:
    """A scan whose patterns are not read yet."""

    path: Path
    """The file that names it."""
    files: tuple[Path, ...]
    """All files it is read from."""
    format_name: str
    """Name of its format, or of both."""
    members: dict[str, AnyArray]
    """All of specs/data.md but patterns, labels and metadata, positions in object pixels."""
    metadata: dict[str, Any]
    """What the files say of themselves."""
    patterns: ArraySource
    """(pattern, N, N)."""
    labels: ArraySource | None = None
    """Ground-truth patches (pattern, N, N[, 1]), or None."""
    notes: tuple[str, ...] = ()
    """What was decided, each a sentence with how to state it; logged where the scan is read, once."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Name of an array here -> name in the file, where they differ."""

    def in_its_words(self, text: str) -> str:
        """Return a message with the names the file has for what it is about."""
        for ours, theirs in self.names.items():
            text = re.sub(rf"\b{ours}\b", theirs, text)
        return text

    def findings_in_its_words(self, findings: Iterable[Finding]) -> tuple[Finding, ...]:
        """Return findings with the names the file has for what they are about."""
        words = self.in_its_words
        return tuple(replace(item, evidence=words(item.evidence), remedy=words(item.remedy)) for item in findings)

    def pattern_first(self) -> dict[str, Any]:
        """Return the metadata to check the scan with: only NPZ leave open which axis of a cube counts the patterns."""
        return dict(self.metadata) if self.format_name == "npz" else {**self.metadata, PATTERN_AXIS_KEY: 0}
