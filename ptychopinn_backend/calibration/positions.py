"""Refinement of scan positions from the patterns, by Gauss-Newton steps with a prior near the given positions.

The change d of the exit wave is projected on the derivative of the patch. This gives the distance of a pattern from its
stated position. The prior is an affine image of the given positions (shift, scale, rotation, shear) with normal errors
around it. The variance of these errors is estimated again from the positions themselves. If counts are few, the
positions stay at their places.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ptychopinn_backend.arrays import Complex64Array, Float32Array, Float64Array, IntArray

STEP_LIMIT_PX: Final = 1.0
"""Longest move of a position in one step, pixels."""
_FEWEST_FOR_AFFINE: Final = 12
_MAP_GAIN: Final = 3.0
_FIRST_SPREAD_PX: Final = 1.0
_LEAST_SPREAD_PX: Final = 0.02


@dataclass(frozen=True)
class AffineMap:
    """Affine map from the given positions to the refined ones: x' = centre + shift + matrix (x - centre)."""

    matrix: Float64Array
    """Matrix (2, 2), axes (x, y)."""
    centre_xy: Float64Array
    """Mean of the given positions (2,), pixels."""
    shift_xy: Float64Array
    """Shift (2,), pixels."""

    @property
    def scale(self) -> float:
        """Geometric mean of the two scales; 1 leaves the scale as it was given."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix))))

    @property
    def rotation_deg(self) -> float:
        """Rotation from x to y in degrees."""
        m = self.matrix
        return float(np.rad2deg(np.arctan2(m[1, 0] - m[0, 1], m[0, 0] + m[1, 1])))

    @property
    def shear(self) -> float:
        """Relative difference between the largest and the smallest scale."""
        longest, shortest = np.linalg.svd(self.matrix, compute_uv=False)
        return float((longest - shortest) / np.sqrt(longest * shortest))

    def apply(self, positions_xy: Float64Array) -> Float64Array:
        """Return the image of positions (pattern, 2)."""
        return np.asarray(self.centre_xy + self.shift_xy + (positions_xy - self.centre_xy) @ self.matrix.T)


def fit_affine(given_xy: Float64Array, refined_xy: Float64Array, weights: Float64Array) -> AffineMap:
    """Return the affine map closest to a refinement, without a shift, which object and probe could absorb.

    Args:
        given_xy: given positions (pattern, 2), axis 1 = (x, y), pixels.
        refined_xy: refined positions (pattern, 2), pixels.
        weights: weight of every pattern (pattern,), not negative.

    Returns:
        The map; the identity if there are too few patterns.
    """
    centre = given_xy.mean(axis=0)
    matrix = np.eye(2)
    if len(given_xy) >= _FEWEST_FOR_AFFINE and np.count_nonzero(weights) >= _FEWEST_FOR_AFFINE:
        design = np.column_stack([given_xy - centre, np.ones(len(given_xy))])
        root = np.sqrt(weights)[:, np.newaxis]
        solution, *_ = np.linalg.lstsq(design * root, (refined_xy - centre) * root, rcond=1e-6)
        matrix = solution[:2].T
    return AffineMap(matrix, centre, np.zeros(2))


class PositionSteps:
    """Collects steps of single patterns during a sweep, and applies the prior after it."""

    def __init__(self, given_xy: Float64Array, limit_px: float) -> None:
        """Start at the given positions.

        Args:
            given_xy: given positions (pattern, 2), axis 1 = (x, y), pixels.
            limit_px: largest distance of a position from the affine image of its given place, pixels.
        """
        self._given = given_xy
        self._limit = limit_px
        self._spread = _FIRST_SPREAD_PX
        self._information = np.zeros(len(given_xy))
        self.map = fit_affine(given_xy, given_xy, np.zeros(len(given_xy)))
        """The affine map so far."""
        self.is_map_free = False
        """True if the affine map follows the positions. False removes the affine part that positions have in common."""

    @property
    def spread_px(self) -> float:
        """Standard deviation of the positions around the affine map, along an axis, pixels."""
        return self._spread

    def take(self, affine: AffineMap, positions_xy: Float64Array) -> Float64Array:
        """Take another affine map, and return the positions (pattern, 2), moved by the difference of the maps."""
        moved = positions_xy + affine.apply(self._given) - self.map.apply(self._given)
        self.map = affine
        return np.asarray(moved)

    def moved(
        self,
        rows: IntArray,
        positions_xy: Float64Array,
        patches: Complex64Array,
        toward_object: Complex64Array,
        light: Float32Array,
        dispersion: float,
    ) -> Float64Array:
        """Return the positions of some patterns after a step.

        Args:
            rows: rows of the patterns (pattern,).
            positions_xy: their present positions (pattern, 2), pixels.
            patches: their object patches (pattern, N, N).
            toward_object: sum over modes of conj(P) times the change of the exit wave (pattern, N, N).
            light: sum over modes of |P|^2 (N, N).
            dispersion: variance of the counts, divided by that of the likelihood.

        Returns:
            New positions (pattern, 2), axis 1 = (x, y), pixels.
        """
        score, curvature = _score_and_curvature(patches, toward_object, light)
        # The misfit 2 (modulus - amplitude)^2 sees half the energy of a change: the part along the far field.
        score, curvature = 4 * score / dispersion, 2 * curvature / dispersion
        self._information[rows] = np.trace(curvature, axis1=1, axis2=2) / 2
        prior = 1 / self._spread**2
        pull = prior * (self.map.apply(self._given[rows]) - positions_xy)
        step = np.linalg.solve(curvature + prior * np.eye(2), (score + pull)[..., np.newaxis])[..., 0]
        length = np.hypot(step[:, 0], step[:, 1])
        step *= np.minimum(1, STEP_LIMIT_PX / np.maximum(length, 1e-9))[:, np.newaxis]
        return np.asarray(positions_xy + step)

    def settle(self, positions_xy: Float64Array, fitted: IntArray) -> Float64Array:
        """Fit the prior to the positions after a sweep, and keep them within their limit.

        Args:
            positions_xy: positions of all patterns (pattern, 2), pixels.
            fitted: rows of the fitted patterns, which decide.

        Returns:
            Positions (pattern, 2); the mean of the fitted ones is that of their given positions.
        """
        drift = (positions_xy - self._given)[fitted].mean(axis=0)
        positions = positions_xy - drift
        # A single outlier must not turn the whole scan.
        apart = np.hypot(*(positions - self.map.apply(self._given)).T)
        weights = np.where(apart[fitted] <= 3 * np.median(apart[fitted]) + 1e-3, 1.0, 0.0)
        common = fit_affine(self._given[fitted], positions[fitted], weights)
        if self.is_map_free:
            # The object follows the positions, so a sweep shows only a part of the error of the map.
            matrix = self.map.matrix + _MAP_GAIN * (common.matrix - self.map.matrix)
            self.map = replace(common, matrix=matrix)
            positions = positions + self.map.apply(self._given) - common.apply(self._given)
        else:
            positions = positions + self.map.apply(self._given) - common.apply(self._given)
        around = self.map.apply(self._given)
        offset = positions - around
        left = 1 / (self._information[fitted] + 1 / self._spread**2)
        squared = np.sum(offset[fitted] ** 2, axis=1) / 2
        typical = np.median(squared) / np.log(2) + np.median(left)
        self._spread = float(np.clip(np.sqrt(typical), _LEAST_SPREAD_PX, self._limit))
        length = np.hypot(offset[:, 0], offset[:, 1])
        return np.asarray(around + offset * np.minimum(1, self._limit / np.maximum(length, 1e-9))[:, np.newaxis])


def _score_and_curvature(
    patches: Complex64Array, toward_object: Complex64Array, light: Float32Array
) -> tuple[Float64Array, Float64Array]:
    """Return Re sum conj(dO/dx) toward_object (pattern, 2) and Re sum light conj(dO/dx) dO/dy (pattern, 2, 2).

    A move of a position by +x reads the object further along x, so the patch changes by +dO/dx.
    """
    along_x, along_y = np.zeros_like(patches), np.zeros_like(patches)
    np.subtract(patches[:, :, 2:], patches[:, :, :-2], out=along_x[:, :, 1:-1])
    np.subtract(patches[:, 2:], patches[:, :-2], out=along_y[:, 1:-1])
    derivatives = [(0.5 * along).reshape(len(patches), -1).view(np.float32) for along in (along_x, along_y)]
    change = toward_object.reshape(len(patches), -1).view(np.float32)
    score = np.stack([np.einsum("ki,ki->k", derivative, change) for derivative in derivatives], axis=1)
    weight = np.repeat(light.ravel(), 2)
    lit = [derivative * weight for derivative in derivatives]
    xx, xy, yy = (np.einsum("ki,ki->k", lit[i], derivatives[j]) for i, j in ((0, 0), (0, 1), (1, 1)))
    curvature = np.stack([xx, xy, xy, yy], axis=1).reshape(-1, 2, 2)
    return score.astype(np.float64), curvature.astype(np.float64)
