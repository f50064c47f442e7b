"""Pictures of a scan: its mean pattern and mask, its dose, its positions, its probe, its counts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ptychopinn_backend.arrays import BoolArray, Float64Array, IntArray
from ptychopinn_backend.checking.subject import Subject
from ptychopinn_backend.data.findings.finding import Finding
from ptychopinn_backend.files.pictures import new_figure
from ptychopinn_backend.runs.orientation import OrientationSearch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_MODES: Final = 4
_MOST_CIRCLES: Final = 60
_MOST_LINES: Final = 20000


def mean_pattern(subject: Subject, given: BoolArray | None, proposed: BoolArray) -> Figure:
    """Draw the mean pattern, with the mask of the file and the one that is proposed.

    Args:
        subject: the scan.
        given: pixels the file marks as bad (N, N), or None.
        proposed: pixels that are proposed in addition (N, N).

    Returns:
        The figure.
    """
    from matplotlib.colors import ListedColormap

    figure = new_figure(6.2, 5.2)
    axes = figure.subplots()
    _logarithmic(axes, subject.mean, "counts of a pattern, on average")
    for mask, colour in ((given, "#3d8bfd"), (proposed, "#e5383b")):
        if mask is not None and mask.any():
            shown = np.ma.masked_where(~mask, np.ones(mask.shape))
            axes.imshow(shown, cmap=ListedColormap([colour]), interpolation="nearest", vmin=0, vmax=1)
    N = subject.raw.N
    axes.plot([N // 2], [N // 2], marker="+", color="#00b4d8", markersize=9, markeredgewidth=0.8)
    axes.set(xlabel="column (px)", ylabel="row (px)", title="Mean pattern")
    return figure


def dose(subject: Subject) -> Figure:
    """Draw the photons of every pattern at its place in the scan."""
    figure = new_figure(6.2, 5.2)
    axes = figure.subplots()
    x, y = subject.raw.positions_xy.T
    shown = axes.scatter(x, y, c=subject.photons, s=_size(len(x)), cmap="viridis", linewidths=0)
    figure.colorbar(shown, ax=axes, label="photons of the pattern")
    _as_object(axes, "Dose over the scan")
    return figure


def footprint(subject: Subject, findings: Iterable[Finding]) -> Figure:
    """Draw the path of the scan with the probe's width around some of its points, and the points of findings.

    Args:
        subject: the scan.
        findings: those with points are marked.

    Returns:
        The figure.
    """
    from matplotlib.collections import EllipseCollection

    figure = new_figure(6.2, 5.2)
    axes = figure.subplots()
    positions = subject.raw.positions_xy
    axes.plot(positions[:_MOST_LINES, 0], positions[:_MOST_LINES, 1], color="#b9c4cf", linewidth=0.7, zorder=1)
    traits = subject.traits
    if traits is not None:
        middle = np.argsort(np.hypot(*(positions - np.median(positions, axis=0)).T))[:_MOST_CIRCLES]
        width = np.full(len(middle), traits.probe_width_px)
        circles = EllipseCollection(
            width, width, np.zeros(len(middle)), offsets=positions[middle], units="xy", offset_transform=axes.transData
        )
        circles.set(facecolor="#1c6dd0", alpha=0.07, edgecolor="#1c6dd0", linewidth=0.4)
        axes.add_collection(circles)
    axes.scatter(positions[:, 0], positions[:, 1], s=_size(len(positions)) / 2, color="#1c2530", linewidths=0, zorder=2)
    marked = _rows_of(subject, findings)
    if len(marked):
        axes.scatter(
            positions[marked, 0],
            positions[marked, 1],
            s=40,
            facecolors="none",
            edgecolors="#e5383b",
            zorder=3,
            label="findings",
        )
        axes.legend(frameon=False, loc="upper right")
    _as_object(axes, "Positions and the probe's footprint")
    return figure


def probe_modes(subject: Subject) -> Figure:
    """Draw amplitude and phase of the probe's modes, phase as colour and amplitude as brightness."""
    from matplotlib.colors import hsv_to_rgb

    probe = np.asarray(subject.raw.probeGuess)[:_MOST_MODES]
    powers = np.asarray(np.sum(np.abs(np.asarray(subject.raw.probeGuess)) ** 2, axis=(1, 2), dtype=np.float64))
    figure = new_figure(3.0 * len(probe) + 0.4, 3.2)
    for number, (axes, mode) in enumerate(zip(figure.subplots(1, len(probe), squeeze=False)[0], probe, strict=True)):
        brightness = np.abs(mode) / (np.abs(mode).max() or 1.0)
        hue = (np.angle(mode) / (2 * np.pi)) % 1.0
        axes.imshow(hsv_to_rgb(np.stack([hue, np.ones_like(hue), brightness], axis=-1)), interpolation="nearest")
        axes.set_title(f"mode {number}: {powers[number] / powers.sum():.0%}", fontsize="medium")
    return figure


def counts(subject: Subject) -> Figure:
    """Draw how often every count occurs in the sampled patterns."""
    figure = new_figure(6.2, 4.2)
    axes = figure.subplots()
    values = subject.sample[:, subject.good]
    highest = max(2.0, float(values.max(initial=0.0)))
    edges = np.arange(-0.5, min(20.0, highest + 1))
    if highest > edges[-1]:
        edges = np.concatenate([edges, np.geomspace(edges[-1], highest * 1.02, 60)[1:]])
    number = np.histogram(values, edges)[0] / np.maximum(np.diff(edges), 1.0)
    middles = (edges[:-1] + edges[1:]) / 2
    axes.step(middles, np.where(number > 0, number, np.nan), where="mid", color="#1c6dd0")
    axes.set_xscale("symlog", linthresh=1.0)
    axes.set_yscale("log")
    axes.set(xlabel="counts of a pixel", ylabel="pixels of the sampled patterns, a count", title="Histogram of counts")
    axes.grid(alpha=0.3)
    return figure


def orientations(search: OrientationSearch) -> Figure:
    """Draw how well each way the positions may run explains the counts."""
    names, values = [str(way) for way in search.r_factors], list(search.r_factors.values())
    figure = new_figure(7.5, 0.3 * len(names) + 1.1)
    axes = figure.subplots()
    colours = ["#2e6b3f" if search.is_clear and number == 0 else "#9fb0c0" for number in range(len(names))]
    axes.barh(names, values, color=colours)
    axes.invert_yaxis()
    axes.set(xlabel="R-factor after a few steps from vacuum", title="Which way the positions run")
    return figure


def _logarithmic(axes: Axes, image: Float64Array, label: str) -> None:
    from matplotlib.colors import LogNorm

    positive = image[image > 0]
    low = float(np.quantile(positive, 0.02)) if positive.size else 1e-3
    high = float(positive.max()) if positive.size else 1.0
    shown: Any = axes.imshow(
        np.maximum(image, low), cmap="magma", norm=LogNorm(low, max(high, 1.01 * low)), interpolation="nearest"
    )
    figure = axes.get_figure()
    assert figure is not None
    figure.colorbar(shown, ax=axes, label=label)


def _as_object(axes: Axes, title: str) -> None:
    axes.set(xlabel="x (px)", ylabel="y (px)", title=title, aspect="equal")
    axes.invert_yaxis()


def _size(count: int) -> float:
    return float(np.clip(6000 / count, 2, 40))


def _rows_of(subject: Subject, findings: Iterable[Finding]) -> IntArray:
    points = [item.points for item in findings if item.points is not None]
    return np.flatnonzero(np.isin(subject.rows, np.concatenate(points))) if points else np.zeros(0, np.int64)
