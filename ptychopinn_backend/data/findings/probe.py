"""Probes that do not fit the patterns: the phase lost, or the scale of something else."""

from __future__ import annotations

from typing import Final

import numpy as np

from ptychopinn_backend.arrays import BoolArray, Complex64Array, Float64Array
from ptychopinn_backend.data.findings.finding import Finding

_SHARPER: Final = 0.25
"""Patterns of a real probe are at least this part as peaked as its far field."""
_NEGATIVE_SHARE: Final = 0.2
"""Part of its power that a focused real probe may have below 0; the real part of a curved one has about a half."""
_BRIGHTER: Final = 100.0
_FAINTER: Final = 1e-3
"""Photons of a pattern over those of the probe: above, the object would amplify light; below, hardly any would pass."""
_FEWEST_PATTERNS: Final = 4
_BORDER: Final = 0.5
"""Intensity at the border over the mean, above which a probe is no beam within its array."""
_REAL: Final = 1 - 1e-6
"""|sum P^2| over sum |P|^2, 1 for a real probe times any complex number."""
_ROUNDING: Final = 5e-7
"""Of squares of numbers in single precision, relative."""
_LARGEST_TELLING: Final = 1e5
"""Above, the rounding of a square does not tell whole numbers from others."""


def lost_phase(probe: Complex64Array, sample: Float64Array, good: BoolArray) -> Finding | None:
    """Find a probe without a phase of its own whose far field is not what the patterns show.

    Args:
        probe: (mode, N, N).
        sample: some patterns (pattern, N, N) as counts.
        good: good pixels (N, N).

    Returns:
        The finding, or None; a probe of a flat phase is real and right.
    """
    real = _without_constant_phase(probe)
    if real is None or len(sample) < _FEWEST_PATTERNS or not sample.any():
        return None
    intensity = np.sum(real**2, axis=0)
    border = np.concatenate([intensity[0], intensity[-1], intensity[:, 0], intensity[:, -1]])
    if border.mean() > _BORDER * intensity.mean():
        return None
    negative = float(np.sum(real[real < 0] ** 2) / np.sum(real**2))
    light = np.sum(np.abs(np.fft.fftshift(np.fft.fft2(real), axes=(-2, -1))) ** 2, axis=0) * good
    mean = sample.mean(axis=0) * good
    if not light.any():
        return None
    sharpness = float(mean.max() / mean.sum()) / float(light.max() / light.sum())
    if sharpness >= _SHARPER and negative <= _NEGATIVE_SHARE:
        return None
    why = (
        f"the patterns are {1 / sharpness:.2g} times less peaked than its far field"
        if sharpness < _SHARPER
        else f"{negative:.0%} of its power is negative"
    )
    return Finding(
        "lost-phase",
        "probe",
        "warning",
        f"The probe {'has the same phase everywhere' if np.any(probe.imag) else 'is real'}, and {why}: its phase seems "
        "to be lost.",
        "Store the probe as complex numbers.",
    )


def _without_constant_phase(probe: Complex64Array) -> Float64Array | None:
    """Return modes (mode, N, N) as real numbers, mostly positive; None where one of them is complex at heart."""
    modes = probe.astype(np.complex128)
    squares = np.sum(modes**2, axis=(1, 2))
    power = np.sum(np.abs(modes) ** 2, axis=(1, 2))
    if np.any(np.abs(squares) < _REAL * power):
        return None
    real = (modes * np.exp(-0.5j * np.angle(squares))[:, np.newaxis, np.newaxis]).real
    mostly = np.sum(real * np.abs(real), axis=(1, 2))
    return np.asarray(np.where(mostly < 0, -1.0, 1.0)[:, np.newaxis, np.newaxis] * real)


def are_photons(sample: Float64Array) -> bool:
    """Return whether numbers are counts of photons: whole but for the rounding of their roots.

    Args:
        sample: some patterns (pattern, N, N) as counts.

    Returns:
        False also where none of them tells.
    """
    telling = sample[(sample > 0) & (sample < _LARGEST_TELLING)]
    return bool(len(telling)) and bool((np.abs(telling - np.rint(telling)) <= _ROUNDING * telling).all())


def probe_scale(probe: Complex64Array, sample: Float64Array) -> Finding | None:
    """Find a probe whose intensity has nothing to do with the counts.

    Args:
        probe: (mode, N, N), such that object times probe gives the counts.
        sample: some patterns (pattern, N, N) as counts of photons.

    Returns:
        The finding, or None.
    """
    if not sample.any():
        return None
    photons = float(np.median(sample.sum(axis=(1, 2))))
    power = float(np.sum(np.abs(probe.astype(np.complex128)) ** 2))
    if photons == 0 or _FAINTER <= photons / power <= _BRIGHTER:
        return None
    factor = np.sqrt(photons / power)
    evidence = (
        f"The probe holds {power:.3g} photons and a pattern {photons:.3g}, so that the object's amplitude comes out "
        f"near {factor:.3g} instead of 1."
    )
    remedy = f"Multiply the probe by {factor:.3g} where the amplitude matters."
    return Finding("probe-scale", "probe", "warning", evidence, remedy)
