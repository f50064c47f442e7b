"""Alignment of patches with arbitrary global phases while they are added to a canvas.

A diffraction pattern does not fix the global phase of its patch. A mean of neighbouring patches without alignment would
therefore cancel. The phases are chosen to maximise the sum over pairs of Re <patch, patch'> on the overlaps, by
coordinate ascent. Patches are added in an order that grows outwards, and each is turned to the phase of the patches
before it. Then each patch is turned several times to the phase of all other patches.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg.blas import caxpy
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components
from scipy.spatial import cKDTree

from ptychopinn_backend.arrays import Complex64Array, Float64Array, IntArray
from ptychopinn_backend.physics.object_patches import Place

_MAX_SWEEPS = 4
_SETTLED_RAD = 1e-2


def add_aligned(canvas: Complex64Array, windows: Complex64Array, corners: IntArray, places: Sequence[Place]) -> None:
    """Add weighted windows to a canvas in place, each multiplied by the phase factor that fits it to the others.

    A window that overlaps nothing is added as it is. The content of the canvas keeps its phase.

    Args:
        canvas: weighted sum of the patches so far (row, column).
        windows: weighted patches (window, side, side).
        corners: first (row, column) of every window in the canvas (window, 2).
        places: places of the windows, from `physics.object_patches.window_places`.
    """
    if not len(windows):
        return
    side = windows.shape[-1]
    order = growth_order(corners, side, _coverage(canvas, corners, side)).tolist()
    overlapping = [(canvas[inside], windows[k][within].ravel()) for k, (inside, within) in enumerate(places)]
    order = [k for k in order if overlapping[k][1].size]
    factors = [0j] * len(windows)
    norms = [0.0] * len(windows)
    for k in order:
        _turn(overlapping[k], factors, k, norm=0.0, otherwise=1.0)
        window = overlapping[k][1]  # still in the processor's cache
        norms[k] = np.vdot(window, window).real
    for _ in range(_MAX_SWEEPS):
        changes = [_turn(overlapping[k], factors, k, norms[k], otherwise=factors[k]) for k in order]
        if max(changes, default=0.0) < _SETTLED_RAD:
            break


def _turn(
    overlap: tuple[Complex64Array, Complex64Array], factors: list[complex], k: int, norm: float, otherwise: complex
) -> float:
    """Turn window k to the phase of the other content under it, and return how far its factor moved.

    Args:
        overlap: the part of the canvas under the window, changed in place, and the window as a row.
        factors: factors of the windows in the canvas now (0: not added yet); entry k is changed.
        k: number of the window.
        norm: sum of the squared moduli of the window, which it adds to its own overlap.
        otherwise: factor to take if nothing else lies under the window.

    Returns:
        Distance between the factors before and after.
    """
    canvas, window = overlap
    under = canvas.ravel()
    factor = _phase_factor(complex(np.vdot(window, under)) - factors[k] * norm, otherwise)
    change, factors[k] = factor - factors[k], factor
    # The sum uses a contiguous copy in one pass, since rows of the canvas are short and far apart.
    canvas[...] = caxpy(window, under, a=change).reshape(canvas.shape)
    return abs(change)


def growth_order(corners: IntArray, side: int, coverage: Float64Array) -> IntArray:
    """Return an order in which every window overlaps earlier windows, as far as possible.

    The windows are sorted into cells of a quarter of their side. The cells are visited breadth first over their
    neighbours. The visit starts where most lies already, or otherwise in the middle of the scan.

    Args:
        corners: first (row, column) of every window (window, 2).
        side: side of the windows in pixels.
        coverage: amount that lies already under every window (window,); zero for none.

    Returns:
        Indices of the windows (window,).
    """
    cells, cell_of_window = np.unique((corners - corners.min(axis=0)) // max(1, side // 4), axis=0, return_inverse=True)
    cell_of_window = cell_of_window.ravel()
    # Older SciPy walks graphs with 32-bit indices only. With others it gives wrong islands and raises no error.
    pairs = cKDTree(cells).query_pairs(2.9, output_type="ndarray").astype(np.int32)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(cells), len(cells))).tocsr()
    cell_coverage = np.zeros(len(cells))
    np.maximum.at(cell_coverage, cell_of_window, coverage)
    preference = np.lexsort((np.linalg.norm(cells - cells.mean(axis=0), axis=1), -cell_coverage))
    islands = connected_components(graph, directed=False)[1]
    _, first = np.unique(islands[preference], return_index=True)
    rank = np.empty(len(cells), np.int64)
    visited = 0
    for start in preference[np.sort(first)]:
        reached = breadth_first_order(graph, start, directed=False, return_predecessors=False)
        rank[reached] = np.arange(visited, visited + len(reached))
        visited += len(reached)
    return np.argsort(rank[cell_of_window], kind="stable")


def _coverage(canvas: Complex64Array, corners: IntArray, side: int) -> Float64Array:
    centres = np.clip(corners + side // 2, 0, np.array(canvas.shape) - 1)
    return np.abs(canvas[centres[:, 0], centres[:, 1]]).astype(np.float64)


def _phase_factor(overlap: complex, otherwise: complex) -> complex:
    magnitude = abs(overlap)
    return overlap / magnitude if magnitude > 0 else otherwise
