"""How long to refine: while the patterns that are held out gain, and no further."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from ptychopinn_backend.calibration.estimate import Estimate
from ptychopinn_backend.calibration.fit import Fit
from ptychopinn_backend.calibration.refinement import Moves, Refinement

_WINDOW: Final = 3
"""Sweeps over which a gain is looked for."""
_PRIOR_RATIO: Final = 3.0
_MOST_PRIOR_STEPS: Final = 4
_PRIOR_SWEEPS: Final = 5
_WORTH_A_PRIOR: Final = 0.0005
"""Relative gain in deviance below which another prior is no better."""

OnSweep = Callable[[int, Fit], None]
"""Called with the number of sweeps so far and the fit of the held-out patterns (of all, where none is held out)."""


@dataclass(eq=False)
class Progress:
    """Counts sweeps over all stages and keeps the best estimate of a stage."""

    on_sweep: OnSweep | None = None
    """Called after every sweep."""
    sweeps: int = 0
    """So far."""

    def run(
        self, refinement: Refinement, batches: int, moves: Moves, *, fewest: int, most: int, least_gain: float
    ) -> Fit:
        """Sweep until the held-out patterns gain no more, and keep the estimate that suits them best.

        Args:
            refinement: what is refined; ends at the best estimate, without momentum.
            batches: of a sweep.
            moves: what may change.
            fewest: sweeps at least.
            most: sweeps at most.
            least_gain: relative gain in deviance over three sweeps that is worth going on.

        Returns:
            The judge's fit of the best estimate.
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
    """Make the prior on the object weaker or stronger while the held-out patterns gain.

    Args:
        progress: counts the sweeps.
        refinement: ends at the best estimate, with the prior that led to it.
        moves: what may change.
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
    """Return the fit of the held-out patterns; where none is held out, of all."""
    measured = refinement.measured
    return refinement.score(measured.held_out if len(measured.held_out) else measured.fitted)


def _still_gains(history: list[float], least_gain: float) -> bool:
    before, now = min(history[:-_WINDOW]), min(history[-_WINDOW:])
    return bool(np.isfinite(now) and now < before * (1 - least_gain))
