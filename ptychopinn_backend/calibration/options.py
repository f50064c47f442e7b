"""What calibration refines, and from where."""

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
"""Photons a pixel: neighbours of an object of amplitude 1 differ by some 0.2."""
AUTO: Final = "auto"


@dataclass(frozen=True)
class CalibrationOptions:
    """What is refined, and from where."""

    probe: str = "scan"
    """'scan' begins with the scan's probeGuess; 'none' with the mean pattern, at several defocuses."""
    modes: int | None = None
    """Incoherent probe modes; None takes 3, or as many as the scan's probe has."""
    refine_probe: bool = True
    """Refine the probe; without it, and without positions, only the object is fitted."""
    positions: bool = True
    """Refine positions."""
    strengths: bool | None = None
    """Refine the light of every pattern; None where held-out patterns gain by it."""
    likelihood: str = AUTO
    """'amplitude', 'poisson', 'overdispersed', or 'auto' for the one that suits the held-out patterns."""
    aperture_px: float | None = None
    """Without a probe: diameter of a round aperture on the detector, pixels; None takes the mean pattern."""
    defocus_px2: float | None = None
    """Without a probe: wavelength times distance from the focus over the area of an object pixel; None tries some."""
    position_limit_px: float | None = None
    """How far a position may move from an affine image of the given ones; None is N / 16, at least 4."""
    smoothness: float = DEFAULT_SMOOTHNESS
    """Strength of the prior on the object in photons per pixel; 0 is none."""
    most_sweeps: int = 40
    """Passes over the patterns at most, over all stages."""
    seed: int = 0
    """Of the order of patterns in batches."""

    def __post_init__(self) -> None:
        """Check values.

        Raises:
            ConfigError: a value is out of range.
        """
        require_choice("probe", self.probe, PROBE_STARTS)
        require_choice("likelihood", self.likelihood, (AUTO, *LIKELIHOODS))
        for name, least in (("modes", 1), ("most_sweeps", 1), ("position_limit_px", 0), ("smoothness", 0)):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value >= least):
                raise ConfigError(f"{name} = {value}; it must be at least {least}. Choose such a value.")
        if self.aperture_px is not None and not self.aperture_px > 0:
            raise ConfigError(f"aperture_px = {self.aperture_px}; a diameter must be above 0. Choose such a value.")
        if self.defocus_px2 is not None and not np.isfinite(self.defocus_px2):
            raise ConfigError(f"defocus_px2 = {self.defocus_px2}; it must be finite. Choose such a value.")
