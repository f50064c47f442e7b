"""Scan positions: raster, jittered raster, Fermat spiral, random."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from ptychopinn_backend.arrays import Float64Array
from ptychopinn_backend.data.simulation.spec import SimulationConfig

_GOLDEN_ANGLE: Final = math.pi * (3 - math.sqrt(5))


def make_positions(spec: SimulationConfig, rng: np.random.Generator) -> Float64Array:
    """Return the recorded positions of a scan, one for every step x step area on average.

    Args:
        spec: the simulation.
        rng: source of randomness.

    Returns:
        (pattern, 2), axis 1 = (x, y), object pixels, in scan order, around an arbitrary origin.
    """
    n, step = spec.patterns, spec.scan_step_px
    if spec.scan == "spiral":
        index = np.arange(n)
        radius, angle = step * np.sqrt(index / np.pi), index * _GOLDEN_ANGLE
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    if spec.scan == "random":
        return np.asarray(rng.uniform(0, step * math.sqrt(n), (n, 2)))
    columns = math.ceil(math.sqrt(n))
    row, column = np.divmod(np.arange(n), columns)
    positions = step * np.stack([column, row], axis=1)
    if spec.scan == "jittered":
        positions = positions + step * rng.uniform(-spec.jitter, spec.jitter, (n, 2))
    return np.asarray(positions, np.float64)
