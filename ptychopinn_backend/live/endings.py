"""What a scan leaves that came by a stream: the files that `infer` writes."""

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
    """Write the object as it grew with the stream, and the frames that were kept as a scan file.

    Args:
        model: that predicted it.
        ended: the scan.
        folder: made when missing.
        measurement: what the frames hold, 'counts' or 'amplitudes'.

    Returns:
        The files written; none for a scan without a used frame.

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
    """Reconstruct the frames that were used once more, as `infer` does, and write its files in place of the streamed.

    Frames are in the order of their numbers then, normalised by the mean of all of them, and examined together.

    Args:
        model: a trained model.
        frames: scan file that `write_streamed` wrote.
        folder: of the results.
        polish_steps: as for `reconstruct`.

    Returns:
        The files written; none where the frames are too many for the memory, which is said.
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
