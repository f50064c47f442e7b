"""A figure of one object from fewer and fewer positions, from this network above a classical solver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.config.scan_traits import scan_traits
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.evaluation.metrics import relative_phases
from ptychopinn_backend.evaluation.scores import align_objects
from ptychopinn_backend.files.atomic_file import atomic_file
from ptychopinn_backend.files.pictures import new_figure, own_settings
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DPI: Final = 120


class Column(NamedTuple):
    """Reconstructions of one scan by two programs, each with its R-free."""

    scan: RawData
    ours: tuple[Reconstruction, float]
    classical: tuple[Reconstruction, float]


@own_settings()
def save_sparse_figure(columns: Sequence[Column], whole: RawData, path: Path) -> None:
    """Save phases beside the truth, and the places of the beam in the last column's scan, as PNG.

    Args:
        columns: one column for each scan, all of one object.
        whole: the scan with all positions and the true object; it decides the region to show.
        path: file to write, atomically; its folder must exist.

    Raises:
        DataError: a reconstruction shares too few pixels with the truth.
    """
    figure = new_figure(3.2 * (len(columns) + 1), 6.9)
    axes = figure.subplots(2, len(columns) + 1, squeeze=False)
    truth: AnyArray = np.zeros((1, 1))
    shown: list[tuple[Axes, AnyArray, str]] = []
    for place, column in enumerate(columns):
        for row, (name, made) in enumerate((("this network", column.ours), ("classical", column.classical))):
            phase, truth = _phases(made[0], whole)
            title = f"{name}, {column.scan.n_patterns} positions\nR-free {made[1]:.3f}"
            shown.append((axes[row, place], phase, title))
    shown.append((axes[0, -1], truth, "truth\n"))
    low, high = np.percentile(truth, (0.5, 99.5))
    for axis, phase, title in shown:
        image: Any = axis.imshow(phase, cmap="viridis", vmin=low, vmax=high, interpolation="nearest")
        axis.set_title(title, fontsize="medium")
        axis.set_axis_off()
    figure.colorbar(image, ax=axes, label="phase (rad)", shrink=0.5)
    _draw_positions(axes[1, -1], columns[-1].scan)
    with atomic_file(path) as stream:
        figure.savefig(stream, format="png", dpi=_DPI)


def _phases(made: Reconstruction, whole: RawData) -> tuple[AnyArray, AnyArray]:
    assert whole.objectGuess is not None
    # Without its weight, each reconstruction is cut to the same region, which is that of the whole scan.
    aligned = align_objects(replace(made, weight=None), whole.objectGuess, (0.0, 0.0), whole.positions_xy)
    return relative_phases(aligned.object, aligned.target)


def _draw_positions(axes: Axes, scan: RawData) -> None:
    from matplotlib.patches import Circle

    traits = scan_traits(scan)
    width = traits.probe_width_px if traits is not None else scan.N / 2
    for x, y in scan.positions_xy:
        axes.add_patch(Circle((x, y), width / 2, facecolor="tab:blue", alpha=0.15, edgecolor="tab:blue"))
    low, high = scan.positions_xy.min(axis=0), scan.positions_xy.max(axis=0)
    axes.set(xlim=(low[0], high[0]), ylim=(high[1], low[1]), aspect="equal", xticks=[], yticks=[])
    axes.set_title(f"the beam at {scan.n_patterns} positions\n(width with 90 % of the light)", fontsize="medium")
