"""Options of a calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ptychopinn_backend.config.checks import require_choice
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.physics.likelihood import LIKELIHOODS

PROBE_STARTS: Final = ("scan", "none")
DEFAULT_MODES: Final = 3
DEFAULT_SMOOTHNESS: Final = 15.0
"""Default strength of the prior, photons per pixel. Neighbours in an object of amplitude 1 then differ by about 0.2."""
AUTO: Final = "auto"


@dataclass(frozen=True)
class CalibrationOptions:
    """Options of a calibration: what it refines, and where it starts."""

    probe: str = "scan"
    """'scan' starts with the scan's probeGuess. 'none' starts with the mean pattern at several defocuses."""
    modes: int | None = None
    """Number of incoherent probe modes; None takes 3, or as many as the scan's probe has if these are more."""
    refine_probe: bool = True
    """True refines the probe. If this and `positions` are False, only the object is fitted."""
    positions: bool = True
    """True refines positions."""
    strengths: bool | None = None
    """True refines the light of every pattern; None refines it if held-out patterns gain by it."""
    likelihood: str = AUTO
    """'amplitude', 'poisson', 'overdispersed', or 'auto' for the one that suits the held-out patterns."""
    aperture_px: float | None = None
    """Diameter of a round aperture on the detector in pixels, to start without a probe; None takes the mean pattern."""
    defocus_px2: float | None = None
    """Defocus to start without a probe; None tries several.

    It is the wavelength times the distance from the focus, in areas of an object pixel.
    """
    position_limit_px: float | None = None
    """Largest distance of a position from an affine image of the given ones, pixels; None takes N / 16, at least 4."""
    smoothness: float = DEFAULT_SMOOTHNESS
    """Strength of the prior on the object in photons per pixel; 0 takes no prior."""
    most_sweeps: int = 40
    """Scale of the number of passes over the patterns. A long stage takes at most a part; the sum may be larger."""
    seed: int = 0
    """Seed of the order of patterns in batches."""

    def __post_init__(self) -> None:
        """Check values.

        Raises:
            ConfigError: a value is out of range.
        """
        require_choice("probe", self.probe, PROBE_STARTS)
        require_choice("likelihood", self.likelihood, (AUTO, *LIKELIHOODS))
        for name, least in (("modes", 1), ("most_sweeps", 1), ("smoothness", 0)):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value >= least):
                raise ConfigError(f"{name} = {value}; it must be at least {least}. Choose such a value.")
        limit = self.position_limit_px
        if limit is not None and not (np.isfinite(limit) and limit > 0):
            raise ConfigError(
                f"position_limit_px = {limit}; it must be above 0. Choose such a value, or leave positions as they are "
                "with positions = False (--no-positions)."
            )
        if self.aperture_px is not None and not self.aperture_px > 0:
            raise ConfigError(f"aperture_px = {self.aperture_px}; a diameter must be above 0. Choose such a value.")
        if self.defocus_px2 is not None and not np.isfinite(self.defocus_px2):
            raise ConfigError(f"defocus_px2 = {self.defocus_px2}; it must be finite. Choose such a value.")
