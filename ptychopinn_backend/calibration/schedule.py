"""The length of a refinement: it goes on as long as the held-out patterns gain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from ptychopinn_backend.calibration.estimate import Estimate
from ptychopinn_backend.calibration.fit import Fit
from ptychopinn_backend.calibration.refinement import Moves, Refinement

_WINDOW: Final = 3
"""Number of sweeps over which a gain must appear."""
_PRIOR_RATIO: Final = 3.0
_MOST_PRIOR_STEPS: Final = 4
_PRIOR_SWEEPS: Final = 5
_WORTH_A_PRIOR: Final = 0.0005
"""Least relative gain in deviance for which another strength of the prior is better."""

OnSweep = Callable[[int, Fit], None]
"""Called with the number of sweeps so far and the fit of the held-out patterns, or of all if none is held out."""


@dataclass(eq=False)
class Progress:
    """Counts sweeps over all stages and keeps the best estimate of a stage."""

    on_sweep: OnSweep | None = None
    """Called after every sweep."""
    sweeps: int = 0
    """Number of sweeps so far."""

    def run(
        self, refinement: Refinement, batches: int, moves: Moves, *, fewest: int, most: int, least_gain: float
    ) -> Fit:
        """Sweep until the held-out patterns no longer gain, and keep the estimate that fits them best.

        Args:
            refinement: the refinement; at the end it has the best estimate and no momentum.
            batches: number of batches in a sweep.
            moves: quantities that may change.
            fewest: least number of sweeps.
            most: largest number of sweeps.
            least_gain: least relative gain in deviance over three sweeps for which the sweeps go on.

        Returns:
            Fit of the best estimate to the patterns that judge.
        """
        best: tuple[Fit, Estimate] | None = None
        history: list[float] = []
        for count in range(1, most + 1):
            refinement.sweep(batches, moves)
            fit = judge(refinement)
            self.sweeps += 1
            if self.on_sweep is not None:
                self.on_sweep(self.sweeps, fit)
            history.append(fit.deviance)
            if best is None or fit.deviance < best[0].deviance:
                best = fit, refinement.estimate.copy()
            if count >= max(fewest, _WINDOW + 1) and not _still_gains(history, least_gain):
                break
        assert best is not None
        refinement.restart(best[1])
        return best[0]


def suit_smoothness(progress: Progress, refinement: Refinement, moves: Moves) -> None:
    """Make the prior on the object weaker or stronger as long as the held-out patterns gain.

    Args:
        progress: counts the sweeps.
        refinement: the refinement; at the end it has the best estimate and the prior of that estimate.
        moves: quantities that may change.
    """
    if not refinement.smoothness > 0 or not len(refinement.measured.held_out):
        return
    best, kept, first = judge(refinement), refinement.estimate.copy(), refinement.smoothness
    for factor in (1 / _PRIOR_RATIO, _PRIOR_RATIO):
        chosen = refinement.smoothness
        for _ in range(_MOST_PRIOR_STEPS):
            if not refinement.is_prior_felt(chosen * max(factor, 1)):
                break
            refinement.restart(kept.copy())
            refinement.smoothness = chosen * factor
            fit = progress.run(refinement, 1, moves, fewest=_PRIOR_SWEEPS, most=_PRIOR_SWEEPS, least_gain=0.0)
            if not fit.deviance < best.deviance * (1 - _WORTH_A_PRIOR):
                break
            best, kept, chosen = fit, refinement.estimate.copy(), refinement.smoothness
        refinement.smoothness = chosen
        if chosen != first:
            break
    refinement.restart(kept)


def judge(refinement: Refinement) -> Fit:
    """Return the fit of the held-out patterns, or of all patterns if none is held out."""
    measured = refinement.measured
    return refinement.score(measured.held_out if len(measured.held_out) else measured.fitted)


def _still_gains(history: list[float], least_gain: float) -> bool:
    before, now = min(history[:-_WINDOW]), min(history[-_WINDOW:])
    return bool(np.isfinite(now) and now < before * (1 - least_gain))
