"""The files of a scan that came by a stream; they are the files that `infer` writes."""

from __future__ import annotations

import logging
from pathlib import Path

from ptychopinn_backend.data.dataset.sources import exceeds_memory_part
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.live.live_stream import EndedScan
from ptychopinn_backend.runs.reconstruct import reconstruct
from ptychopinn_backend.runs.results import save_reconstruction
from ptychopinn_backend.runs.trained_model import TrainedModel

logger = logging.getLogger(__name__)


def write_streamed(model: TrainedModel, ended: EndedScan, folder: Path, measurement: str) -> list[Path]:
    """Write the object that grew with the stream, and write the kept frames as a scan file.

    Args:
        model: the model that predicted the object.
        ended: the scan.
        folder: folder of the files; it is made if it is missing.
        measurement: content of the frames, 'counts' or 'amplitudes'.

    Returns:
        The files that were written; an empty list if no frame of the scan was used.

    Raises:
        OutputError: the folder cannot be written.
    """
    result = ended.object.result()
    kept = ended.kept
    if result is None:
        if kept is not None:
            kept.discard()
        return []
    written = save_reconstruction(result, folder, losses=model.history.get("loss", ()))
    if kept is not None and kept.is_complete:
        probe, bad_pixels = ended.object.given
        written.append(kept.finish(folder, ended.object.log, probe, bad_pixels, measurement))
    return written


def write_final(model: TrainedModel, frames: Path, folder: Path, polish_steps: int | None) -> list[Path]:
    """Reconstruct the used frames once more, as `infer` does, and replace the files of the streamed object.

    The frames are then in the order of their numbers, normalised by the mean of all of them, and examined together.

    Args:
        model: a trained model.
        frames: scan file that `write_streamed` wrote.
        folder: folder of the results.
        polish_steps: as for `reconstruct`.

    Returns:
        The files that were written; an empty list if the frames are too large for the memory, with a warning.
    """
    if exceeds_memory_part(frames):
        logger.warning(
            "%s is too large to be read at once: the object that grew with the stream is the result. Run 'ptychopinn "
            "infer' on it on a machine with more memory.",
            frames,
        )
        return []
    made = reconstruct(model, RawData.from_file(frames), polish_steps=polish_steps)
    return save_reconstruction(made, folder, losses=model.history.get("loss", ()))
