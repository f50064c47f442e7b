"""Which axis of a cube of equal sides counts the patterns, told by what lies along it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray, Float64Array
from ptychopinn_backend.data.findings.finding import Finding
from ptychopinn_backend.data.findings.values import are_impossible

PATTERN_AXIS_KEY: Final = "pattern_axis"
"""In the metadata: 0 or 2, where the file says it itself."""
_CLEARER: Final = 1.5
"""Ratio of the unevenness of light along two axes from which on they are told apart."""
_DARK: Final = 1e-3
"""Part of the bright places along an axis below which there is no light."""


def is_axis_open(shape: tuple[int, ...], n_positions: int, metadata: Mapping[str, Any]) -> bool:
    """Return whether neither shape nor metadata say which axis counts the patterns.

    Args:
        shape: of the patterns as in the file.
        n_positions: scan points.
        metadata: of the scan.

    Returns:
        True for a cube of equal sides with as many positions.
    """
    is_cube = len(shape) == 3 and len(set(shape)) == 1 and shape[0] == n_positions > 1
    return is_cube and PATTERN_AXIS_KEY not in metadata


def pattern_axis(cube: AnyArray) -> int | None:
    """Return along which axis of a cube patterns follow one another, the first or the last.

    Every pattern holds about as many photons; a row or a column of the detector holds more the nearer it is to the
    centre. So the light is spread more evenly over patterns than over rows or columns.

    Args:
        cube: three axes of one length, real.

    Returns:
        0 or 2; None where the light does not tell.
    """
    uneven = [_unevenness(_light_along(cube, axis)) for axis in (0, 2)]
    if uneven[0] * _CLEARER < uneven[1]:
        return 0
    return 2 if uneven[1] * _CLEARER < uneven[0] else None


def unclear_axis(name: str, shape: tuple[int, ...]) -> Finding:
    """Return that the first axis was taken because the patterns do not tell.

    Args:
        name: of the patterns.
        shape: of the cube.

    Returns:
        The finding.
    """
    evidence = (
        f"{name} has shape {shape}, so that patterns may follow one another along the first or the last axis, and "
        "their light does not tell; the first is taken."
    )
    remedy = f'Say it in _metadata: "{PATTERN_AXIS_KEY}": 0, or 2 for the last.'
    return Finding("pattern-axis", "patterns", "warning", evidence, remedy)


def _light_along(cube: AnyArray, axis: int) -> Float64Array:
    others = tuple(other for other in range(3) if other != axis)
    totals = np.zeros(cube.shape[axis])
    step = max(1, 2**21 // cube[0].size)
    # In pieces along the first axis: the cube may be memory-mapped, and sums in float64 would copy it.
    for start in range(0, len(cube), step):
        piece = cube[start : start + step]
        values = np.where(are_impossible(piece), 0, piece).astype(np.float64)
        part = values.sum(axis=others)
        if axis == 0:
            totals[start : start + step] = part
        else:
            totals += part
    return totals


def _unevenness(totals: Float64Array) -> float:
    """Return the spread of the logarithm, of the middle values of those with light; faulty ones do not count.

    Patterns may lack light, however many: never written, or behind a shutter. The rim of a detector lacks it as well,
    and what lies further in is uneven enough.
    """
    lit = totals[totals > 0]
    if not len(lit):
        return 0.02
    low, high = np.quantile(lit[lit > _DARK * np.quantile(lit, 0.9)], (0.1, 0.9))
    return float(np.log(high / low)) + 0.02
