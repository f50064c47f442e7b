"""Pictures of a result: curves of a training, the light over an object, R by pattern, ring correlation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ptychopinn_backend.arrays import Float64Array, FloatArray
from ptychopinn_backend.evaluation.figures import loss_figure, reconstruction_figure
from ptychopinn_backend.evaluation.metrics import FourierRingCorrelation
from ptychopinn_backend.files.pictures import new_figure
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def curves(history: Mapping[str, Sequence[float]]) -> Figure:
    """Draw the losses of a training."""
    return loss_figure(history)


def object_of(reconstruction: Reconstruction) -> Figure:
    """Draw amplitude and phase of the object where the scan covers it."""
    # The page shows its uncertainties by themselves, beside their names.
    return reconstruction_figure(replace(reconstruction, amplitude_uncertainty=None, phase_uncertainty=None))


def plane(values: FloatArray, title: str, label: str) -> Figure:
    """Draw an image over the object.

    Args:
        values: (row, column), not a number where nothing is known.
        title: above it.
        label: of its colours.

    Returns:
        The figure.
    """
    figure = new_figure(6.2, 5.2)
    axes = figure.subplots()
    known = values[np.isfinite(values)]
    high = float(np.quantile(known, 0.999)) if known.size else 1.0
    shown: Any = axes.imshow(values, cmap="cividis", interpolation="nearest", vmin=0, vmax=high or 1.0)
    axes.set(title=title, xlabel="column (px)", ylabel="row (px)")
    figure.colorbar(shown, ax=axes, label=label)
    return figure


def r_over_scan(positions_xy: Float64Array, r_factors: Float64Array) -> Figure:
    """Draw the R-factor of every pattern at its place, and how they are distributed.

    Args:
        positions_xy: (pattern, 2).
        r_factors: (pattern,).

    Returns:
        The figure.
    """
    figure = new_figure(11, 4.8)
    axes, below = figure.subplots(1, 2)
    high = float(np.quantile(r_factors, 0.99))
    size = float(np.clip(6000 / len(r_factors), 2, 40))
    x, y = positions_xy.T
    shown = axes.scatter(x, y, c=r_factors, s=size, cmap="inferno", vmin=0, vmax=high or 1.0, linewidths=0)
    axes.invert_yaxis()
    axes.set(title="R-factor by pattern", xlabel="x (px)", ylabel="y (px)", aspect="equal")
    figure.colorbar(shown, ax=axes, label="R", extend="max")
    below.hist(r_factors, bins=40, color="#1c6dd0")
    below.axvline(float(np.median(r_factors)), color="#e5383b", linewidth=1)
    below.set(title=f"median {np.median(r_factors):.3f}", xlabel="R of a pattern", ylabel="patterns")
    return figure


def ring_correlation(curve: FourierRingCorrelation, resolution_px: float) -> Figure:
    """Draw a ring correlation with the half-bit threshold.

    Args:
        curve: of two objects.
        resolution_px: half-period where it falls below the threshold.

    Returns:
        The figure.
    """
    figure = new_figure(7, 4.2)
    axes = figure.subplots()
    inside = curve.frequency_per_px <= 0.5
    axes.plot(curve.frequency_per_px[inside], curve.correlation[inside], color="#1c6dd0", label="ring correlation")
    threshold = curve.half_bit_threshold()[inside]
    axes.plot(curve.frequency_per_px[inside], threshold, color="#9a5b00", linestyle="--", label="half bit")
    if np.isfinite(resolution_px):
        axes.axvline(0.5 / resolution_px, color="#5b6773", linewidth=0.8)
    axes.set(xlabel="spatial frequency (1 / px)", ylabel="correlation", ylim=(-0.05, 1.05))
    axes.set_title(f"half-period {resolution_px:.3g} px" if np.isfinite(resolution_px) else "no common frequency")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure
