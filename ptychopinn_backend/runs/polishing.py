"""Polish of a stitched object, as far as held-out patterns are explained better."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from ptychopinn_backend.arrays import BoolArray, Complex64Array, IntArray
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.evaluation.free_fit import FreeFit, counts_are_few, free_fit
from ptychopinn_backend.physics.likelihood import Likelihood, likelihood_for
from ptychopinn_backend.stitching.assembly import ObjectFrame
from ptychopinn_backend.stitching.polish import polish, polish_path
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

logger = logging.getLogger(__name__)

JUDGED_STEPS: Final = (0, 1, 2, 4, 8, 16, 32)
"""Numbers of steps after which held-out patterns judge the object."""
STEPS_UNJUDGED: Final = 8
"""Number of steps for a scan without held-out patterns."""
_PATIENCE: Final = 2
"""Polishing ends after so many checks in a row without a better result."""


@dataclass(frozen=True)
class Polished:
    """A polished object, with the number of its steps."""

    object: Complex64Array
    """Polished object (row, column)."""
    steps: int
    """Number of steps that were taken."""
    fit: FreeFit | None
    """Fit of the object to the held-out patterns; None if no pattern can judge."""


def law_of(scan: RawData) -> Likelihood:
    """Return the likelihood that suits the counts of a scan: Poisson for few counts, otherwise squared amplitudes."""
    valid = scan.N**2 if scan.bad_pixels is None else int((~scan.bad_pixels).sum())
    return likelihood_for("poisson" if counts_are_few(scan) else "amplitude", scan.mean_photons / valid)


def polished(
    stitched: Reconstruction, scan: RawData, kept: RawData, rows: IntArray, steps: int | None, valid: BoolArray | None
) -> Polished:
    """Polish an object with the patterns that are not held out.

    Args:
        stitched: the stitched object at the scale of the counts.
        scan: the whole scan.
        kept: the scan without its held-out patterns.
        rows: rows of the held-out patterns in `scan` (held out,).
        steps: number of steps. None takes the number that explains the held-out patterns best, `STEPS_UNJUDGED` if no
            pattern is held out, and 0 if the held-out patterns cannot judge.
        valid: detector pixels to use (N, N); None uses all.

    Returns:
        The polished object, and how well it fits.
    """
    frame = ObjectFrame((stitched.object.shape[0], stitched.object.shape[1]), stitched.origin_rc)
    given = stitched.object, frame, stitched.probe, kept.positions_xy, kept.diff3d
    if steps is not None or not len(rows):
        count = STEPS_UNJUDGED if steps is None else steps
        obj = polish(*given, count, valid)
        return Polished(obj, count, _fit(stitched, obj, scan, rows))
    first = _fit(stitched, stitched.object, scan, rows)
    if first is None:
        logger.info("Neighbouring patterns hardly overlap, so none can judge a polish: the object stays as stitched.")
        return Polished(stitched.object, 0, None)
    best = Polished(stitched.object, 0, first)
    worse = 0
    for count, obj in enumerate(islice(polish_path(*given, valid, law_of(scan)), JUDGED_STEPS[-1] + 1)):
        if count == 0 or count not in JUDGED_STEPS:
            continue
        fit = _fit(stitched, obj, scan, rows)
        if fit is not None and best.fit is not None and fit.misfit < best.fit.misfit:
            best, worse = Polished(obj, count, fit), 0
        else:
            worse += 1
        if worse == _PATIENCE:
            break
    assert best.fit is not None
    logger.info(
        "Polished by %d steps: R-free %.4f -> %.4f over %d held-out patterns.",
        best.steps,
        first.r,
        best.fit.r,
        first.n_patterns,
    )
    return best


def _fit(stitched: Reconstruction, obj: Complex64Array, scan: RawData, rows: IntArray) -> FreeFit | None:
    return free_fit(replace(stitched, object=obj), scan, rows) if len(rows) else None
