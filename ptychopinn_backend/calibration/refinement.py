"""Accelerated joint refinement of object, probe modes, positions and beam strength.

One step takes the change d of the exit waves back to object and probe, each divided by the energy of the other one:
O += s sum conj(P) d / sum |P|^2, P += s sum conj(O) d / sum |O|^2. Here s = 1 for one of them alone, and s = 1/2 for
both together. This minimises an upper bound of the misfit, since |P dO + O dP|^2 <= 2 |P dO|^2 + 2 |O dP|^2. Between
steps both move on as in Nesterov's method. A sweep visits every pattern once, in batches that each cover the whole
scan. Many batches make fast progress, and a single batch of all patterns averages the noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from ptychopinn_backend.arrays import Complex64Array, Float32Array, Float64Array, IntArray
from ptychopinn_backend.calibration.batches import evenly_spread_batches
from ptychopinn_backend.calibration.estimate import Estimate, Measured
from ptychopinn_backend.calibration.fit import Fit, FitSum
from ptychopinn_backend.calibration.positions import PositionSteps
from ptychopinn_backend.calibration.smoothness import NEGLIGIBLE, smoothed
from ptychopinn_backend.physics.data_consistency import FarFieldFit
from ptychopinn_backend.physics.likelihood import Likelihood, poisson_deviance
from ptychopinn_backend.physics.object_patches import add_patches, extract_patches, window_corners

_BATCH_MOMENTUM: Final = 0.85
"""Largest momentum between batches; a larger one would keep their noise."""
_OBJECT_FLOOR: Final = 0.1
_FINAL_OBJECT_FLOOR: Final = 0.02
_STRONG_PRIOR: Final = 0.1
"""Ratio of the prior's strength to the light of a batch from which the object is smoothed after every batch."""
_PROBE_FLOOR: Final = 0.05
"""Fractions of the largest divisor that are added to the divisor, so that pixels with little light change slowly."""
_JUDGED_CHUNKS: Final = 3
"""One of so many chunks of a sweep is used to measure the misfit."""
_FELT: Final = 0.003
_STRENGTH_RANGE: Final = (0.2, 5.0)


@dataclass(frozen=True)
class Moves:
    """Quantities that a sweep may change."""

    object: bool = True
    """The object."""
    probe: bool = False
    """The probe modes."""
    positions: bool = False
    """The positions."""
    strengths: bool = False
    """The light of every pattern."""


