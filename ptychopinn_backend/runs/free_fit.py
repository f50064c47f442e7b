"""How well a training explains patterns it never saw: R-free and the deviance of held-out patterns, on the way.

The object is put together from the patches of the other patterns alone, around some of the held-out ones, so that
neither weights nor patches know their counts.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from ptychopinn_backend.arrays import AnyArray, Float32Array, Float64Array, IntArray
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.evaluation.metrics import RFactorSum
from ptychopinn_backend.physics.object_patches import extract_patches
from ptychopinn_backend.physics.scan_model import scan_intensities
from ptychopinn_backend.runs.reconstruct import reconstruct
from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.runs.training_data import HeldOut
from ptychopinn_backend.seam.interface import EpochCallback, EpochReport
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

logger = logging.getLogger(__name__)

CHECKS: Final = 8
"""How often a training is judged."""
MOST_JUDGES: Final = 8
"""Held-out patterns of a scan that are asked on the way."""
LIT_PART: Final = 0.9
"""A pattern can judge where so much of its light falls on pixels that other patterns have reached."""
WORSE: Final = 1.01
"""A later state is worse where its deviance exceeds the best one by this factor."""


class FreeFit(NamedTuple):
    """How well an object explains patterns it was not made from."""

    r: float
    """R-factor, sum |A - A_model| / sum A."""
    deviance: float
    """Twice the log-likelihood that is missing to a perfect fit of Poisson counts, per pixel: 1 is photon noise."""
    n_patterns: int
    """Patterns that could judge."""


def free_fit(reconstruction: Reconstruction, scan: RawData, rows: IntArray) -> FreeFit | None:
    """Compare an object with patterns it was not made from.

    Args:
        reconstruction: object and probe, made without these patterns.
        scan: the whole scan.
        rows: (held out,) the patterns.

    Returns:
        The fit; None where no pattern has its light on the object.
    """
    positions = scan.positions_xy[rows]
    lit = rows[_lit_part(reconstruction, positions) >= LIT_PART]
    if not len(lit):
        return None
    obj, origin, probe = reconstruction.object, reconstruction.origin_rc, reconstruction.probe
    model = scan_intensities(obj, origin, probe, scan.positions_xy[lit])
    valid = np.ones(model.shape[1:], bool) if scan.bad_pixels is None else ~scan.bad_pixels
    amplitudes = scan.diff3d[lit]
    r = RFactorSum()
    r.add(amplitudes, np.sqrt(model), valid)
    return FreeFit(r.value, _deviance(np.square(amplitudes.astype(np.float64)), model, valid), len(lit))


def _lit_part(reconstruction: Reconstruction, positions_xy: Float64Array) -> Float64Array:
    """Return the part of the probe's light that falls on pixels the object is known in, per pattern."""
    light = np.sum(np.abs(reconstruction.probe) ** 2, axis=0)
    known = np.asarray(reconstruction.object != 0, np.complex64)
    patches = extract_patches(known, reconstruction.origin_rc, positions_xy, light.shape[-1])
    return np.asarray(np.sum(patches.real * light, axis=(1, 2)) / light.sum(), np.float64)


def _deviance(counts: Float64Array, model: Float32Array, valid: AnyArray) -> float:
    """Return the mean of 2 (m - n + n log(n / m)) over valid pixels (McCullagh and Nelder, 1989, section 2.3)."""
    rate = np.maximum(model.astype(np.float64), 1e-6)
    terms = rate - counts + np.where(counts > 0, counts * np.log(np.maximum(counts, 1e-12) / rate), 0.0)
    return float(2 * np.mean(terms[:, valid]))


@dataclass
class FreeFitJudge:
    """Epoch callback that judges a training by held-out patterns, and keeps the weights that explain them best."""

    model: TrainedModel
    """Holds the backend in training."""
    held_out: Sequence[HeldOut]
    """Scans and the patterns that training does not see."""
    on_epoch: EpochCallback | None = None
    """Called afterwards with the same report; its answer is passed on."""
    fits: dict[int, FreeFit] = field(default_factory=dict)
    """Epoch -> fit, of the epochs that were judged."""
    _best: tuple[int, dict[str, AnyArray]] | None = None

    def __call__(self, report: EpochReport) -> bool | None:
        """Judge some of the epochs, the last one always.

        Args:
            report: the epoch just ended.

        Returns:
            What `on_epoch` returns: True stops training.
        """
        every = max(1, report.n_epochs // CHECKS)
        if report.epoch == report.n_epochs or report.epoch % every == 0:
            self._judge(report.epoch)
        return self.on_epoch(report) if self.on_epoch is not None else None

    def keep_best(self) -> None:
        """Give the model the weights that explained the held-out patterns best, where later ones were worse."""
        if self._best is None:
            return
        epoch, weights = self._best
        last = self.fits[max(self.fits)]
        if last.deviance > WORSE * self.fits[epoch].deviance:
            self.model.backend.load_weights(weights)
            logger.warning(
                "Held-out patterns are explained best after epoch %d (R-free %.4f; %.4f at the end): its weights are "
                "kept.",
                epoch,
                self.fits[epoch].r,
                last.r,
            )

    def history(self, n_epochs: int) -> dict[str, list[float]]:
        """Return the fits as columns of a history; an epoch that was not judged repeats the one judged before.

        Args:
            n_epochs: length of the columns.

        Returns:
            'r_free' and 'free_deviance'; nothing where no pattern could judge, or before the first was.
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
            sum(weights),
        )
        self.fits[epoch] = fit
        logger.info("Epoch %d: R-free %.4f over %d held-out patterns.", epoch, fit.r, fit.n_patterns)
        if self._best is None or fit.deviance < self.fits[self._best[0]].deviance:
            self._best = epoch, self.model.backend.dump_weights()

    def _of_scan(self, scan: RawData, rows: IntArray) -> FreeFit | None:
        asked = rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_JUDGES)).astype(np.intp)]
        apart = np.abs(scan.positions_xy[:, np.newaxis] - scan.positions_xy[asked]).max(axis=2).min(axis=1)
        others = np.setdiff1d(np.flatnonzero(apart < scan.N / 2), rows)
        objects = np.unique(scan.scan_index[asked])
        others = others[scan.scan_index[others] == objects[0]]
        if len(others) <= self.model.model.channels or len(objects) > 1:
            return None
        made = reconstruct(self.model, scan.select(others), polish_steps=0)
        return free_fit(made, scan, asked)
