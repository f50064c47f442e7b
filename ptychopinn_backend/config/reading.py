"""What a user may state about scan files, where a file does not say it or says it wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from ptychopinn_backend.config.checks import require_bool, require_choice
from ptychopinn_backend.errors import ConfigError, nearest_name

SCAN_INDEX_MEANINGS: Final = ("points", "objects", None)
MEASUREMENTS: Final = ("counts", "amplitudes", "normalized_amplitude")
"""What patterns may hold."""


@dataclass(frozen=True)
class Reading:
    """How scan files are read; the defaults ask the file."""

    measurement: str | None = None
    """'counts', 'amplitudes', or 'normalized_amplitude' for amplitudes that were divided by an unknown number."""
    reader: str | None = None
    """Name of a format, where the file itself does not tell which it is."""
    positions: Path | None = None
    """File with the positions, where it does not lie beside the patterns under a name that tells."""
    scan_index: str | None = None
    """'points': the key numbers the scan points, which belong to one object; 'objects': it numbers the objects."""
    nphotons: float | None = None
    """Mean photons of a pattern; brings amplitudes that were divided by an unknown number back to counts."""
    pixel_size_m: float | None = None
    """Side of an object pixel; turns positions in metres into pixels."""
    energy_eV: float | None = None
    """Photon energy."""
    distance_m: float | None = None
    """From the object to the detector."""
    detector_pixel_m: float | None = None
    """Side of a detector pixel."""
    swap_xy: bool = False
    """Take columns for rows and rows for columns in the positions."""
    negate_x: bool = False
    """Mirror the columns of the positions."""
    negate_y: bool = False
    """Mirror the rows of the positions."""
    rotate_deg: float = 0.0
    """Turn the positions by this angle, from x towards y, before they are swapped or mirrored."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: one breaks its rule.
        """
        require_choice("scan_index", self.scan_index, SCAN_INDEX_MEANINGS)
        for name in ("swap_xy", "negate_x", "negate_y"):
            require_bool(name, getattr(self, name))
        if isinstance(self.rotate_deg, bool) or not (
            isinstance(self.rotate_deg, int | float) and math.isfinite(self.rotate_deg)
        ):
            raise ConfigError(f"rotate_deg = {self.rotate_deg!r}; expected an angle in degrees. Give a number.")
        for name in ("nphotons", "pixel_size_m", "energy_eV", "distance_m", "detector_pixel_m"):
            value = getattr(self, name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (is_number and math.isfinite(value) and value > 0):
                raise ConfigError(f"{name} = {value}; expected a number above 0. Give it in the unit of its name.")

    def stated(self) -> dict[str, Any]:
        """Return what differs from the defaults, by name, as plain values."""
        given = {item.name: getattr(self, item.name) for item in fields(self)}
        defaults = {item.name: item.default for item in fields(self)}
        return {
            name: str(value) if isinstance(value, Path) else value
            for name, value in given.items()
            if value != defaults[name]
        }

    def absolute(self) -> Reading:
        """Return the same with a path that means the same from every working folder."""
        return self if self.positions is None else replace(self, positions=self.positions.absolute())


ASK_THE_FILE: Final = Reading()
"""Nothing is stated."""


def reading_of(options: Mapping[str, Any]) -> Reading:
    """Return what a mapping states.

    Args:
        options: fields of `Reading` by name; None is not stated.

    Returns:
        The same, checked.

    Raises:
        ConfigError: a name that is none, or a value that breaks its rule.
    """
    if not isinstance(options, Mapping):
        raise ConfigError(f"reading = {options!r} must map options to values. Write for example pixel_size_m: 1.0e-8.")
    names = [item.name for item in fields(Reading)]
    for name in options:
        if name not in names:
            raise ConfigError(f"'{name}' is no option on reading scans.{nearest_name(str(name), names)} Leave it out.")
    given = {name: value for name, value in options.items() if value is not None}
    if "positions" in given:
        given["positions"] = Path(given["positions"])
    return Reading(**given)
