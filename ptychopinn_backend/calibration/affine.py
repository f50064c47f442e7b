"""Scale, rotation and shear of a scan, from pieces of the scan under a probe that is assumed to be right.

On the whole scan an affine error appears slowly. The object follows the positions, and only patterns within one beam
width contradict them. In a piece that is not much wider than the beam, the error appears in a few sweeps. The spread
over several pieces gives the error of the map.
"""

from __future__ import annotations

import logging
from typing import Final

import numpy as np

from ptychopinn_backend.arrays import Complex64Array, Float64Array
from ptychopinn_backend.calibration.batches import batch_count
from ptychopinn_backend.calibration.estimate import Measured, piece_around, vacuum
from ptychopinn_backend.calibration.positions import AffineMap
from ptychopinn_backend.calibration.refinement import Moves, Refinement
from ptychopinn_backend.physics.likelihood import Likelihood

logger = logging.getLogger(__name__)

_PIECE_PATTERNS: Final = 72
_MOST_PIECES: Final = 4
_OBJECT_SWEEPS: Final = 3
_SWEEPS: Final = 9
_SURE: Final = 2.5
"""Least change of the map that counts, in errors of the mean over pieces."""
_ONE_PIECE_ERROR: Final = 0.003
"""Error of an element of the map from a single piece, which has no others to compare with."""
_LEAST_MOVE_PX: Final = 0.25
"""Least root mean square of the moves of all positions for which a map is applied, pixels."""


def affine_of_pieces(
    measured: Measured, probe: Complex64Array, likelihood: Likelihood, smoothness: float, position_limit_px: float
) -> AffineMap | None:
    """Return the affine map that pieces of a scan agree on.

    Args:
        measured: the patterns.
        probe: probe (mode, N, N) at the scale of the counts; it stays as it is.
        likelihood: law of noise.
        smoothness: strength of the prior on the object, photons per pixel.
        position_limit_px: largest distance of a position from the map, pixels.

    Returns:
        The map; None if it changes too little, or if the pieces disagree.
    """
    matrices = []
    for centre in _centres(measured):
        piece = piece_around(measured, centre, _PIECE_PATTERNS)
        start = vacuum(piece, probe, 2 * position_limit_px)
        refinement = Refinement(piece, start, likelihood, smoothness=smoothness, position_limit_px=position_limit_px)
        refinement.positions.is_map_free = True
        batches = batch_count(piece.given_xy[piece.fitted], probe)
        for _ in range(_OBJECT_SWEEPS):
            refinement.sweep(batches, Moves())
        for _ in range(_SWEEPS):
            refinement.sweep(batches, Moves(positions=True))
        matrices.append(refinement.positions.map.matrix)
    found = np.mean(matrices, axis=0)
    spread = float(np.sqrt(np.var(matrices, axis=0, ddof=1).mean())) if len(matrices) > 1 else _ONE_PIECE_ERROR
    error = max(spread, 1e-4) / np.sqrt(len(matrices))
    change = float(np.sqrt(np.mean((found - np.eye(2)) ** 2)))
    affine = AffineMap(found, measured.given_xy.mean(axis=0), np.zeros(2))
    moves = affine.apply(measured.given_xy) - measured.given_xy
    moved_px = float(np.sqrt(np.mean(np.sum(moves**2, axis=1))))
    logger.info("Pieces of the scan move positions by %.2f px; %.1f times the error.", moved_px, change / error)
    return affine if change > _SURE * error and moved_px > _LEAST_MOVE_PX else None


def _centres(measured: Measured) -> list[Float64Array]:
    """Return the centres of a few cells with equally many patterns."""
    rows = measured.fitted
    cells = [rows]
    wanted = int(np.clip(len(rows) // _PIECE_PATTERNS, 1, _MOST_PIECES))
    while len(cells) < wanted:
        cell = max(cells, key=len)
        cells = [other for other in cells if other is not cell]
        points = measured.given_xy[cell]
        ordered = cell[np.argsort(points[:, int(np.argmax(np.ptp(points, axis=0)))], kind="stable")]
        cells += [ordered[: len(cell) // 2], ordered[len(cell) // 2 :]]
    return [measured.given_xy[cell].mean(axis=0) for cell in cells]
