"""Quality of a reconstruction, against the measured counts, a ground truth or another reconstruction."""

from ptychopinn_backend.evaluation.scan_fit import (
    FLOOR_PATTERNS,
    ScanFit,
    pattern_r_factors,
    scan_fit,
    scan_r_factors,
)
from ptychopinn_backend.evaluation.scores import (
    MAX_SHIFT_PX,
    MIN_REGION_PX,
    MIN_RELATIVE_WEIGHT,
    AlignedObjects,
    align_objects,
    compare_objects,
    evaluate,
    half_data_frc_px,
    object_correlation,
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
    "object_correlation",
    "pattern_r_factors",
    "scan_fit",
    "scan_r_factors",
]
