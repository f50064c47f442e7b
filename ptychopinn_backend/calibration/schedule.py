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


def judge(refinement: Refinement) -> Fit:
    """Return the fit of the held-out patterns; where none is held out, of all."""
    measured = refinement.measured
    return refinement.score(measured.held_out if len(measured.held_out) else measured.fitted)


def _still_gains(history: list[float], least_gain: float) -> bool:
    before, now = min(history[:-_WINDOW]), min(history[-_WINDOW:])
    return bool(np.isfinite(now) and now < before * (1 - least_gain))
