"""Draw reconstructions of one scan side by side, phase above amplitude, on the pixels of a reference.

python benchmarks/fidelity_figure.py scan.npz reference.npz figure.png "one pass=a.npz" "polished=b.npz"
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click
import numpy as np

from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.evaluation import AlignedObjects, align_objects, metrics
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

INCHES: Final = 2.6


def aligned(file: str, reference: Reconstruction, scan: RawData) -> AlignedObjects:
    """Return a reconstruction on the pixels of the reference."""
    return align_objects(Reconstruction.load_npz(file), reference.object, reference.origin_rc, scan.positions_xy)


@click.command()
@click.argument("scan_file", type=click.Path(path_type=Path))
@click.argument("reference_file", type=click.Path(path_type=Path))
@click.argument("figure", type=click.Path(path_type=Path))
@click.argument("labelled", nargs=-1, required=True)
def main(scan_file: Path, reference_file: Path, figure: Path, labelled: tuple[str, ...]) -> None:
    """Write FIGURE from LABEL=FILE pairs."""
    from matplotlib.figure import Figure

    scan, reference = RawData.from_file(scan_file), Reconstruction.load_npz(reference_file)
    pairs = [entry.partition("=")[::2] for entry in labelled]
    found = [(label, aligned(file, reference, scan)) for label, file in pairs]
    target = found[0][1].target
    images = [(label, item.object) for label, item in found if item.target.shape == target.shape]
    images.append(("iterative reference", target))
    limits = [
        np.quantile(part, (0.005, 0.995)) for part in (metrics.relative_phases(target, target)[0], np.abs(target))
    ]
    canvas = Figure(figsize=(INCHES * len(images), 2 * INCHES + 0.4), layout="constrained", dpi=80)
    axes = canvas.subplots(2, len(images), squeeze=False)
    for column, (label, obj) in enumerate(images):
        for row, part in enumerate((metrics.relative_phases(obj, target)[0], np.abs(obj))):
            axes[row, column].imshow(part, cmap="gray", vmin=limits[row][0], vmax=limits[row][1])
            axes[row, column].set_axis_off()
        axes[0, column].set_title(label, fontsize=10)
    canvas.savefig(figure)


if __name__ == "__main__":
    main()