class Refinement:
    """Refines an estimate, sweep by sweep."""

    def __init__(
        self,
        measured: Measured,
        estimate: Estimate,
        likelihood: Likelihood,
        *,
        smoothness: float = 0.0,
        position_limit_px: float = 5.0,
        seed: int = 0,
    ) -> None:
        """Start at an estimate.

        Args:
            measured: the patterns.
            estimate: the first estimate.
            likelihood: law of noise.
            smoothness: strength of the prior on the object, photons per pixel; 0 takes no prior.
            position_limit_px: largest distance of a position from the affine image of its given place, pixels.
            seed: seed of the order of patterns in batches.
        """
        self.measured = measured
        self.estimate = estimate
        self.smoothness = smoothness
        self.positions = PositionSteps(measured.given_xy, position_limit_px)
        self.dispersion = 1.0
        """Deviance per valid pixel of the latest sweep, at least 1."""
        self._rng = np.random.default_rng(seed)
        self._likelihood = likelihood
        self._fit = FarFieldFit(len(estimate.probe), measured.N, likelihood, measured.valid_pixels)
        self._rest()

    @property
    def likelihood(self) -> Likelihood:
        """Law of noise."""
        return self._likelihood

    def _rest(self) -> None:
        """Forget all momentum."""
        self._before = self.estimate.object, self.estimate.probe
        self._momentum = 1.0
        self._last = np.inf
        self._light: Float32Array | None = None

    def restart(self, estimate: Estimate, likelihood: Likelihood | None = None) -> None:
        """Continue from another estimate, without momentum.

        Args:
            estimate: the new estimate.
            likelihood: law of noise; None keeps the present one.
        """
        self.estimate = estimate
        self._likelihood = likelihood or self._likelihood
        modes = len(estimate.probe)
        self._fit = FarFieldFit(modes, self.measured.N, self._likelihood, self.measured.valid_pixels)
        self._rest()

    def sweep(self, batches: int, moves: Moves) -> Fit:
        """Visit every fitted pattern once.

        Args:
            batches: number of batches; 1 takes all patterns together.
            moves: quantities that may change.

        Returns:
            The fit during the sweep, measured before the step of each batch.
        """
        # A part of the patterns is enough to decide on a restart and to measure the misfit.
        total = FitSum(self.measured, every=_JUDGED_CHUNKS)
        for rows in evenly_spread_batches(self.estimate.positions_xy, self.measured.fitted, batches, self._rng):
            self._step(rows, batches, moves, total)
        self._smooth_for_the_sweep()
        fit = total.value()
        if batches == 1:
            # If a step made the misfit larger, the momentum pointed uphill (O'Donoghue and Candes, 2015).
            if fit.deviance > self._last:
                self._momentum = 1.0
            self._last = fit.deviance
        self.dispersion = max(1.0, fit.deviance)
        if moves.probe and len(self.estimate.probe) > 1:
            self._orthogonalise()
        if moves.strengths:
            self._weigh_patterns()
        if moves.positions:
            self._move_held_out()
            self.estimate.positions_xy = self.positions.settle(self.estimate.positions_xy, self.measured.fitted)
        return fit

    def is_prior_felt(self, smoothness: float) -> bool:
        """Return whether a prior of this strength has an effect against the light of all patterns."""
        now = self.estimate
        power = float(np.sum(np.abs(now.probe) ** 2, dtype=np.float64))
        lit = np.prod(np.ptp(now.positions_xy, axis=0) + 1)
        light = len(self.measured.fitted) * power / max(float(lit), 1.0)
        return smoothness * self.dispersion > _FELT * light

    def score(self, rows: IntArray) -> Fit:
        """Return the fit of the estimate to some patterns.

        Args:
            rows: rows of the patterns.

        Returns:
            The fit.
        """
        total = FitSum(self.measured)
        for some in self.chunks(rows):
            total.add(some, self._predicted(some))
        return total.value()

    def pattern_deviances(self, rows: IntArray) -> Float64Array:
        """Return the Poisson deviance of each of some patterns (pattern,); they must fit into one chunk."""
        return poisson_deviance(self.measured.amplitudes[rows], self._predicted(rows), self.measured.valid_pixels)

    def _predicted(self, rows: IntArray) -> Float32Array:
        now = self.estimate
        patches = extract_patches(now.object, now.frame.origin_rc, now.positions_xy[rows], self.measured.N)
        predicted, strengths = self._fit.intensity(patches, now.probe), now.strengths_of(rows)
        return predicted if strengths is None else predicted * strengths[:, np.newaxis, np.newaxis]

    def held_out(self) -> Fit:
        """Return the fit of the estimate to the held-out patterns."""
        return self.score(self.measured.held_out)

    def _step(self, rows: IntArray, batches: int, moves: Moves, total: FitSum) -> None:
        now = self.estimate
        ahead = self._ahead(batches)
        obj = _ahead_of(now.object, self._before[0], ahead) if moves.object else now.object
        probe = _ahead_of(now.probe, self._before[1], ahead) if moves.probe else now.probe
        sums = _Sums(now, probe)
        positions = now.positions_xy.copy()
        for some in self.chunks(rows):
            here = now.positions_xy[some]
            patches = extract_patches(obj, now.frame.origin_rc, here, self.measured.N)
            strengths = now.strengths_of(some)
            change, predicted = self._fit.change(patches, probe, self.measured.amplitudes[some], strengths)
            total.add(some, predicted)
            toward = self._fit.onto_object(change, probe)
            if moves.object:
                sums.add_object(toward, here, strengths)
            if moves.positions:
                positions[some] = self.positions.moved(some, here, patches, toward, sums.light, self.dispersion)
            if moves.probe:
                sums.add_probe(self._fit.onto_probe(change, patches), patches, strengths)
        share = 0.5 if moves.probe and moves.object else 1.0
        self._before = now.object, now.probe
        if moves.object:
            floor = _OBJECT_FLOOR if batches > 1 else _FINAL_OBJECT_FLOOR
            now.object = self._new_object(obj, sums, np.float32(share), floor, len(rows) / len(self.measured.fitted))
        if moves.probe:
            now.probe = _moved(probe, sums.probe_change, sums.object_energy, np.float32(share), _PROBE_FLOOR)
        now.positions_xy = positions

    def _new_object(
        self, obj: Complex64Array, sums: _Sums, share: np.float32, floor: float, part: float
    ) -> Complex64Array:
        """Return the object after a step. A prior that is weak against one batch waits for the end of the sweep."""
        target = _moved(obj, sums.object_change, sums.illumination, share, floor)
        strength = self.smoothness * self.dispersion
        light = (sums.illumination + np.float32(floor) * sums.illumination.max()) / share
        typical = float(np.median(light[sums.illumination > 0]))
        if part == 1 or part * strength > _STRONG_PRIOR * typical:
            return smoothed(target, light, part * strength) if part * strength > NEGLIGIBLE * typical else target
        self._light = light if self._light is None else self._light + light
        return target

    def _smooth_for_the_sweep(self) -> None:
        if self._light is not None:
            self.estimate.object = smoothed(self.estimate.object, self._light, self.smoothness * self.dispersion)
            self._light = None

    def _ahead(self, batches: int) -> np.float32:
        following = (1 + float(np.sqrt(1 + 4 * self._momentum**2))) / 2
        ahead = (self._momentum - 1) / following
        self._momentum = following
        return np.float32(ahead if batches == 1 else min(ahead, _BATCH_MOMENTUM))

    def chunks(self, rows: IntArray) -> Iterator[IntArray]:
        """Yield the rows in chunks that are compared together."""
        for start in range(0, len(rows), self._fit.batch_size):
            yield rows[start : start + self._fit.batch_size]

    def _move_held_out(self) -> None:
        """Move the held-out patterns by their own counts; object and probe stay as they are."""
        now, rows = self.estimate, self.measured.held_out
        light: Float32Array = np.sum(np.abs(now.probe) ** 2, axis=0, dtype=np.float32)
        positions = now.positions_xy.copy()
        for some in self.chunks(rows):
            here = now.positions_xy[some]
            patches = extract_patches(now.object, now.frame.origin_rc, here, self.measured.N)
            change, _ = self._fit.change(patches, now.probe, self.measured.amplitudes[some], now.strengths_of(some))
            toward = self._fit.onto_object(change, now.probe)
            positions[some] = self.positions.moved(some, here, patches, toward, light, self.dispersion)
        now.positions_xy = positions

    def _weigh_patterns(self) -> None:
        """Give every pattern the strength with which it predicts as many counts as were measured."""
        now, measured = self.estimate, self.measured
        strengths = np.ones(len(now.positions_xy), np.float32) if now.strengths is None else now.strengths.copy()
        for some in self.chunks(np.arange(len(strengths))):
            predicted, counts = self._predicted(some), np.square(measured.amplitudes[some])
            if measured.valid_pixels is not None:
                predicted, counts = predicted * measured.valid_pixels, counts * measured.valid_pixels
            sums = [values.sum(axis=(1, 2), dtype=np.float64) for values in (counts, predicted)]
            strengths[some] *= np.clip(sums[0] / np.maximum(sums[1], 1e-12), 0.5, 2.0)
        strengths /= strengths[measured.fitted].mean()
        now.strengths = np.clip(strengths, *_STRENGTH_RANGE)

    def _orthogonalise(self) -> None:
        """Make the modes orthogonal, the strongest first; the momentum is rotated with them."""
        now = self.estimate
        flat = now.probe.reshape(len(now.probe), -1)
        _, turn = np.linalg.eigh(flat @ flat.conj().T)
        turn = turn.conj().T[::-1].astype(np.complex64)
        # The phase of a mode is free. Here the largest part of the former mode keeps its phase.
        largest = turn[np.arange(len(turn)), np.abs(turn).argmax(axis=1)]
        turn *= (largest.conj() / np.abs(largest))[:, np.newaxis]
        before = self._before[1]
        now.probe = (turn @ flat).reshape(now.probe.shape)
        self._before = self._before[0], (turn @ before.reshape(len(before), -1)).reshape(before.shape)


