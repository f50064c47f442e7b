"""The files that a training and a reconstruction write."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ptychopinn_backend.arrays import Complex64Array
from ptychopinn_backend.config import ARCHIVE_NAME
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.files.pictures import drawn
from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

if TYPE_CHECKING:
    from ptychopinn_backend.runs.plan import RunPlan

logger = logging.getLogger(__name__)


def save_training(model: TrainedModel, folder: Path, plan: RunPlan | None = None) -> list[Path]:
    """Write `wts.h5.zip`, `history.csv`, the loss figure and the plan into a folder.

    Args:
        model: a trained model.
        folder: folder of the files; it is made if it is missing.
        plan: plan of the training, written as `run.yaml`; None writes no plan.

    Returns:
        The files that were written. If a figure cannot be drawn, there is a warning instead.
    """
    from ptychopinn_backend.evaluation.figures import save_loss_figure
    from ptychopinn_backend.seam.epoch_log import CSV_NAME, write_history

    folder.mkdir(parents=True, exist_ok=True)
    archive = model.save(folder / ARCHIVE_NAME)
    table = folder / CSV_NAME
    write_history(model.history, table)
    plans = [] if plan is None else [plan.write(folder)]
    return [archive, table, *plans, *drawn(lambda path: save_loss_figure(model.history, path), folder / "loss.png")]


def save_reconstruction(
    reconstruction: Reconstruction,
    folder: Path,
    *,
    truth: Complex64Array | None = None,
    losses: Sequence[float] = (),
) -> list[Path]:
    """Write `reconstruction.npz`, `reconstruction.h5` and `reconstruction.png` into a folder.

    Args:
        reconstruction: what to write.
        folder: folder of the files; it is made if it is missing.
        truth: true object (row, column) in the frame of the scan, or None. The figure shows it beside the
            reconstruction if the two share enough pixels.
        losses: training loss of every epoch, kept in `reconstruction.h5`.

    Returns:
        The files that were written. If the figure cannot be drawn, there is a warning instead.
    """
    from ptychopinn_backend.evaluation.figures import save_reconstruction_figure

    def draw(path: Path) -> None:
        try:
            save_reconstruction_figure(reconstruction, path, truth=truth)
        except DataError as error:
            if truth is None:
                raise
            logger.warning("The figure shows the reconstruction alone, without the truth. %s", error)
            save_reconstruction_figure(reconstruction, path)

    folder.mkdir(parents=True, exist_ok=True)
    npz, product, figure = (folder / f"reconstruction.{suffix}" for suffix in ("npz", "h5", "png"))
    reconstruction.save_npz(npz)
    reconstruction.save_hdf5(product, losses=losses)
    return [npz, product, *drawn(draw, figure)]
