"""Many scans through one model, in this process or in several, where one that fails leaves the others alone."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Final, NamedTuple

from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.config.reading import Reading
from ptychopinn_backend.errors import DataError, PtychoPINNError, sentence_of
from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.seam.process_rank import environment

logger = logging.getLogger(__name__)

_THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
_DEVICE_VARIABLE: Final = "CUDA_VISIBLE_DEVICES"
_FAILURES: Final = (PtychoPINNError, OSError, MemoryError)


@dataclass(frozen=True)
class InferenceJob:
    """What is done with every scan."""

    archive: Path
    """The model."""
    backend: str | None
    """Backend to compute with; None follows the environment, then the archive."""
    execution: ExecutionConfig
    """Run-time options."""
    reading: Reading
    """What the user states about the scans."""
    options: Mapping[str, Any]
    """Arguments of `reconstruct`."""
    calibrate: str
    """'auto', 'never' or 'always'; see `runs.calibrating.reconstruct_calibrated`."""

    @property
    def model_folder(self) -> Path:
        """Folder of the model, where calibrations of its training are kept."""
        return self.archive if self.archive.is_dir() else self.archive.parent


class Outcome(NamedTuple):
    """What became of one scan."""

    scan: Path
    """Its file."""
    written: list[Path]
    """Files with the result; none where it failed."""
    failure: str = ""
    """Why it failed, in one sentence."""
    of_the_machine: bool = False
    """It failed for want of disk or memory, not by what the file holds."""


def reconstruct_scan(
    model: TrainedModel,
    scan: Path,
    folder: Path,
    job: InferenceJob,
    on_progress: Callable[..., None] | None = None,
    tell_probe: Callable[[str], None] | None = None,
) -> list[Path]:
    """Reconstruct a scan file, every object in it by itself, and write the results.

    Args:
        model: a trained model.
        scan: the file.
        folder: where the results go; a file with several objects gets a folder `object_<scan_index>` for each.
        job: how it is read and reconstructed.
        on_progress: as for `reconstruct`.
        tell_probe: called with the origin of the probe of every object, see `runs.probe_choice`.

    Returns:
        The files written.

    Raises:
        DataError: the scan does not fit the model.
        OSError: the folder cannot be written.
    """
    from ptychopinn_backend.data.raw_data import RawData
    from ptychopinn_backend.runs.calibrating import reconstruct_calibrated
    from ptychopinn_backend.runs.results import save_reconstruction

    parts = RawData.from_file(scan, reading=job.reading).by_object()
    written: list[Path] = []
    for index, part in parts.items():
        reconstruction = reconstruct_calibrated(
            model, part, job.calibrate, job.model_folder, on_progress=on_progress, **job.options
        )
        if tell_probe is not None:
            tell_probe(reconstruction.info["probe"])
        into = folder if len(parts) == 1 else folder / f"object_{index}"
        losses = model.history.get("loss", ())
        # An object that is the same everywhere is where an iterative code starts, and no truth to compare with.
        guess = part.objectGuess
        truth = None if guess is None or (guess == guess.flat[0]).all() else guess
        written += save_reconstruction(reconstruction, into, truth=truth, losses=losses)
    return written


def reconstruct_scans(job: InferenceJob, folders: Mapping[Path, Path], processes: int) -> Iterator[Outcome]:
    """Reconstruct scan files one after the other, or several at a time.

    Args:
        job: what is done with each.
        folders: scan file -> folder of its results.
        processes: how many work at a time; 1 works in this process.

    Yields:
        What became of each, as they end; the order of `folders` with one process.
    """
    if processes == 1:
        model = TrainedModel.load(job.archive, job.backend, job.execution)
        for scan, folder in folders.items():
            yield _attempt(model, scan, folder, job)
    else:
        yield from _spread(job, list(folders.items()), min(processes, len(folders)))


def output_folders(scans: Sequence[Path], output: Path) -> dict[Path, Path]:
    """Return where the results of each scan go: below `output`, by its path from the folder all scans share.

    Args:
        scans: scan files.
        output: folder of all results.

    Returns:
        Scan file -> folder.

    Raises:
        DataError: a file is named twice.
    """
    full = [path.resolve() for path in scans]
    doubled = next((path for path, place in zip(scans, full, strict=True) if full.count(place) > 1), None)
    if doubled is not None:
        raise DataError(f"{doubled} is named twice. Name every scan once.")
    shared = Path(os.path.commonpath([path.parent for path in full]))
    names = [path.relative_to(shared) for path in full]
    plain = [name.with_suffix("") for name in names]
    # A scan.npz beside a scan.h5 keeps its suffix.
    chosen = [short if plain.count(short) == 1 else name for short, name in zip(plain, names, strict=True)]
    return {scan: output / name for scan, name in zip(scans, chosen, strict=True)}


def _attempt(model: TrainedModel, scan: Path, folder: Path, job: InferenceJob) -> Outcome:
    try:
        return Outcome(scan, reconstruct_scan(model, scan, folder, job))
    except _FAILURES as error:
        machine = isinstance(error, OSError | MemoryError) and not isinstance(error, FileNotFoundError)
        return Outcome(scan, [], sentence_of(error), machine)
    except Exception as error:
        # Whatever is wrong with one scan, the others are still wanted.
        logger.exception("Reconstruction of %s failed.", scan)
        return Outcome(scan, [], f"{type(error).__name__}: {' '.join(str(error).split())}")


class _Worker:
    """A process with a model, and the scan it works on."""

    def __init__(self, job: InferenceJob, number: int, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_work, args=(job, theirs), daemon=True)
        with environment(_share_of_machine(number, count)):
            self.process.start()
        theirs.close()
        self.number = number
        self.scan: Path | None = None

    def give(self, scan: Path, folder: Path) -> None:
        self.scan = scan
        # A process that died a moment ago is noticed when its answer is missing.
        with suppress(OSError):
            self.pipe.send((scan, folder))

    def take(self) -> Outcome:
        """Return what became of the scan; also where the process did not live to tell."""
        assert self.scan is not None
        try:
            outcome: Outcome = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode or 0
            how = f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
            reason = (
                f"Its process was ended from outside {how}, most often because memory ran out. Lower --processes or "
                "--batch-size, and run this scan again."
            )
            outcome = Outcome(self.scan, [], reason, of_the_machine=True)
        self.scan = None
        return outcome

    def end(self) -> None:
        self.pipe.close()
        self.process.kill()
        self.process.join()


def _spread(job: InferenceJob, waiting: list[tuple[Path, Path]], count: int) -> Iterator[Outcome]:
    waiting.reverse()
    workers: list[_Worker] = []
    try:
        for number in range(count):
            workers.append(_Worker(job, number, count))
            workers[-1].give(*waiting.pop())
        while workers:
            ready = wait([worker.pipe for worker in workers])
            for worker in [worker for worker in workers if worker.pipe in ready]:
                yield worker.take()
                if waiting and worker.process.is_alive():
                    worker.give(*waiting.pop())
                    continue
                workers.remove(worker)
                worker.end()
                if waiting:
                    workers.append(_Worker(job, worker.number, count))
                    workers[-1].give(*waiting.pop())
    finally:
        for worker in workers:
            worker.end()


def _share_of_machine(number: int, count: int) -> dict[str, str]:
    """Return what gives a process its part of the cores, unless the user has, and one of the visible GPUs in turn."""
    threads = str(max(1, (os.cpu_count() or 1) // count))
    share = {name: threads for name in _THREAD_VARIABLES if name not in os.environ}
    devices = [device for device in os.environ.get(_DEVICE_VARIABLE, "").split(",") if device]
    if devices:
        share[_DEVICE_VARIABLE] = devices[number % len(devices)]
    return share


def _work(job: InferenceJob, pipe: Connection) -> None:
    model: TrainedModel | None = None
    try:
        while True:
            scan, folder = pipe.recv()
            try:
                model = model or TrainedModel.load(job.archive, job.backend, job.execution)
            except _FAILURES as error:
                pipe.send(Outcome(scan, [], sentence_of(error)))
                continue
            pipe.send(_attempt(model, scan, folder, job))
    except (EOFError, OSError, KeyboardInterrupt):
        # The process that gave the work is gone, or has all it wanted.
        return
