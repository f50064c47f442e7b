"""Scans away from the ideal: fewer photons, fewer positions, positions that are off, a probe that is only guessed."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.spread_points import spread_points

REGIMES: Final = ("full", "p1e5", "p1e4", "p1e3", "e4", "e8", "e16", "j1.5", "j3", "init")
"""'p1e4': 1e4 photons per pattern. 'e8': every eighth position. 'j1.5': positions with errors of 1.5 px (sigma).
'init': the probe is only a guess."""


def in_regime(scan: RawData, name: str, guess: RawData | None = None, seed: int = 7) -> RawData:
    """Return a scan as it would have been measured, or described, with less.

    Args:
        scan: rich, with a probe.
        name: one of `REGIMES`, or another number in the same form.
        guess: the scan with the probe that is only a guess; for 'init'.
        seed: of counts and errors.

    Returns:
        The scan.
    """
    rng = np.random.default_rng(seed)
    if name == "full":
        return scan
    if name == "init":
        assert guess is not None
        assert guess.probeGuess is not None
        light = np.sum(np.abs(guess.probeGuess) ** 2, dtype=np.float64)
        return replace(scan, probeGuess=(guess.probeGuess * np.sqrt(scan.mean_photons / light)).astype(np.complex64))
    kind, amount = name[0], float(name[1:])
    if kind == "p":
        return _thinned(scan, amount / scan.mean_photons, rng)
    if kind == "e":
        return scan.select(spread_points(scan.positions_xy, round(scan.n_patterns / amount)))
    if kind == "j":
        errors = rng.normal(0, amount, (2, scan.n_patterns))
        return replace(scan, xcoords=scan.xcoords + errors[0], ycoords=scan.ycoords + errors[1])
    raise ValueError(f"unknown regime {name!r}; known are {', '.join(REGIMES)}")


def _thinned(scan: RawData, part: float, rng: np.random.Generator) -> RawData:
    """Return a scan of which each photon was counted with a probability; the probe gets as much less light."""
    assert scan.probeGuess is not None
    counts = np.rint(np.square(scan.diff3d, dtype=np.float64)).astype(np.int64)
    fewer = rng.binomial(counts, min(1.0, part))
    probe = np.asarray(scan.probeGuess * np.sqrt(part), np.complex64)
    return replace(scan, diff3d=np.sqrt(fewer).astype(np.float32), probeGuess=probe)
