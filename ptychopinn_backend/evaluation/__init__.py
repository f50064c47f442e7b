"""How good a reconstruction is: against the measured counts, a ground truth or another reconstruction."""

from ptychopinn_backend.evaluation.scan_fit import FLOOR_PATTERNS, ScanFit, scan_fit, scan_r_factors
from ptychopinn_backend.evaluation.scores import (
    MAX_SHIFT_PX,
    MIN_REGION_PX,
    MIN_RELATIVE_WEIGHT,
    AlignedObjects,
    align_objects,
    compare_objects,
    evaluate,
    half_data_frc_px,
)

__all__ = [
    "FLOOR_PATTERNS",
    "MAX_SHIFT_PX",
    "MIN_REGION_PX",
    "MIN_RELATIVE_WEIGHT",
    "AlignedObjects",
    "ScanFit",
    "align_objects",
    "compare_objects",
    "evaluate",
    "half_data_frc_px",
    "scan_fit",
    "scan_r_factors",
]
