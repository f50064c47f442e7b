"""Whether an uncertainty is what it says: how much of the error lies within one and within two of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptychopinn_backend.arrays import FloatArray
from ptychopinn_backend.evaluation.metrics import relative_phases
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

if TYPE_CHECKING:
    from ptychopinn_backend.evaluation.scores import AlignedObjects


def coverage(reconstruction: Reconstruction, aligned: AlignedObjects) -> dict[str, float]:
    """Return the parts of the known pixels whose error lies within one and within two uncertainties.

    Of a normal error these are 0.68 and 0.95.

    Args:
        reconstruction: says how sure it is.
        aligned: the same beside the truth, from `align_objects`.

    Returns:
        'amplitude_within_one', 'amplitude_within_two', 'phase_within_one' and 'phase_within_two'; nothing where the
        reconstruction holds no uncertainty, or no pixel is known.
    """
    amplitude, phase = reconstruction.amplitude_uncertainty, reconstruction.phase_uncertainty
    there = aligned.region
    known = reconstruction.object[there] != 0
    if amplitude is None or phase is None or not known.any():
        return {}
    found, true = relative_phases(aligned.object, aligned.target)
    amplitude_error = (np.abs(aligned.object) - np.abs(aligned.target)) / aligned.amplitude_scale
    parts = {}
    for name, error, uncertainty in (("amplitude", amplitude_error, amplitude), ("phase", found - true, phase)):
        for word, times in (("one", 1), ("two", 2)):
            parts[f"{name}_within_{word}"] = _part_within(error[known], times * uncertainty[there][known])
    return parts


def _part_within(error: FloatArray, limit: FloatArray) -> float:
    return float(np.mean(np.abs(error) <= limit))
