"""Many scans through one model, in this process or in several, where one that fails leaves the others alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from ptychopinn_backend.cli.inference_jobs import FAILURES, InferenceJob, Outcome, attempt_scan
from ptychopinn_backend.errors import ChildDiedError, how_ended, sentence_of, warnings_passed_to
from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.seam.child_process import ChildProcess, ParentLink, end_all, heard
from ptychopinn_backend.seam.process_rank import environment

_THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
_DEVICE_VARIABLE: Final = "CUDA_VISIBLE_DEVICES"


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
        model = TrainedModel.load(job.archive, job.backend, job.execution, to_predict=True)
        for scan, folder in folders.items():
            yield attempt_scan(model, scan, folder, job)
    else:
        yield from _spread(job, list(folders.items()), min(processes, len(folders)))


def _spread(job: InferenceJob, waiting: list[tuple[Path, Path]], count: int) -> Iterator[Outcome]:
    waiting.reverse()
    numbers: dict[ChildProcess, int] = {}
    scans: dict[ChildProcess, Path] = {}

    def start(number: int) -> None:
        with environment(_share_of_machine(number, count)):
            child = ChildProcess(_work)
        numbers[child] = number
        give(child, job)

    def give(child: ChildProcess, *before: InferenceJob) -> None:
        scan, folder = waiting.pop()
        scans[child] = scan
        # A process that died a moment ago is noticed when its answer is missing.
        with suppress(ChildDiedError):
            for message in (*before, (scan, folder)):
                child.send(message)

    try:
        for number in range(count):
            start(number)
        while numbers:
            for child, outcome in heard(numbers):
                if isinstance(outcome, ChildDiedError):
                    outcome = _lost(scans[child], outcome)
                elif isinstance(outcome, Exception):
                    raise outcome
                yield outcome
                if waiting and child.exit_code is None:
                    give(child)
                    continue
                number = numbers.pop(child)
                child.end(0.0)
                if waiting:
                    start(number)
    finally:
        end_all(list(numbers), 0.0)


def _lost(scan: Path, died: ChildDiedError) -> Outcome:
    """Return what became of a scan whose process did not live to tell."""
    how = how_ended(died.exit_code).removeprefix("signal ")
    reason = (
        f"Its process was ended from outside by {how}, most often because memory ran out. Lower --processes or "
        "--batch-size, and run this scan again."
    )
    return Outcome(scan, [], reason, of_the_machine=True)


def _share_of_machine(number: int, count: int) -> dict[str, str]:
    """Return what gives a process its part of the cores, unless the user has, and one of the visible GPUs in turn."""
    threads = str(max(1, (os.cpu_count() or 1) // count))
    share = {name: threads for name in _THREAD_VARIABLES if name not in os.environ}
    devices = [device for device in os.environ.get(_DEVICE_VARIABLE, "").split(",") if device]
    if devices:
        share[_DEVICE_VARIABLE] = devices[number % len(devices)]
    return share


def _work(parent: ParentLink) -> None:
    from ptychopinn_backend.cli.main import say_warning

    with warnings_passed_to(say_warning):
        _work_on(parent)


def _work_on(parent: ParentLink) -> None:
    job: InferenceJob = parent.receive()
    model: TrainedModel | None = None
    # The parent ends this process when there is no scan left.
    while True:
        scan, folder = parent.receive()
        try:
            model = model or TrainedModel.load(job.archive, job.backend, job.execution, to_predict=True)
        except FAILURES as error:
            parent.put(Outcome(scan, [], sentence_of(error)))
            continue
        parent.put(attempt_scan(model, scan, folder, job))
