"""Test of an uncertainty: the part of the errors that lies within one and within two uncertainties."""

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

    For a normal error these parts are 0.68 and 0.95.

    Args:
        reconstruction: reconstruction with uncertainties.
        aligned: the same reconstruction and the truth, from `align_objects`.

    Returns:
        'amplitude_within_one', 'amplitude_within_two', 'phase_within_one' and 'phase_within_two'. It is an empty
        dictionary if the reconstruction has no uncertainties, or if no pixel is known.
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
