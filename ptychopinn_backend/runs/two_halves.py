"""Resolution of a model on a scan, from two reconstructions that share no pattern."""

from __future__ import annotations

import numpy as np

from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.evaluation import half_data_frc_px
from ptychopinn_backend.runs.reconstruct import reconstruct
from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction


def half_data_resolution_px(model: TrainedModel, scan: RawData, polish_steps: int) -> float:
    """Return the resolution to which two reconstructions agree, one of the even and one of the odd patterns.

    Args:
        model: a trained model.
        scan: the scan, with the probe and the positions of the reconstruction to judge.
        polish_steps: number of polish steps of that reconstruction.

    Returns:
        Half-period in pixels where the ring correlation falls below the half-bit threshold; 1 is the Nyquist limit.

    Raises:
        DataError: the halves have too few patterns, or cover too small a region to compare.
    """
    even, odd = half_reconstructions(model, scan, polish_steps)
    return half_data_frc_px(even, odd, scan.positions_xy)


def half_reconstructions(
    model: TrainedModel, scan: RawData, polish_steps: int
) -> tuple[Reconstruction, Reconstruction]:
    """Reconstruct the even and the odd patterns of a scan separately.

    Args:
        model: a trained model.
        scan: the scan, with the probe and the positions of the reconstruction to judge.
        polish_steps: number of polish steps of that reconstruction.

    Returns:
        The reconstruction of the patterns 0, 2, 4, ... and that of the patterns 1, 3, 5, ...

    Raises:
        DataError: the halves have too few patterns.
    """
    fewest = scan.n_patterns // 2
    if fewest <= model.model.channels:
        raise DataError(
            f"Half of the {scan.n_patterns} patterns are {fewest}; groups of {model.model.channels} neighbours need "
            "more. Use more of the scan, or a model of a smaller grid size."
        )
    even, odd = (
        reconstruct(
            model, scan.select(np.arange(first, scan.n_patterns, 2)), polish_steps=polish_steps, uncertainty=False
        )
        for first in (0, 1)
    )
    return even, odd
