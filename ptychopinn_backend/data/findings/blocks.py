"""Blocks of a detector that count by themselves: fill values of a gap, a hot corner.

A hot pixel stands above its neighbours. Inside a block it does not; but the block ends within a pixel on all sides.
Light may, too: the bright disc or ring of a lens, the orders of a grating. Those lie around the middle of the pattern,
or where the probe's own far field has its light, and do not run from one border of the detector to the other.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ptychopinn_backend.arrays import BoolArray, Complex64Array, Float64Array

_FEWEST_PATTERNS: Final = 6
_ENOUGH: Final = 32
"""Patterns of which the quantile is taken."""
_OFTEN: Final = 0.8
"""Quantile over patterns of a pixel's counts: what it counts in more than a fifth of them ..."""
_SHARP: Final = 10.0
"""... is this many times what is counted around a block ..."""
_SHARPER: Final = 30.0
"""... and this many where the block is no brighter than the light."""
_FEWEST_SHARP: Final = 3
"""Pixels around bright ones that are so much darker; fewer are chance."""
_FAINTEST: Final = 0.01
"""Part of the light's peak below which blocks are not looked for."""
_LEVEL: Final = 3.0
"""Values of a block lie within this factor, mostly."""
_FEWEST_PHOTONS: Final = 30.0
_LARGEST_SHARE: Final = 0.25
"""Part of the detector; more is the pattern."""
_MIRRORED: Final = 0.25
"""Part of a bright place that is as bright at the opposite side of the pattern, where it is light."""
_LIT: Final = 0.01
"""Part of the peak of a probe's far field from which on there is light ..."""
_LIT_SHARE: Final = 0.75
"""... on this part of a bright place that is light ..."""
_FILLED: Final = 0.25
"""... which is at least this large a part of the lit area."""
_MOST_LEVELS: Final = 8


def hot_blocks(counts: Float64Array, probe: Complex64Array | None, good: BoolArray, unit: float) -> BoolArray:
    """Find blocks of pixels that are hot in more than a fifth of the patterns, not much darker than the light's peak.

    Args:
        counts: some patterns (pattern, N, N), 0 at bad pixels.
        probe: (mode, N, N), or None.
        good: good pixels (N, N).
        unit: a photon, in the unit of the counts.

    Returns:
        (N, N); none where too few patterns are given to tell.
    """
    found = np.zeros(good.shape, np.bool_)
    if len(counts) < _FEWEST_PATTERNS:
        return found
    counts = counts[:: max(1, len(counts) // _ENOUGH)]
    place = int(_OFTEN * (len(counts) - 1))
    often = np.partition(counts, place, axis=0)[place]
    light = 0.0
    level = np.inf
    # One level after the other, from the brightest down to a part of the light's.
    for _ in range(_MOST_LEVELS):
        rest = np.where(good & ~found & (often < level), often, 0.0)
        level = float(rest.max()) / _LEVEL
        if level < max(_FEWEST_PHOTONS * unit, _FAINTEST * light):
            break
        bright = (often >= level) & good & ~found
        blocks = _blocks(bright, often, good & ~found, probe, is_brightest=light == 0)
        found |= blocks
        if (bright & ~blocks).any():
            light = max(light, _LEVEL * level)
        else:
            level = np.inf
    return found if found.sum() <= _LARGEST_SHARE * good.sum() else found & False


def _blocks(
    bright: BoolArray, values: Float64Array, good: BoolArray, probe: Complex64Array | None, *, is_brightest: bool
) -> BoolArray:
    """Return those connected parts of the bright pixels (N, N) that are no light."""
    found = np.zeros(bright.shape, np.bool_)
    sharp = _SHARP if is_brightest else _SHARPER
    rim = _grown(bright) & ~bright & good
    # Most light fades, and needs no further look.
    if not bright.any() or np.sum(values[rim] * sharp <= values[bright].min()) < _FEWEST_SHARP:
        return found
    from scipy import ndimage

    opposite = np.roll(bright[::-1, ::-1], 1, axis=(0, 1))
    solid = ndimage.binary_opening(bright, np.ones((2, 2), np.bool_))
    labels, count = ndimage.label(bright, np.ones((3, 3), np.bool_))
    for label in range(1, count + 1):
        part = labels == label
        rim = _grown(part) & ~bright & good
        if not (part & solid).any() or not rim.any():
            continue
        is_sharp = np.median(values[rim]) * sharp <= np.quantile(values[part], 0.25)
        is_light = not _crosses(part) and (
            opposite[part].mean() >= _MIRRORED or _is_of_probe(part, probe, _FILLED if is_brightest else 0.0)
        )
        if is_sharp and not is_light:
            found |= part & (values >= np.median(values[part]) / 2)
    return found


def _crosses(part: BoolArray) -> bool:
    """Return whether pixels (N, N) reach from one border to the other."""
    rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
    return len(part) - 1 in (rows[-1] - rows[0], columns[-1] - columns[0])


def _is_of_probe(part: BoolArray, probe: Complex64Array | None, filled: float) -> bool:
    """Return whether bright pixels (N, N) lie where the probe's far field has light, and are that part of it."""
    if probe is None:
        return False
    light = np.sum(np.abs(np.fft.fftshift(np.fft.fft2(probe), axes=(-2, -1))) ** 2, axis=0)
    lit = light >= _LIT * light.max()
    return bool(_grown(_grown(lit))[part].mean() >= _LIT_SHARE and part.sum() >= filled * lit.sum())


def _grown(pixels: BoolArray) -> BoolArray:
    """Return pixels (N, N) with their eight neighbours."""
    framed = np.pad(pixels, 1)
    of_three = framed[:-2] | framed[1:-1] | framed[2:]
    return np.asarray(of_three[:, :-2] | of_three[:, 1:-1] | of_three[:, 2:])
