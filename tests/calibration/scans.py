"""Simulated scans with faults that calibration has to find."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from ptychopinn_backend.arrays import Float64Array
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulatedScan, SimulationConfig, simulate


@cache
def simulated(photons: float = 1e6, modes: int = 1) -> SimulatedScan:
    """Return a scan of 121 patterns of 32 x 32, its overlap some 80 %."""
    return simulate(
        SimulationConfig(
            size=32, patterns=121, photons=photons, modes=modes, step_px=3.0, probe="zone_plate", feature_px=6.0
        ),
        3,
    )


def exact(photons: float = 1e6, modes: int = 1) -> RawData:
    """Return the scan with its true probe and positions."""
    return simulated(photons, modes).to_raw_data()


def displaced(scan: RawData, sigma_px: float, seed: int = 1) -> RawData:
    """Return the scan with normal errors on its positions."""
    rng = np.random.default_rng(seed)
    dx, dy = rng.normal(0, sigma_px, (2, scan.n_patterns))
    return replace(scan, xcoords=scan.xcoords + dx, ycoords=scan.ycoords + dy)


def position_errors(found_xy: Float64Array, true_xy: Float64Array) -> Float64Array:
    """Return the lengths of the errors (pattern,), a common shift left out."""
    error = found_xy - true_xy
    return np.asarray(np.hypot(*(error - np.median(error, axis=0)).T))