class _Sums:
    """Sums over the patterns of a batch."""

    def __init__(self, now: Estimate, probe: Complex64Array) -> None:
        self.light: Float32Array = np.sum(np.abs(probe) ** 2, axis=0, dtype=np.float32)
        self.object_change = np.zeros_like(now.object)
        self.illumination = np.zeros(now.object.shape, np.float32)
        self.probe_change = np.zeros_like(probe)
        self.object_energy = np.zeros(probe.shape[-2:], np.float32)
        self._origin = now.frame.origin_rc

    def add_object(self, toward: Complex64Array, positions_xy: Float64Array, strengths: Float32Array | None) -> None:
        add_patches(self.object_change, toward, self._origin, positions_xy)
        # The divisor only sets the pace, so whole pixels are accurate enough.
        N = self.light.shape[-1]
        corners, fractions = window_corners(self._origin, positions_xy, N)
        corners = np.clip(corners + (fractions >= 0.5), 0, np.array(self.illumination.shape) - N)
        for index, (row, column) in enumerate(corners.tolist()):
            light = self.light if strengths is None else self.light * strengths[index]
            self.illumination[row : row + N, column : column + N] += light

    def add_probe(self, toward: Complex64Array, patches: Complex64Array, strengths: Float32Array | None) -> None:
        self.probe_change += toward
        squares = np.square(patches.view(np.float32))
        energy = squares[..., ::2] + squares[..., 1::2]
        self.object_energy += (energy if strengths is None else energy * strengths[:, np.newaxis, np.newaxis]).sum(0)


def _ahead_of(current: Complex64Array, before: Complex64Array, ahead: np.float32) -> Complex64Array:
    return current if ahead == 0 else np.asarray(current + ahead * (current - before))


def _moved(
    array: Complex64Array, change: Complex64Array, divisor: Float32Array, share: np.float32, floor: float
) -> Complex64Array:
    pace = share / (divisor + np.float32(floor) * max(divisor.max(), np.float32(1e-30)))
    return np.asarray(array + pace * change)
