"""What a simulated scan is made of; every rule is checked in the constructor."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from ptychopinn_backend.config.checks import (
    is_number,
    require_choice,
    require_in_unit_interval,
    require_non_negative,
    require_positive,
    require_positive_integer,
)
from ptychopinn_backend.errors import ConfigError

OBJECTS: Final = ("dead_leaves", "random_field", "lines", "siemens", "file")
PROBES: Final = ("disk", "gaussian", "zone_plate", "file")
SCANS: Final = ("raster", "jittered", "spiral", "random")
SMALLEST_SIZE: Final = 16


@dataclass(frozen=True)
class SimulationConfig:
    """Object, probe, scan and detector of a simulated measurement; lengths in object pixels."""

    size: int = 64
    """Side N of patterns and probe in pixels, even, at least 16."""
    patterns: int = 1000
    """Scan points."""
    photons: float = 1e6
    """Photons that reach the detector in a pattern, on average over the scan."""
    object: str = "dead_leaves"
    """dead_leaves, random_field, lines, siemens, or file."""
    object_file: Path | None = None
    """For object 'file': image (brightness is thickness), NPY, or NPZ with objectGuess; complex values are kept."""
    feature_px: float | None = None
    """Size of the object's larger features; None means size / 4."""
    amplitude_min: float = 0.5
    """Smallest transmission amplitude."""
    amplitude_max: float = 1.0
    """Largest transmission amplitude."""
    phase_min_rad: float = -1.0
    """Smallest phase shift."""
    phase_max_rad: float = 1.0
    """Largest phase shift."""
    probe: str = "disk"
    """disk, gaussian, zone_plate, or file."""
    probe_file: Path | None = None
    """For probe 'file': NPZ with probeGuess (N, N) or (mode, N, N)."""
    probe_diameter_px: float | None = None
    """Width of the disk, of the Gaussian at half maximum, or of the defocused zone-plate beam; None: size / 2."""
    probe_curvature_rad: float = 4.0
    """Phase at the radius of disk or Gaussian relative to the centre; a flat phase leaves the twin image possible."""
    zone_plate_aperture: float = 0.4
    """Radius of the zone plate's cone on the detector, as a fraction of size / 2."""
    zone_plate_stop: float = 0.3
    """Diameter of the zone plate's central stop, as a fraction of the aperture."""
    defocus_px2: float | None = None
    """Propagation, wavelength * distance / pixel area; None: 0, or for the zone plate what gives its diameter."""
    modes: int | None = None
    """Incoherent probe modes; None: 1, or all that the probe file holds."""
    mode_fractions: tuple[float, ...] | None = None
    """Power of every mode as a fraction of the whole; None: each has half of the one before (file: as they are)."""
    scan: str = "jittered"
    """raster, jittered (raster with random displacements), spiral (Fermat), or random."""
    step_px: float | None = None
    """Mean distance of neighbouring scan points; None means a quarter of the probe's diameter."""
    jitter: float = 0.3
    """Largest displacement of a jittered scan along each axis, as a fraction of the step."""
    position_error_px: float = 0.0
    """Standard deviation, along each axis, of the difference between recorded and true positions."""
    beam_stop_px: float = 0.0
    """Diameter of an opaque disk at the centre of the detector, in detector pixels."""
    bad_pixel_fraction: float = 0.0
    """Fraction of the detector's pixels that are bad: half of them dead (0), half hot (the scan's largest count)."""

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            ConfigError: a field breaks its rule.
        """
        for name in ("object_file", "probe_file"):
            value = getattr(self, name)
            if value is None:
                continue
            if not isinstance(value, str | Path):
                raise ConfigError(f"{name} = {value!r} must be a path. Give the name of a file.")
            object.__setattr__(self, name, Path(value))
        require_positive_integer("size", self.size)
        if self.size < SMALLEST_SIZE or self.size % 2:
            raise ConfigError(f"size = {self.size} must be even and at least {SMALLEST_SIZE}. Use 64, 128 or 256.")
        require_positive_integer("patterns", self.patterns)
        require_positive("photons", self.photons)
        self._check_object()
        self._check_probe()
        self._check_modes()
        require_choice("scan", self.scan, SCANS)
        if self.step_px is not None:
            require_positive("step_px", self.step_px)
        for name in ("jitter", "position_error_px", "beam_stop_px"):
            require_non_negative(name, getattr(self, name))
        if self.beam_stop_px >= self.size:
            raise ConfigError(
                f"beam_stop_px = {self.beam_stop_px} covers the detector of {self.size} pixels. Use a smaller one."
            )
        if not is_number(self.bad_pixel_fraction) or not 0 <= self.bad_pixel_fraction <= 0.5:
            raise ConfigError(
                f"bad_pixel_fraction = {self.bad_pixel_fraction!r} must lie in [0, 0.5]. Keep most pixels good."
            )

    def _check_object(self) -> None:
        require_choice("object", self.object, OBJECTS)
        _require_file("object", self.object, self.object_file)
        if self.feature_px is not None:
            require_positive("feature_px", self.feature_px)
        require_non_negative("amplitude_min", self.amplitude_min)
        require_positive("amplitude_max", self.amplitude_max)
        for name in ("phase_min_rad", "phase_max_rad"):
            if not is_number(getattr(self, name)):
                raise ConfigError(f"{name} = {getattr(self, name)!r} must be a finite number. Give radians.")
        for low, high in (("amplitude_min", "amplitude_max"), ("phase_min_rad", "phase_max_rad")):
            if getattr(self, low) > getattr(self, high):
                raise ConfigError(
                    f"{low} = {getattr(self, low)} is above {high} = {getattr(self, high)}. Exchange the two."
                )

    def _check_probe(self) -> None:
        require_choice("probe", self.probe, PROBES)
        _require_file("probe", self.probe, self.probe_file)
        if self.probe_diameter_px is not None:
            require_positive("probe_diameter_px", self.probe_diameter_px)
            if self.probe_diameter_px > self.size:
                raise ConfigError(
                    f"probe_diameter_px = {self.probe_diameter_px} is wider than the pattern of {self.size} pixels. "
                    "Use half the size."
                )
        for name in ("zone_plate_aperture", "zone_plate_stop"):
            require_in_unit_interval(name, getattr(self, name))
        if self.zone_plate_aperture == 0 or self.zone_plate_stop == 1:
            raise ConfigError(
                f"zone_plate_aperture = {self.zone_plate_aperture} with zone_plate_stop = {self.zone_plate_stop} lets "
                "no light through. Open the aperture."
            )
        for name in ("probe_curvature_rad", "defocus_px2"):
            value = getattr(self, name)
            if value is not None and not is_number(value):
                raise ConfigError(f"{name} = {value!r} must be a finite number. Give 0 for none.")

    def _check_modes(self) -> None:
        if self.modes is not None:
            require_positive_integer("modes", self.modes)
        if self.mode_fractions is None:
            return
        fractions = self.mode_fractions
        if not isinstance(fractions, (list, tuple)) or not all(is_number(f) and f > 0 for f in fractions):
            raise ConfigError(f"mode_fractions = {fractions!r} must be numbers above 0, one per mode. Give a list.")
        object.__setattr__(self, "mode_fractions", tuple(float(f) for f in fractions))
        if not math.isclose(sum(fractions), 1.0, abs_tol=1e-3):
            raise ConfigError(f"mode_fractions = {fractions!r} sum to {sum(fractions):g}, not 1. Scale them.")
        if self.modes is not None and len(fractions) != self.modes:
            raise ConfigError(
                f"mode_fractions = {fractions!r} are {len(fractions)} for modes = {self.modes}. Give one per mode."
            )

    @property
    def diameter_px(self) -> float:
        """The probe's diameter, given or default."""
        return self.size / 2 if self.probe_diameter_px is None else self.probe_diameter_px

    @property
    def scan_step_px(self) -> float:
        """The mean distance of neighbouring scan points, given or default."""
        return self.diameter_px / 4 if self.step_px is None else self.step_px

    @property
    def feature_size_px(self) -> float:
        """The size of the object's larger features, given or default."""
        return self.size / 4 if self.feature_px is None else self.feature_px

    def as_json(self) -> dict[str, Any]:
        """Return the fields as JSON values; paths as text."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}


def _require_file(field: str, kind: str, file: Path | None) -> None:
    if (kind == "file") != (file is not None):
        problem = "needs a file" if kind == "file" else f"does not use {field}_file = {str(file)!r}"
        raise ConfigError(f"{field} = {kind!r} {problem}. Give {field} = 'file' together with {field}_file.")
