"""Calibration of a scan by its own patterns: object, probe, positions, beam strength; see specs/calibration.md."""

from ptychopinn_backend.calibration.calibrate import calibrate
from ptychopinn_backend.calibration.classical import classical_object
from ptychopinn_backend.calibration.options import CalibrationOptions
from ptychopinn_backend.calibration.result import Calibration, calibrated_scan

__all__ = [
    "Calibration",
    "CalibrationOptions",
    "calibrate",
    "calibrated_scan",
    "classical_object",
]
