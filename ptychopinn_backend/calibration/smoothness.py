"""A quadratic prior on the object: neighbouring pixels are alike, unless the counts contradict.

Minus the logarithm of the prior is sum |difference of neighbours|^2 / variance. Together with the likelihood it gives
the classical regularised reconstruction. The rim without light then continues its neighbours smoothly, without noise.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ptychopinn_backend.arrays import Complex64Array, Float32Array

_INNER_STEPS: Final = 6
_ENOUGH: Final = 0.03
NEGLIGIBLE: Final = 2e-3
"""Strength of the prior relative to the median light, below which its effect is not worth its time."""


def smoothed(target: Complex64Array, light: Float32Array, strength: float) -> Complex64Array:
    """Return the object x that minimises sum light |x - target|^2 + strength sum |difference of neighbours|^2.

    The function takes a few steps of preconditioned conjugate gradients. Pixels without light follow their neighbours.

    Args:
        target: object (row, column) to which the counts alone would lead.
        light: weight of every pixel (row, column), positive.
        strength: weight of the prior, in the unit of `light`.

    Returns:
        Object (row, column).
    """
    diagonal = light + np.float32(4 * strength)
    x = target.copy()
    residual = -np.float32(strength) * _laplacian(target)
    step = residual / diagonal
    rho = first = _inner(residual, step)
    direction = step
    for _ in range(_INNER_STEPS):
        if not rho > _ENOUGH**2 * first:
            break
        image = light * direction + np.float32(strength) * _laplacian(direction)
        alpha = np.float32(rho / _inner(direction, image))
        x += alpha * direction
        residual -= alpha * image
        step = residual / diagonal
        before, rho = rho, _inner(residual, step)
        direction = step + np.float32(rho / before) * direction
    return x


def _laplacian(image: Complex64Array) -> Complex64Array:
    """Return for every pixel the sum over its neighbours of (pixel - neighbour)."""
    out = np.zeros_like(image)
    # A complex pixel is viewed as two real numbers, which gives the same sums in longer rows.
    values, sums = image.view(np.float32), out.view(np.float32)
    down = values[1:] - values[:-1]
    sums[1:] += down
    sums[:-1] -= down
    right = values[:, 2:] - values[:, :-2]
    sums[:, 2:] += right
    sums[:, :-2] -= right
    return out


def _inner(a: Complex64Array, b: Complex64Array) -> float:
    return float(np.vdot(a, b).real)
