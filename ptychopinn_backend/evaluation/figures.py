"""Figures of a reconstruction and of a training run, drawn without a display."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray, BoolArray, Complex64Array, FloatArray, IntArray
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.evaluation.metrics import relative_phases, remove_phase_ramp
from ptychopinn_backend.evaluation.scores import MIN_RELATIVE_WEIGHT, align_objects
from ptychopinn_backend.files.atomic_file import atomic_file
from ptychopinn_backend.files.pictures import new_figure, own_settings
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PERCENTILES: Final = (0.5, 99.5)
_NEARLY_A_TURN_RAD: Final = 1.8 * np.pi
_DPI: Final = 130


@own_settings()
def save_reconstruction_figure(
    reconstruction: Reconstruction,
    path: str | Path,
    truth: Complex64Array | None = None,
    truth_origin_rc: tuple[float, float] = (0.0, 0.0),
) -> None:
    """Save amplitude and phase of a reconstruction as PNG, above the ground truth if there is one.

    The phase is shown without its global phase and linear ramp. With a ground truth, both objects are shown on the
    pixels of the truth that the scan covers. They have the same colours, and the amplitude is scaled to the truth. If
    the reconstruction has uncertainties, the last row shows them.

    Args:
        reconstruction: the reconstruction to show.
        path: file to write, atomically; its folder must exist.
        truth: the true object (row, column), or None.
        truth_origin_rc: place of scan coordinate (0, 0) in `truth` (row, column), pixels.

    Raises:
        DataError: there is a truth, and the reconstruction has no positions or shares too few pixels with it.
    """
    if truth is None:
        panels = [("Reconstruction", *_alone(reconstruction))]
    else:
        panels = _beside_truth({"Reconstruction": reconstruction}, truth, truth_origin_rc)
    title = f"PtychoPINN, {reconstruction.backend} backend" if reconstruction.backend else ""
    _save(_panels_figure(panels, title, _uncertainty(reconstruction)), path)


def reconstruction_figure(reconstruction: Reconstruction) -> Figure:
    """Return the figure of `save_reconstruction_figure` without a truth; the caller draws it with `own_settings`."""
    return _panels_figure([("Reconstruction", *_alone(reconstruction))], "", _uncertainty(reconstruction))


@own_settings()
def reconstruction_png(reconstruction: Reconstruction) -> bytes:
    """Return the figure of `save_reconstruction_figure` without a truth as a PNG file in memory."""
    return _png(reconstruction_figure(reconstruction))


@own_settings()
def patches_png(patches: Complex64Array, names: Sequence[str]) -> bytes:
    """Return amplitude and phase of some patches, one row per patch, as a PNG file in memory.

    Args:
        patches: patches (patch, N, N).
        names: one name per patch, shown above it.

    Returns:
        Content of the file.
    """
    panels = [(name, np.abs(patch), np.angle(patch)) for name, patch in zip(names, patches, strict=True)]
    return _png(_panels_figure(panels, ""))


@own_settings()
def save_amplitude_and_phase(
    reconstruction: Reconstruction, folder: Path, phase_limits: tuple[float | None, float | None] = (None, None)
) -> list[Path]:
    """Save amplitude and phase of a reconstruction as two pictures.

    Args:
        reconstruction: the reconstruction to show; its phase is shown without its global phase and linear ramp.
        folder: folder of `reconstructed_amplitude.png` and `reconstructed_phase.png`.
        phase_limits: smallest and largest phase of the colours in radians; None fits them to the phase.

    Returns:
        Paths of the files.
    """
    amplitude, phase = _alone(reconstruction)
    fitted = _limits(phase)
    limits = tuple(value if given is None else given for given, value in zip(phase_limits, fitted, strict=True))
    written = []
    for name, image, colours, shown, label in (
        ("amplitude", amplitude, "gray", _limits(amplitude), "amplitude"),
        ("phase", phase, "viridis", (limits[0], limits[1]), "phase (rad)"),
    ):
        figure = new_figure(6, 5)
        _show(figure.subplots(), image, f"Reconstructed {name}", colours, shown, label)
        written.append(folder / f"reconstructed_{name}.png")
        _save(figure, written[-1])
    return written


@own_settings()
def save_comparison_figure(
    reconstructions: Mapping[str, Reconstruction],
    path: str | Path,
    truth: Complex64Array,
    truth_origin_rc: tuple[float, float] = (0.0, 0.0),
) -> None:
    """Save amplitude and phase of several reconstructions of one scan above the truth, as PNG.

    Args:
        reconstructions: reconstructions of one scan, by the name to show.
        path: file to write, atomically; its folder must exist.
        truth: the true object (row, column).
        truth_origin_rc: place of scan coordinate (0, 0) in `truth` (row, column), pixels.

    Raises:
        DataError: a reconstruction has no positions, or shares too few pixels with the truth.
    """
    _save(_panels_figure(_beside_truth(reconstructions, truth, truth_origin_rc), ""), path)


def _panels_figure(
    panels: Sequence[tuple[str, AnyArray, AnyArray]], title: str, unsure: tuple[AnyArray, AnyArray] | None = None
) -> Figure:
    """Return a figure with one row per panel (name, amplitude, phase), all with the colours of the last panel.

    Args:
        panels: panels from top to bottom.
        title: title above all panels.
        unsure: uncertainties of amplitude and phase, shown in a last row; None adds no row.

    Returns:
        The figure.
    """
    n_rows = len(panels) + (unsure is not None)
    figure = new_figure(11, 4.5 * n_rows + 0.5)
    axes = figure.subplots(n_rows, 2, squeeze=False)
    _, amplitude, phase = panels[-1]
    limits = [_limits(amplitude), _limits(phase)]
    for row, (name, amplitude, phase) in enumerate(panels):
        _show(axes[row, 0], amplitude, f"{name}: amplitude", "gray", limits[0], "amplitude")
        wide = limits[1][1] - limits[1][0] > _NEARLY_A_TURN_RAD
        _show(axes[row, 1], phase, f"{name}: phase", "twilight" if wide else "viridis", limits[1], "phase (rad)")
    if unsure is not None:
        for column, (image, what) in enumerate(zip(unsure, ("amplitude", "phase (rad)"), strict=True)):
            most = (0.0, _limits(image)[1])
            _show(axes[-1, column], image, f"Uncertainty: {what.split()[0]}", "cividis", most, what)
    if title:
        figure.suptitle(title, fontsize="medium")
    return figure


@own_settings()
def save_loss_figure(history: Mapping[str, Sequence[float]], path: str | Path) -> None:
    """Save the loss curves of a training run as PNG.

    Args:
        history: one value per epoch for each name; names with 'loss' in them are drawn.
        path: file to write, atomically; its folder must exist.
    """
    _save(loss_figure(history), path)


def loss_figure(history: Mapping[str, Sequence[float]]) -> Figure:
    """Return the figure of `save_loss_figure`; the caller draws it with `own_settings`.

    Args:
        history: one value per epoch for each name; names with 'loss' in them are drawn.

    Returns:
        The figure.
    """
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(7, 4.2)
    axes = figure.subplots()
    curves = {name: np.asarray(values, float) for name, values in history.items() if "loss" in name and len(values)}
    for name, values in curves.items():
        axes.plot(np.arange(1, len(values) + 1), values, marker="o", markersize=3, linewidth=1.5, label=name)
    positive = [values[np.isfinite(values)] for values in curves.values()]
    if positive and all(len(values) and values.min() > 0 and values.max() > 10 * values.min() for values in positive):
        axes.set_yscale("log")
    axes.set(xlabel="epoch", ylabel="loss", title="Training")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    if curves:
        axes.legend(frameon=False)
    return figure


def _alone(reconstruction: Reconstruction) -> tuple[AnyArray, AnyArray]:
    """Return amplitude and phase (row, column), masked where the scan does not reach."""
    there, hidden = _shown_region(_covered(reconstruction))
    cut = reconstruction.object[there]
    flat = remove_phase_ramp(np.where(hidden, 0, cut))
    return np.ma.array(np.abs(cut), mask=hidden), np.ma.array(np.angle(flat), mask=hidden)


def _uncertainty(reconstruction: Reconstruction) -> tuple[AnyArray, AnyArray] | None:
    """Return the uncertainties of amplitude and phase (row, column), masked where the object is not known."""
    amplitude, phase = reconstruction.amplitude_uncertainty, reconstruction.phase_uncertainty
    covered = _covered(reconstruction)
    known = covered & (reconstruction.object != 0)
    if amplitude is None or phase is None or not known.any():
        return None
    there, _ = _shown_region(covered)
    return np.ma.array(amplitude[there], mask=~known[there]), np.ma.array(phase[there], mask=~known[there])


def _shown_region(covered: BoolArray) -> tuple[tuple[slice, slice], BoolArray]:
    """Return the rectangle around the covered pixels, and a mask of the pixels in it that are not covered."""
    if not covered.any():
        covered = np.ones(covered.shape, bool)
    rows, columns = (_extent(np.flatnonzero(covered.any(axis=axis))) for axis in (1, 0))
    return (rows, columns), ~covered[rows, columns]


def _extent(indices: IntArray) -> slice:
    return slice(int(indices[0]), int(indices[-1]) + 1)


def _covered(reconstruction: Reconstruction) -> BoolArray:
    weight = reconstruction.weight
    if weight is None:
        return np.asarray(reconstruction.object != 0)
    positive = weight[weight > 0]
    if not positive.size:
        return np.zeros(weight.shape, bool)
    return np.asarray(weight >= MIN_RELATIVE_WEIGHT * np.median(positive))


def _beside_truth(
    reconstructions: Mapping[str, Reconstruction], truth: Complex64Array, truth_origin_rc: tuple[float, float]
) -> list[tuple[str, AnyArray, AnyArray]]:
    panels = []
    for name, reconstruction in reconstructions.items():
        if reconstruction.positions_xy is None:
            raise DataError(
                "the reconstruction holds no scan positions; they are needed to lay it beside a truth. "
                "Set positions_xy, or leave the truth out."
            )
        aligned = align_objects(reconstruction, truth, truth_origin_rc, reconstruction.positions_xy)
        phase, true_phase = relative_phases(aligned.object, aligned.target)
        panels.append((name, np.abs(aligned.object), phase))
    return [*panels, ("Ground truth", np.abs(aligned.target), true_phase)]


def _limits(values: AnyArray) -> tuple[float, float]:
    """Return colour limits that are not equal and that do not follow a few outliers."""
    low, high = np.percentile(np.ma.compressed(values), _PERCENTILES)
    room = max(0.02 * (high - low), 1e-3 * max(abs(low), abs(high)), 1e-6)
    return float(low - room), float(high + room)


def _show(axes: Axes, image: FloatArray, title: str, colours: str, limits: tuple[float, float], label: str) -> None:
    shown: Any = axes.imshow(image, cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    axes.set(title=title, xlabel="column (px)", ylabel="row (px)")
    figure = axes.get_figure()
    assert figure is not None
    figure.colorbar(shown, ax=axes, label=label, extend="both", shrink=0.9)


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_DPI)
    return stream.getvalue()


def _save(figure: Figure, path: str | Path) -> None:
    with atomic_file(path) as stream:
        figure.savefig(stream, format="png", dpi=_DPI)
