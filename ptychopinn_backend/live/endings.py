"""The files of a scan that came by a stream; they are the files that `infer` writes."""

from __future__ import annotations

import logging
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from ptychopinn_backend.data.dataset.sources import exceeds_memory_part
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import DataError, OutputError
from ptychopinn_backend.files.atomic_file import writing
from ptychopinn_backend.live.kept_frames import NAME
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
    result, kept = ended.object.result(), ended.kept
    if result is None:
        if kept is not None:
            kept.discard()
        return []
    losses = model.history.get("loss", ())
    try:
        with writing(folder):
            written = save_reconstruction(result, folder, losses=losses)
    except OutputError as error:
        if kept is None or not kept.is_complete:
            raise
        logger.warning("The frames of scan %d are removed to make room for its object. %s", ended.index, error)
        kept.discard()
        with writing(folder):
            written = save_reconstruction(result, folder, losses=losses)
    if kept is not None and kept.is_complete:
        probe, bad_pixels = ended.object.given
        try:
            written.append(kept.finish(folder, ended.object.log, probe, bad_pixels, measurement))
        except OutputError as error:
            logger.warning("Scan %d stays as it grew with the stream, without its frames. %s", ended.index, error)
            kept.discard()
    return written


def write_final(model: TrainedModel, frames: Path, folder: Path, polish_steps: int | None) -> list[Path]:
    """Reconstruct the used frames once more, as `infer` does, and replace the files of the streamed object.

    The frames are then in the order of their numbers, normalised by the mean of all of them, and examined together.

    Args:
        model: a trained model.
        frames: scan file that `write_streamed` wrote.
        folder: folder of the results.
        polish_steps: number of polish steps, as for `reconstruct`.

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


class ScanWriter:
    """Writes scans that have ended. It uses a thread of its own, so that the next scan is followed meanwhile."""

    def __init__(self, model: TrainedModel, output: Path, measurement: str, polish_steps: int | None) -> None:
        """Look which scans are in the folder already. They are kept.

        Args:
            model: the model that predicts.
            output: folder of the results.
            measurement: content of the frames, 'counts' or 'amplitudes'.
            polish_steps: number of polish steps in the last reconstruction, as for `reconstruct`.
        """
        self._model, self._measurement, self._polish_steps = model, measurement, polish_steps
        self._output, self._earlier = output, _scans_in(output)
        self._thread = ThreadPoolExecutor(1)
        self._pending: deque[tuple[int, Future[list[Path]]]] = deque()
        self._with_frames: list[int] = []
        self._failure: Exception | None = None
        self.written: list[Path] = []
        """Files that were written."""

    def folder(self, index: int) -> Path:
        """Return the folder of a scan, by its index in the session."""
        number = self._earlier + index
        return self._output if number == 1 else self._output / f"scan_{number}"

    def write(self, ended: EndedScan) -> None:
        """Begin to write a scan as it grew. If two scans wait already, this waits for the first of them.

        Args:
            ended: the scan; nobody else uses it any more.
        """
        while len(self._pending) > 1:
            self._wait()
        folder = self.folder(ended.index)
        task = self._thread.submit(write_streamed, self._model, ended, folder, self._measurement)
        self._pending.append((ended.index, task))

    def finish(self, *, once_more: bool = False) -> None:
        """Wait until all scans are written.

        Args:
            once_more: True reconstructs the scans once more from their kept frames.

        Raises:
            OutputError: the results of a scan could not be written. Those of the other scans are written.
        """
        while self._pending:
            self._wait()
        self._thread.shutdown()
        for index in self._with_frames if once_more else ():
            folder = self.folder(index)
            try:
                with writing(folder):
                    write_final(self._model, folder / NAME, folder, self._polish_steps)
            except (DataError, OutputError) as error:
                logger.warning("Scan %d stays as it grew with the stream: %s", index, error)
        if self._failure is not None:
            raise self._failure

    def _wait(self) -> None:
        index, task = self._pending.popleft()
        try:
            written = task.result()
        except Exception as error:
            # Of several failures the first is told at the end; the scans that follow are wanted all the same.
            logger.warning("Scan %d could not be written: %s", index, error)
            self._failure = self._failure or error
            return
        self.written += [path for path in written if path not in self.written]
        if self.folder(index) / NAME in written:
            self._with_frames.append(index)


def _scans_in(output: Path) -> int:
    """Return the highest number of a scan that an earlier session left in a folder; 0 if there is none."""
    folders = {1: output, **{int(path.name[5:]): path for path in output.glob("scan_*") if path.name[5:].isdecimal()}}
    marks = ("reconstruction.npz", NAME)
    return max((number for number, path in folders.items() if any((path / mark).exists() for mark in marks)), default=0)
