"""What is read off a scan before it is trained on: width and phase of its probe, overlap, dose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from ptychopinn_backend.arrays import ComplexArray, Float64Array, IntArray

FLAT_PROBE: Final = 0.9
"""|sum P |P|| / sum |P|^2 of the first mode, 1 for a real positive probe, from which on its phase counts as flat."""

_LIGHT_FRACTION: Final = 0.9
_SAME_PLACE: Final = 0.05
"""Positions nearer to one another than this part of the probe's width are one place, measured again."""
_NEIGHBOURS: Final = 16


class DescribedScan(Protocol):
    """What a preset must know of a scan."""

    @property
    def n_patterns(self) -> int:
        """Number of scan points."""

    @property
    def N(self) -> int:
        """Pattern side in pixels."""

    @property
    def probeGuess(self) -> ComplexArray | None:
        """Probe (mode, N, N) or (N, N), or None."""

    @property
    def positions_xy(self) -> Float64Array:
        """Scan positions (pattern, 2), pixels."""

    @property
    def object_of_position(self) -> IntArray:
        """Number of the object that every position belongs to (pattern,)."""

    @property
    def mean_photons(self) -> float | None:
        """Mean counts of a pattern, or None where the patterns have not been read yet."""

    @property
    def counts_in_light(self) -> float | None:
        """Mean counts of a pixel as a photon meets it; None where values are no counts or have not been read yet."""


@dataclass(frozen=True)
class ScanTraits:
    """What the choice of a preset depends on."""

    N: int
    """Pattern side in pixels."""
    n_patterns: int
    """Scan points."""
    probe_width_px: float
    """Diameter of the circle around the probe's centre of light that holds nine tenths of it."""
    flatness: float
    """How flat the phase of the first probe mode is; 1 is a real positive probe."""
    step_px: float
    """Median distance of a place of the scan to the nearest other place on the same object, pixels."""
    photons: float | None
    """Mean counts of a pattern, or None."""

    @property
    def overlap(self) -> float:
        """Part of the probe's width that neighbouring patches share."""
        return max(0.0, 1 - self.step_px / self.probe_width_px)

    def __str__(self) -> str:
        """Describe the scan in one line."""
        wide = "wider" if self.probe_width_px > self.N / 2 else "no wider"
        phase = "flat" if self.flatness >= FLAT_PROBE else "curved"
        dose = "" if self.photons is None else f", {self.photons:.2g} photons per pattern"
        return (
            f"{self.n_patterns} patterns, probe {self.probe_width_px:.0f} px ({wide} than N/2) with a {phase} phase, "
            f"{self.overlap:.0%} overlap{dose}"
        )


def scan_traits(scan: DescribedScan, *, counted: bool = True) -> ScanTraits | None:
    """Measure what the choice of a preset depends on.

    Args:
        scan: the scan.
        counted: ask for its mean counts, for which patterns may have to be summed; False leaves `photons` open.

    Returns:
        Its traits, or None without a probe or without a second point.
    """
    if scan.probeGuess is None or scan.n_patterns < 2:
        return None
    modes = np.asarray(scan.probeGuess, np.complex128).reshape(-1, scan.N, scan.N)
    light = np.sum(np.abs(modes) ** 2, axis=0)
    total = light.sum()
    if not (np.isfinite(total) and total > 0):
        return None
    width = light_width_px(light)
    power = np.sum(np.abs(modes[0]) ** 2)
    return ScanTraits(
        N=scan.N,
        n_patterns=scan.n_patterns,
        probe_width_px=width,
        flatness=float(abs(np.sum(modes[0] * np.abs(modes[0]))) / power) if power > 0 else 1.0,
        step_px=neighbour_step(scan.positions_xy, scan.object_of_position, _SAME_PLACE * width),
        photons=scan.mean_photons if counted else None,
    )


def neighbour_step(positions_xy: Float64Array, object_of_position: IntArray, same_place_px: float = 0.0) -> float:
    """Return how far neighbouring places of a scan are apart; objects apart, and a place measured again counts once.

    Args:
        positions_xy: (pattern, 2), pixels.
        object_of_position: (pattern,); only positions on the same object are neighbours.
        same_place_px: positions within this distance are one place.

    Returns:
        Median over places of the distance to the nearest other one, pixels; 0 where there is no other.
    """
    steps = [
        _steps(positions_xy[object_of_position == index], same_place_px) for index in np.unique(object_of_position)
    ]
    known = np.concatenate(steps)
    return float(np.median(known)) if len(known) else 0.0


def _steps(positions_xy: Float64Array, same_place_px: float) -> Float64Array:
    """Return the distance of places to the nearest other one (place,), of those that have one."""
    from scipy.spatial import cKDTree

    cells = np.floor(positions_xy / same_place_px) if same_place_px > 0 else positions_xy
    _, first = np.unique(cells, axis=0, return_index=True)
    # Two points of one place may lie in neighbouring cells.
    places = positions_xy[first]
    distances = np.asarray(cKDTree(places).query(places, k=min(_NEIGHBOURS, len(places)))[0]).reshape(len(places), -1)
    nearest = np.where(distances > same_place_px, distances, np.inf).min(axis=1)
    return np.asarray(nearest[np.isfinite(nearest)])


def light_width_px(light: Float64Array) -> float:
    """Return how wide a probe is.

    Args:
        light: intensity (N, N), not zero everywhere.

    Returns:
        Diameter of the circle around the centre of light that holds nine tenths of it, pixels.
    """
    total, axis = light.sum(), np.arange(len(light))
    row, column = (light.sum(axis=1) @ axis) / total, (light.sum(axis=0) @ axis) / total
    distance = np.hypot(axis[:, None] - row, axis[None, :] - column).ravel()
    order = np.argsort(distance)
    enclosed = np.searchsorted(np.cumsum(light.ravel()[order]), _LIGHT_FRACTION * total)
    return max(1.0, 2 * float(distance[order[min(enclosed, len(order) - 1)]]))
