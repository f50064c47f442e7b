"""Calibration of object, probe modes, positions and beam strength of one scan, judged by held-out patterns."""

from __future__ import annotations

import logging
from dataclasses import replace
from time import perf_counter
from typing import Final

import numpy as np

from ptychopinn_backend.arrays import Complex64Array, IntArray
from ptychopinn_backend.calibration.affine import affine_of_pieces
from ptychopinn_backend.calibration.batches import batch_count
from ptychopinn_backend.calibration.estimate import Estimate, Measured, piece_around, vacuum
from ptychopinn_backend.calibration.fit import Fit
from ptychopinn_backend.calibration.judgement import LOW_COUNTS, judged, suited_law
from ptychopinn_backend.calibration.options import AUTO, DEFAULT_MODES, CalibrationOptions
from ptychopinn_backend.calibration.positions import AffineMap
from ptychopinn_backend.calibration.probe_start import (
    probe_of_pupil,
    pupil_of,
    scaled_to,
    trial_defocuses,
    with_modes,
)
from ptychopinn_backend.calibration.refinement import Moves, Refinement
from ptychopinn_backend.calibration.result import Calibration
from ptychopinn_backend.calibration.schedule import OnSweep, Progress, judge, suit_smoothness
from ptychopinn_backend.calibration.search import ill_fitting, search_positions
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.physics.likelihood import Likelihood, likelihood_for
from ptychopinn_backend.physics.probe import as_mode_stack

logger = logging.getLogger(__name__)

_MARGIN_PX: Final = 2.0
_TRIAL_PATTERNS: Final = 96
_TRIAL_SWEEPS: Final = 6
_TRUSTED_PROBE: Final = 1.5
"""Largest ratio of the deviance with the given probe to that with the refined probe, for which the given probe decides
the scale of the scan. A refined beam may hide a change of scale in its curvature."""
_WORTH_KEEPING: Final = 0.002
"""Least relative gain in the held-out deviance for which an additional freedom is kept."""
_PLAUSIBLE_SCALE: Final = (0.2, 5.0)
"""Range of object amplitudes for which the scale of the given probe is used; outside it, this scale is arbitrary."""


def calibrate(
    scan: RawData, options: CalibrationOptions | None = None, *, on_sweep: OnSweep | None = None
) -> Calibration:
    """Refine object, probe and positions of a scan together.

    Held-out patterns are never used to fit object or probe, and only they themselves move their positions. They decide
    how long the refinement goes on, which law of noise suits, and whether the result should be believed.

    Args:
        scan: a scan of one object.
        options: options of the calibration; None refines all, and starts from the scan's probe if there is one.
        on_sweep: called after every pass over the patterns.

    Returns:
        The calibration. It has the refined values even if they should not be believed.

    Raises:
        DataError: the scan shows several objects, has no counts, or has no probe though `options` ask for one.
    """
    started = perf_counter()
    options = options or CalibrationOptions(probe="none" if scan.probeGuess is None else "scan")
    _require_fit_for_calibration(scan, options)
    measured = Measured.of(scan)
    run = _Run(scan, measured, options, Progress(on_sweep))
    run.begin()
    run.refine()
    return run.result(started)


