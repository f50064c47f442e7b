"""The result of a calibration, and the scan with this result."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ptychopinn_backend.arrays import Complex64Array, Float32Array, Float64Array, IntArray
from ptychopinn_backend.calibration.fit import Fit
from ptychopinn_backend.calibration.positions import AffineMap
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.physics.likelihood import Likelihood
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction


@dataclass(frozen=True, eq=False)
class Calibration:
    """Result of a calibration, and whether it should be believed."""

    object: Complex64Array
    """Object (row, column); object times probe gives counts."""
    origin_rc: tuple[float, float]
    """Place of scan coordinate (0, 0) in `object` (row, column), pixels."""
    probe: Complex64Array
    """Probe (mode, N, N) with orthogonal modes, the strongest first."""
    positions_xy: Float64Array
    """Refined positions (pattern, 2), axis 1 = (x, y), pixels."""
    strengths: Float32Array
    """Light of every pattern relative to that of the probe (pattern,); ones if it was not refined."""
    affine: AffineMap
    """Affine map from the given positions to the refined ones."""
    position_spread_px: float
    """Standard deviation of the refined positions around this map, along an axis, pixels; 0 if not refined."""
    likelihood: Likelihood
    """Law of noise at the end."""
    before: Fit | None
    """Fit of the held-out patterns with the given probe and positions, and a fitted object; None without a probe."""
    after: Fit
    """Fit of the held-out patterns at the end."""
    fitted: Fit
    """Fit of the fitted patterns at the end."""
    held_out: IntArray
    """Rows of the held-out patterns."""
    believed: bool
    """Whether probe and positions should replace the given ones."""
    reason: str
    """Reason for this in one sentence."""
    sweeps: int
    """Number of passes over the patterns."""
    elapsed_s: float
    """Duration of the calibration in seconds."""

    def summary(self) -> dict[str, Any]:
        """Return the numbers of the result as JSON values."""
        before = None if self.before is None else self.before.r_factor
        return {
            "r_free_before": before,
            "r_free_after": self.after.r_factor,
            "r_factor": self.fitted.r_factor,
            "log_likelihood_before": None if self.before is None else self.before.log_likelihood,
            "log_likelihood_after": self.after.log_likelihood,
            "likelihood": self.likelihood.name,
            "modes": [round(part, 5) for part in mode_parts(self.probe)],
            "scale": self.affine.scale,
            "rotation_deg": self.affine.rotation_deg,
            "shear": self.affine.shear,
            "position_spread_px": self.position_spread_px,
            "strength_deviation": float(self.strengths.std()),
            "held_out": self.held_out.tolist(),
            "believed": self.believed,
            "reason": self.reason,
            "sweeps": self.sweeps,
            "elapsed_s": self.elapsed_s,
        }

    def to_reconstruction(self) -> Reconstruction:
        """Return object, probe and positions as a reconstruction."""
        return Reconstruction(
            object=self.object,
            origin_rc=self.origin_rc,
            probe=self.probe,
            backend="numpy",
            positions_xy=self.positions_xy,
            info={"calibration": self.summary(), "elapsed_s": self.elapsed_s, "n_patterns": len(self.positions_xy)},
        )


def calibrated_scan(scan: RawData, calibration: Calibration) -> RawData:
    """Return the scan with the probe, positions and beam strength of a calibration.

    Args:
        scan: the scan that was calibrated.
        calibration: the result; if it should not be believed, the scan keeps its own values.

    Returns:
        A new scan. Its nominal positions (`xcoords_start`) are the given ones, unless the scan has nominal positions.
        Its patterns are divided by the strengths. Its metadata have the summary of the calibration as 'calibration'.

    Raises:
        DataError: the calibration has another number of patterns.
    """
    if len(calibration.positions_xy) != scan.n_patterns:
        raise DataError(
            f"The calibration has {len(calibration.positions_xy)} positions, the scan {scan.n_patterns} patterns; both "
            "must be equal. Give the scan that was calibrated."
        )
    metadata = scan.metadata | {"calibration": calibration.summary()}
    if not calibration.believed:
        return replace(scan, metadata=metadata)
    even = bool((calibration.strengths == 1).all())
    root = np.sqrt(calibration.strengths, dtype=np.float32)[:, np.newaxis, np.newaxis]
    return replace(
        scan,
        xcoords=calibration.positions_xy[:, 0].copy(),
        ycoords=calibration.positions_xy[:, 1].copy(),
        xcoords_start=scan.xcoords if scan.xcoords_start is None else scan.xcoords_start,
        ycoords_start=scan.ycoords if scan.ycoords_start is None else scan.ycoords_start,
        probeGuess=calibration.probe,
        diff3d=scan.diff3d if even else np.asarray(scan.diff3d / root, np.float32),
        metadata=metadata,
    )


def mode_parts(probe: Complex64Array) -> list[float]:
    """Return the part of the total light in every mode."""
    powers = np.sum(np.abs(probe.astype(np.complex128)) ** 2, axis=(1, 2))
    return [float(power) for power in powers / powers.sum()]
