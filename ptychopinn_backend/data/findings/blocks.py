"""Blocks of a detector that count by themselves, for example the fill values of a gap or a hot corner.

A single hot pixel is brighter than its neighbours. A pixel inside a block is not, but the block ends within a pixel on
all sides. Some light ends as sharply: the bright disc or ring of a lens, and the orders of a grating. Such light lies
around the middle of the pattern, or at the places that the probe's own far field lights. It does not run from one
border of the detector to the other.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ptychopinn_backend.arrays import BoolArray, Complex64Array, Float64Array

_FEWEST_PATTERNS: Final = 6
_ENOUGH: Final = 32
"""Number of patterns that are enough for the quantile."""
_OFTEN: Final = 0.8
"""Quantile over patterns of a pixel's counts. The pixel counts this value or more in over a fifth of the patterns."""
_SHARP: Final = 10.0
"""Ratio of this quantile in a block to that around the block, from which on the block may be hot."""
_SHARPER: Final = 30.0
"""The same ratio for a block that is no brighter than the light."""
_FEWEST_SHARP: Final = 3
"""Smallest number of pixels around bright ones that must be darker by this ratio. Fewer may be chance."""
_FAINTEST: Final = 0.01
"""Part of the light's peak. Blocks that are darker are not looked for."""
_LEVEL: Final = 3.0
"""Most values of a block lie within this factor."""
_FEWEST_PHOTONS: Final = 30.0
_LARGEST_SHARE: Final = 0.25
"""Largest part of the detector that blocks may cover. If they cover more, they are the pattern itself."""
_MIRRORED: Final = 0.25
"""If at least this part of a bright place is as bright at the opposite side of the pattern, the place is light."""
_LIT: Final = 0.01
"""Part of the peak of the probe's far field. Pixels above it count as lit by the probe."""
_LIT_SHARE: Final = 0.75
"""Part of a bright place that the probe must light, so that the place is light."""
_FILLED: Final = 0.25
"""Smallest size of such a place, as a part of the lit area."""
_MOST_LEVELS: Final = 8


def hot_blocks(counts: Float64Array, probe: Complex64Array | None, good: BoolArray, unit: float) -> BoolArray:
    """Find blocks of pixels that are hot in more than a fifth of the patterns.

    Blocks that are much darker than the light's peak are not looked for.

    Args:
        counts: counts of some patterns (pattern, N, N), 0 at bad pixels.
        probe: modes of the probe (mode, N, N), or None.
        good: mask (N, N), True for good pixels.
        unit: counts of one photon, in the unit of `counts`.

    Returns:
        Mask (N, N), True for pixels of hot blocks. No pixel is True if there are too few patterns to decide.
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
    """Return the mask (N, N) of those connected parts of the bright pixels (N, N) that are no light."""
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
    """Return whether the pixels of a mask (N, N) reach from one border of the detector to the other."""
    rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
    return len(part) - 1 in (rows[-1] - rows[0], columns[-1] - columns[0])


def _is_of_probe(part: BoolArray, probe: Complex64Array | None, filled: float) -> bool:
    """Return whether bright pixels (N, N) lie in the light of the probe's far field, and fill enough of it."""
    if probe is None:
        return False
    light = np.sum(np.abs(np.fft.fftshift(np.fft.fft2(probe), axes=(-2, -1))) ** 2, axis=0)
    lit = light >= _LIT * light.max()
    return bool(_grown(_grown(lit))[part].mean() >= _LIT_SHARE and part.sum() >= filled * lit.sum())


def _grown(pixels: BoolArray) -> BoolArray:
    """Return a mask (N, N) of pixels with their eight neighbours added."""
    framed = np.pad(pixels, 1)
    of_three = framed[:-2] | framed[1:-1] | framed[2:]
    return np.asarray(of_three[:, :-2] | of_three[:, 1:-1] | of_three[:, 2:])