class _Run:
    """The stages of one calibration, in order: `begin`, `refine` and `result`."""

    def __init__(self, scan: RawData, measured: Measured, options: CalibrationOptions, progress: Progress) -> None:
        self._measured, self._options, self._progress = measured, options, progress
        self._counts = float(measured.mean_pattern().sum())
        self._mean_counts = self._counts / measured.n_valid
        self._limit = options.position_limit_px or max(4.0, measured.N / 16)
        given = None if options.probe == "none" else as_mode_stack(_probe_of(scan))
        self._scale = 1.0 if given is None else _object_scale(given, self._counts)
        self._given = None if given is None else scaled_to(given, self._counts)
        self._modes = options.modes or max(DEFAULT_MODES, 1 if given is None else len(given))
        first = "poisson" if self._mean_counts < LOW_COUNTS else "amplitude"
        self._last_sweeps = max(1, options.most_sweeps // 5)
        self._given_estimate: Estimate | None = None
        self._given_fit: Fit | None = None
        self._first = self._law(first if options.likelihood == AUTO else options.likelihood)

    def _law(self, name: str) -> Likelihood:
        return likelihood_for(name, self._mean_counts)

    def _refinement(self, measured: Measured, probe: Complex64Array) -> Refinement:
        return Refinement(
            measured,
            vacuum(measured, probe, self._limit + _MARGIN_PX),
            self._first,
            smoothness=self._options.smoothness,
            position_limit_px=self._limit,
            seed=self._options.seed,
        )

    def begin(self) -> None:
        """Choose the first probe, and fit an object to it without changing it."""
        if self._given is None:
            probe = self._tried_probe()
            self._refinement_so_far = self._refinement(self._measured, with_modes(probe, self._modes))
            return
        self._refinement_so_far = refinement = self._refinement(self._measured, self._given)
        self._stage(Moves(), fewest=3, most=6, least_gain=0.03)
        # All patterns are taken together, as at the end. The noise of batches would make the gain look too large.
        self._stage(Moves(), fewest=1, most=self._last_sweeps, least_gain=0.005, batches=1)
        self._given_estimate = refinement.estimate.copy()
        self._given_fit = judge(refinement)
        if self._modes > len(self._given) and self._options.refine_probe:
            refinement.restart(replace(refinement.estimate, probe=with_modes(self._given, self._modes)))

    def refine(self) -> None:
        """Refine all together: first in many batches, then with all patterns at once under each law of noise."""
        options, most = self._options, self._options.most_sweeps
        if self._given is None or not options.positions:
            self._stage(Moves(probe=options.refine_probe), fewest=4, most=max(1, 3 * most // 8), least_gain=0.03)
        moves = Moves(probe=options.refine_probe, positions=options.positions)
        if options.positions:
            self._stage(moves, fewest=4, most=max(1, 3 * most // 8), least_gain=0.02)
            rows = np.concatenate([ill_fitting(self._refinement_so_far, self._measured), self._measured.held_out])
            if self._search(rows):
                self._stage(moves, fewest=3, most=max(1, most // 8), least_gain=0.02)
            self._try_affine(moves)
        self._settle(moves)

    def _try_affine(self, moves: Moves) -> None:
        """Look for scale, rotation and shear of the whole scan, and keep them if the held-out patterns gain."""
        refinement = self._refinement_so_far
        bound, kept, map_before = judge(refinement), refinement.estimate.copy(), refinement.positions.map
        if self._given is None or self._given_fit is None:
            return
        if not self._given_fit.deviance < _TRUSTED_PROBE * bound.deviance:
            return
        affine = affine_of_pieces(self._measured, self._given, self._first, self._options.smoothness, self._limit)
        if affine is None:
            return
        begun = vacuum(self._measured, self._given, self._limit + _margin_px(affine, self._measured))
        begun.positions_xy = refinement.positions.take(affine, kept.positions_xy)
        refinement.restart(begun)
        self._stage(Moves(), fewest=3, most=4, least_gain=0.03)
        if moves.probe:
            refinement.restart(replace(refinement.estimate, probe=with_modes(self._given, self._modes)))
        fit = self._stage(moves, fewest=4, most=max(1, self._options.most_sweeps // 4), least_gain=0.02)
        logger.info("Deviance %.4f with the affine map, %.4f without.", fit.deviance, bound.deviance)
        if not fit.deviance < (1 - _WORTH_KEEPING) * bound.deviance:
            refinement.positions.take(map_before, kept.positions_xy)
            refinement.restart(kept)

    def _settle(self, moves: Moves) -> None:
        """Refine with all patterns together, under every law in question, with and without strengths."""
        refinement, options = self._refinement_so_far, self._options
        most = self._last_sweeps
        start = refinement.estimate.copy()
        found = {}
        for name in ("amplitude", "poisson") if options.likelihood == AUTO else (options.likelihood,):
            refinement.restart(start.copy(), self._law(name))
            fit = self._stage(moves, fewest=4, most=most, least_gain=0.005, batches=1)
            found[name] = fit, refinement.estimate
        name = suited_law({name: fit for name, (fit, _) in found.items()}, self._mean_counts)
        refinement.restart(found[name][1], self._law(name))
        suit_smoothness(self._progress, refinement, moves)
        if options.strengths is False:
            return
        deviance, plain = judge(refinement).deviance, refinement.estimate.copy()
        fit = self._stage(replace(moves, strengths=True), fewest=3, most=max(1, most // 2), least_gain=0.005, batches=1)
        if options.strengths is None and not fit.deviance < (1 - _WORTH_KEEPING) * deviance:
            refinement.restart(plain)

    def _stage(self, moves: Moves, *, fewest: int, most: int, least_gain: float, batches: int | None = None) -> Fit:
        refinement = self._refinement_so_far
        rows = refinement.measured.fitted
        split = batches or batch_count(refinement.estimate.positions_xy[rows], refinement.estimate.probe)
        return self._progress.run(refinement, split, moves, fewest=fewest, most=most, least_gain=least_gain)

    def _search(self, rows: IntArray) -> int:
        refinement = self._refinement_so_far
        moved = search_positions(refinement, rows, min(self._limit, 3 * refinement.positions.spread_px))
        logger.info("%d of %d positions moved to a better place nearby.", moved, len(rows))
        return moved

    def _tried_probe(self) -> Complex64Array:
        """Return the best of several beams from the mean pattern, each refined on the middle of the scan."""
        options, measured = self._options, self._measured
        pupil = pupil_of(measured.mean_pattern(), options.aperture_px)
        defocuses = trial_defocuses(pupil) if options.defocus_px2 is None else [options.defocus_px2]
        beams = [scaled_to(probe_of_pupil(pupil, defocus), self._counts) for defocus in defocuses]
        if len(beams) == 1:
            return beams[0]
        piece = piece_around(measured, np.median(measured.given_xy, axis=0), _TRIAL_PATTERNS)
        found = []
        for defocus, beam in zip(defocuses, beams, strict=True):
            self._refinement_so_far = self._refinement(piece, beam)
            fit = self._stage(Moves(probe=True), fewest=_TRIAL_SWEEPS, most=_TRIAL_SWEEPS, least_gain=0.0)
            logger.info("Defocus %.4g pixel areas: R-free %.4f.", defocus, fit.r_factor)
            found.append((fit.deviance, self._refinement_so_far.estimate.probe))
        return min(found, key=lambda entry: entry[0])[1]

    def _before(self) -> Fit | None:
        """Return the fit of the held-out patterns with the given probe and positions, under the chosen law."""
        if self._given_estimate is None:
            return None
        refinement = self._refinement_so_far
        found = refinement.estimate
        refinement.restart(self._given_estimate)
        if refinement.likelihood == self._first:
            fit = self._given_fit
        else:
            fit = self._stage(Moves(), fewest=4, most=self._last_sweeps, least_gain=0.005, batches=1)
        refinement.restart(found)
        return fit

    def result(self, started_s: float) -> Calibration:
        """Return the calibration at the scale of the given probe."""
        before = self._before()
        refinement = self._refinement_so_far
        estimate, after = refinement.estimate, judge(refinement)
        believed, reason = judged(before, after, refinement)
        scale = np.float32(self._scale)
        strengths = estimate.strengths
        return Calibration(
            object=np.asarray(estimate.object * scale, np.complex64),
            origin_rc=estimate.frame.origin_rc,
            probe=np.asarray(estimate.probe / scale, np.complex64),
            positions_xy=estimate.positions_xy,
            strengths=np.ones(len(estimate.positions_xy), np.float32) if strengths is None else strengths,
            affine=refinement.positions.map,
            position_spread_px=refinement.positions.spread_px if self._options.positions else 0.0,
            likelihood=refinement.likelihood,
            before=before,
            after=after,
            fitted=refinement.score(self._measured.fitted),
            held_out=self._measured.held_out,
            believed=believed,
            reason=reason,
            sweeps=self._progress.sweeps,
            elapsed_s=perf_counter() - started_s,
        )


def _margin_px(affine: AffineMap, measured: Measured) -> float:
    moved = affine.apply(measured.given_xy) - measured.given_xy
    return float(np.abs(moved).max()) + _MARGIN_PX


def _object_scale(probe: Complex64Array, counts: float) -> float:
    """Return the amplitude of the object for a probe in counts; 1 if the scale of the probe is arbitrary."""
    scale = float(np.sqrt(counts / np.sum(np.abs(probe) ** 2, dtype=np.float64)))
    return scale if _PLAUSIBLE_SCALE[0] < scale < _PLAUSIBLE_SCALE[1] else 1.0


def _probe_of(scan: RawData) -> Complex64Array:
    assert scan.probeGuess is not None
    return scan.probeGuess


def _require_fit_for_calibration(scan: RawData, options: CalibrationOptions) -> None:
    objects = np.unique(scan.scan_index)
    if len(objects) > 1:
        raise DataError(
            f"The scan shows {len(objects)} objects, which are calibrated one by one. "
            "Calibrate each of scan.by_object().values()."
        )
    if scan.probeGuess is None and options.probe == "scan":
        raise DataError("The scan has no probe (probeGuess) to begin with. Add one, or begin without: probe 'none'.")
    if not np.any(scan.diff3d):
        raise DataError("The patterns hold no counts, so nothing can be calibrated. Check the scan.")
