"""The last polish of a stitched object: a few data-consistency steps of a classical solver with all patterns at once.

One step replaces the modulus of every far field by the measured one. It takes the change back to the object, weighted
by the light that fell there: O += sum conj(P) F^-1((A / |F P O| - 1) F P O) / sum |P|^2. This minimises an upper bound
of the squared amplitude error, so no step size must be chosen. The step is the error reduction of Fienup (1982) with
the object update of Thibault et al. (2009) at a fixed probe. Between steps the object moves on as in Nesterov's method,
so that a few steps are enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

import numpy as np

from ptychopinn_backend.arrays import (
    BoolArray,
    Complex64Array,
    Float32Array,
    FloatArray,
    IntArray,
    require_shape,
)
from ptychopinn_backend.physics.data_consistency import FarFieldFit
from ptychopinn_backend.physics.likelihood import Likelihood
from ptychopinn_backend.physics.object_patches import add_patches, extract_patches, window_corners
from ptychopinn_backend.physics.scan_model import pattern_batches
from ptychopinn_backend.stitching.assembly import ObjectFrame

LIGHT_FLOOR: Final = 0.02
"""Fraction of the strongest illumination; at pixels with less light the object changes more slowly."""


def polish(
    obj: Complex64Array,
    frame: ObjectFrame,
    probe: Complex64Array,
    positions_xy: FloatArray,
    amplitudes: FloatArray,
    steps: int,
    valid_pixels: BoolArray | None = None,
    likelihood: Likelihood | None = None,
    patterns: IntArray | None = None,
) -> Complex64Array:
    """Bring an object closer to the measured counts.

    Args:
        obj: the object (row, column), at the scale at which object times probe gives counts. Pixels that are 0 are
            unknown. They stay 0 and count as vacuum.
        frame: frame of the object; patterns whose patch reaches beyond it are left out.
        probe: probe (mode, N, N).
        positions_xy: scan positions (pattern, 2), axis 1 = (x, y), pixels.
        amplitudes: square roots of the counts (pattern, N, N), zero frequency at the array centre.
        steps: number of steps; each costs about two far fields of every pattern. 0 returns the object unchanged.
        valid_pixels: detector pixels to use (N, N); None uses all.
        likelihood: law of noise; None takes that of squared amplitudes.
        patterns: rows of the patterns that take part; None takes all.

    Returns:
        Object (row, column).

    Raises:
        DataError: amplitudes, positions and probe do not fit each other.
    """
    path = polish_path(obj, frame, probe, positions_xy, amplitudes, valid_pixels, likelihood, patterns)
    return next(islice(path, steps, None))


def polish_path(
    obj: Complex64Array,
    frame: ObjectFrame,
    probe: Complex64Array,
    positions_xy: FloatArray,
    amplitudes: FloatArray,
    valid_pixels: BoolArray | None = None,
    likelihood: Likelihood | None = None,
    patterns: IntArray | None = None,
) -> Iterator[Complex64Array]:
    """Yield the object after 0, 1, 2, ... steps of `polish`, which has the same arguments. The iterator never ends.

    Args:
        obj: the object (row, column).
        frame: frame of the object; patterns whose patch reaches beyond it are left out.
        probe: probe (mode, N, N).
        positions_xy: scan positions (pattern, 2), axis 1 = (x, y), pixels.
        amplitudes: square roots of the counts (pattern, N, N).
        valid_pixels: detector pixels to use (N, N); None uses all.
        likelihood: law of noise; None takes that of squared amplitudes.
        patterns: rows of the patterns that take part; None takes all.

    Yields:
        Object (row, column).
    """
    N = probe.shape[-1]
    require_shape("amplitudes", amplitudes, (len(positions_xy), N, N), "(pattern, N, N)")
    corners, _ = window_corners(frame.origin_rc, positions_xy, N)
    inside = np.flatnonzero(((corners >= 0) & (corners + N + 1 <= frame.shape)).all(axis=1))
    if patterns is not None:
        inside = np.intersect1d(inside, patterns)
    while not len(inside):
        yield obj
    yield obj
    positions = positions_xy[inside]
    gain = _inverse_illumination(frame, probe, positions)
    known = obj != 0
    vacuum = np.abs(obj[known]).mean() if known.any() else 1.0
    current = before = np.where(known, obj, np.complex64(vacuum))
    momentum = 1.0
    fit = FarFieldFit(len(probe), N, likelihood or Likelihood(), valid_pixels)
    while True:
        next_momentum = (1 + float(np.sqrt(1 + 4 * momentum**2))) / 2
        ahead = np.float32((momentum - 1) / next_momentum)
        moved = np.asarray(current + ahead * (current - before), np.complex64)
        change = np.zeros_like(obj)
        for start in range(0, len(inside), fit.batch_size):
            some = slice(start, start + fit.batch_size)
            patches = extract_patches(moved, frame.origin_rc, positions[some], N)
            waves, _ = fit.change(patches, probe, np.asarray(amplitudes[inside[some]], np.float32))
            add_patches(change, fit.onto_object(waves, probe), frame.origin_rc, positions[some])
        before, current, momentum = current, moved + gain * change, next_momentum
        yield np.where(known, current, np.complex64(0))


def _inverse_illumination(frame: ObjectFrame, probe: Complex64Array, positions_xy: FloatArray) -> Float32Array:
    """Return 1 / (sum over patterns of |P|^2, plus a floor), shape (row, column)."""
    intensity = np.sum(np.abs(probe) ** 2, axis=0, dtype=np.float32)
    light = np.zeros(frame.shape, np.float32)
    for batch in pattern_batches(len(positions_xy), probe):
        windows = np.broadcast_to(intensity, (len(batch), *intensity.shape))
        add_patches(light, windows, frame.origin_rc, positions_xy[batch])
    return np.asarray(1 / (light + LIGHT_FLOOR * light.max()), np.float32)
