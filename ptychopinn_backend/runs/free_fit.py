"""R-free and misfit of held-out patterns during a training.

Held-out patterns judge how well the training explains patterns that it never saw. The judge stitches an object from the
patches of the other patterns around some of the held-out ones. So neither the weights nor the patches know the counts
of the held-out patterns.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray, IntArray
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.evaluation.free_fit import FreeFit, free_fit
from ptychopinn_backend.runs.held_out_groups import HeldOut
from ptychopinn_backend.runs.reconstruct import reconstruct
from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.seam.interface import EpochCallback, EpochReport

logger = logging.getLogger(__name__)

CHECKS: Final = 8
"""A training is judged after every `n_epochs // CHECKS` epochs, and after the last one."""
MOST_JUDGES: Final = 8
"""Largest number of held-out patterns per scan that judge during the training."""
WORSE: Final = 1.01
"""A later state counts as worse if its misfit exceeds the best misfit by more than this factor."""


@dataclass
class FreeFitJudge:
    """Epoch callback that judges a training by held-out patterns and keeps the weights that explain them best."""

    model: TrainedModel
    """The model; it holds the backend in training."""
    held_out: Sequence[HeldOut]
    """Scans, each with the patterns that training does not see."""
    on_epoch: EpochCallback | None = None
    """Called afterwards with the report and what was found; the judge passes on its answer."""
    fits: dict[int, FreeFit] = field(default_factory=dict)
    """Fit of each epoch that was judged, by the number of the epoch."""
    _best: tuple[int, dict[str, AnyArray]] | None = None

    def __call__(self, report: EpochReport) -> bool | None:
        """Judge the model after some of the epochs, and always after the last one.

        Args:
            report: the epoch that has just ended.

        Returns:
            The value that `on_epoch` returned; True stops the training.
        """
        every = max(1, report.n_epochs // CHECKS)
        if report.epoch == report.n_epochs or report.epoch % every == 0:
            self._judge(report.epoch)
            if report.epoch in self.fits:
                report = replace(report, r_free=self.fits[report.epoch].r)
        return self.on_epoch(report) if self.on_epoch is not None else None

    def keep_best(self) -> None:
        """Give the model the weights that explained the held-out patterns best, if its last weights are worse."""
        if self._best is None:
            return
        epoch, weights = self._best
        last = self.fits[max(self.fits)]
        if last.misfit > WORSE * self.fits[epoch].misfit:
            self.model.backend.load_weights(weights)
            logger.warning(
                "Held-out patterns are explained best after epoch %d (R-free %.4f; %.4f at the end): its weights are "
                "kept.",
                epoch,
                self.fits[epoch].r,
                last.r,
            )

    def history(self, n_epochs: int) -> dict[str, list[float]]:
        """Return the fits as columns of a training history.

        An epoch that was not judged repeats the values of the last judged epoch before it. Epochs before the first
        judgement have the values of the first one.

        Args:
            n_epochs: number of epochs, which is the length of the columns.

        Returns:
            The columns 'r_free' and 'free_deviance'; an empty dictionary if no epoch was judged.
        """
        if not self.fits:
            return {}
        judged = np.array(sorted(self.fits))
        at = judged[np.maximum(np.searchsorted(judged, np.arange(1, n_epochs + 1), side="right") - 1, 0)]
        return {
            "r_free": [self.fits[epoch].r for epoch in at],
            "free_deviance": [self.fits[epoch].deviance for epoch in at],
        }

    def _judge(self, epoch: int) -> None:
        found = [fit for scan, rows in self.held_out if (fit := self._of_scan(scan, rows)) is not None]
        if not found:
            return
        weights = [fit.n_patterns for fit in found]
        fit = FreeFit(
            float(np.average([fit.r for fit in found], weights=weights)),
            float(np.average([fit.deviance for fit in found], weights=weights)),
            float(np.average([fit.misfit for fit in found], weights=weights)),
            sum(weights),
        )
        self.fits[epoch] = fit
        logger.info("Epoch %d: R-free %.4f over %d held-out patterns.", epoch, fit.r, fit.n_patterns)
        if self._best is None or fit.misfit < self.fits[self._best[0]].misfit:
            self._best = epoch, self.model.backend.dump_weights()

    def _of_scan(self, scan: RawData, rows: IntArray) -> FreeFit | None:
        asked = rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_JUDGES)).astype(np.intp)]
        apart = np.abs(scan.positions_xy[:, np.newaxis] - scan.positions_xy[asked]).max(axis=2).min(axis=1)
        others = np.setdiff1d(np.flatnonzero(apart < scan.N / 2), rows)
        objects = np.unique(scan.scan_index[asked])
        others = others[scan.scan_index[others] == objects[0]]
        if len(others) <= self.model.model.channels or len(objects) > 1:
            return None
        made = reconstruct(self.model, scan.select(others), polish_steps=0, uncertainty=False)
        return free_fit(made, scan, asked)
