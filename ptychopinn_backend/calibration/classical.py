"""Classical solver with a prior, stopped by held-out patterns: a baseline to compare with."""

from __future__ import annotations

from time import perf_counter

import numpy as np

from ptychopinn_backend.calibration.batches import batch_count
from ptychopinn_backend.calibration.estimate import Estimate, Measured, vacuum
from ptychopinn_backend.calibration.judgement import LOW_COUNTS, suited_law
from ptychopinn_backend.calibration.options import AUTO, DEFAULT_SMOOTHNESS
from ptychopinn_backend.calibration.refinement import Moves, Refinement
from ptychopinn_backend.calibration.schedule import Progress, judge, suit_smoothness
from ptychopinn_backend.config.checks import require_choice
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.physics.likelihood import LIKELIHOODS, likelihood_for
from ptychopinn_backend.physics.probe import as_mode_stack
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction


def classical_object(
    scan: RawData, *, likelihood: str = AUTO, smoothness: float | None = None, most_sweeps: int = 60
) -> Reconstruction:
    """Reconstruct a scan without a network, by accelerated error reduction with a quadratic prior.

    The held-out patterns decide when to stop, which law of noise suits, and how strong the prior is.

    Args:
        scan: a scan of one object with its probe; probe and positions stay as they are.
        likelihood: law of noise, or 'auto'.
        smoothness: strength of the prior, photons per pixel; None lets the held-out patterns choose, 0 takes none.
        most_sweeps: limit for the passes over the patterns; the choice of the prior takes further passes.

    Returns:
        The object; `info` has r_free, log_likelihood_free, likelihood, smoothness, sweeps, elapsed_s and n_patterns.

    Raises:
        ConfigError: `likelihood` is unknown.
        DataError: the scan has no probe.
    """
    started = perf_counter()
    if scan.probeGuess is None:
        raise DataError("The scan has no probe (probeGuess). Add one, or calibrate the scan without: probe 'none'.")
    measured, names, progress = Measured.of(scan), _laws(likelihood), Progress()
    start = vacuum(measured, as_mode_stack(scan.probeGuess), margin_px=1.0)
    strength = DEFAULT_SMOOTHNESS if smoothness is None else smoothness
    low = _mean_counts(measured) < LOW_COUNTS
    refinement = _refinement(measured, start, "poisson" if low and "poisson" in names else names[0], strength)
    rows = measured.fitted
    batches = batch_count(measured.given_xy[rows], start.probe)
    progress.run(refinement, batches, Moves(), fewest=3, most=max(1, most_sweeps // 6), least_gain=0.02)
    begun, found = refinement.estimate.copy(), {}
    for name in names:
        refinement.restart(begun.copy(), likelihood_for(name, _mean_counts(measured)))
        fit = progress.run(refinement, 1, Moves(), fewest=4, most=max(1, most_sweeps // 4), least_gain=0.002)
        found[name] = fit, refinement.estimate
    name = suited_law({name: fit for name, (fit, _) in found.items()}, _mean_counts(measured))
    refinement.restart(found[name][1], likelihood_for(name, _mean_counts(measured)))
    if smoothness is None:
        suit_smoothness(progress, refinement, Moves())
    fit = judge(refinement)
    return Reconstruction(
        object=refinement.estimate.object,
        origin_rc=start.frame.origin_rc,
        probe=start.probe,
        backend="numpy",
        positions_xy=scan.positions_xy,
        info={
            "r_free": fit.r_factor,
            "log_likelihood_free": fit.log_likelihood,
            "likelihood": name,
            "smoothness": refinement.smoothness,
            "sweeps": progress.sweeps,
            "elapsed_s": perf_counter() - started,
            "n_patterns": scan.n_patterns,
        },
    )


def _refinement(measured: Measured, start: Estimate, name: str, smoothness: float) -> Refinement:
    return Refinement(measured, start, likelihood_for(name, _mean_counts(measured)), smoothness=smoothness)


def _laws(likelihood: str) -> tuple[str, ...]:
    require_choice("likelihood", likelihood, (AUTO, *LIKELIHOODS))
    return ("amplitude", "poisson") if likelihood == AUTO else (likelihood,)


def _mean_counts(measured: Measured) -> float:
    rows = measured.fitted[:: max(1, len(measured.fitted) // 64)]
    if not len(rows):
        return 0.0
    counts = np.square(measured.amplitudes[rows])
    if measured.valid_pixels is not None:
        counts *= measured.valid_pixels
    return float(counts.sum(dtype=np.float64)) / len(rows) / measured.n_valid
