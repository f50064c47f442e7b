"""Trainings that are interrupted, and what is said when they go on, or begin anew where one was."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ptychopinn_backend.seam.child_process import UNGUARDED, ChildProcess, ParentLink

from .workshop import SMALL, TRAIN, Case

RUN = (*TRAIN, *SMALL)
LONG = (*TRAIN, "--preset", "legacy", "--filters-scale", "1", "--epochs", "5000")
INTO_MODEL = (*RUN, "-o", "model")


def _asked_to_end(number: int) -> Callable[[], None]:
    """Return a spoiler that sends this process a signal once it has written a checkpoint."""

    def spoil() -> None:
        checkpoint = Path("out/checkpoints/last.ckpt").absolute()

        def send() -> None:
            for _ in range(600):
                if checkpoint.exists():
                    time.sleep(0.2)
                    os.kill(os.getpid(), number)
                    return
                time.sleep(0.1)

        threading.Thread(target=send, daemon=True).start()

    return spoil


def _left(name: str, folder: str, *, epochs: int | None = None, newer_s: float = 0.0) -> Callable[[], None]:
    """Return a spoiler that leaves what looks like a checkpoint."""

    def spoil() -> None:
        place = Path(folder) / "checkpoints"
        place.mkdir(parents=True, exist_ok=True)
        (place / name).touch()
        os.utime(place / name, (time.time() + newer_s,) * 2)
        if epochs is not None:
            record = {"epochs": epochs, "of": 300, "ended": ""}
            (place / "epochs.json").write_text(json.dumps(record), encoding="utf-8")

    return spoil


def _begins_again(host: ParentLink) -> None:
    os._exit(UNGUARDED)


def _unguarded() -> object:
    child = ChildProcess(_begins_again)
    try:
        return list(child.messages())
    finally:
        child.end()


CASES = (
    Case(
        "Ctrl-C in a training",
        LONG,
        r"^Interrupted\. \d+ of 5000 epochs are kept",
        _asked_to_end(signal.SIGINT),
        exit_code=130,
        has_computed_numbers=True,
    ),
    Case(
        "A batch system ends a training at its time limit",
        LONG,
        r"^Terminated\. \d+ of 5000 epochs are kept",
        _asked_to_end(signal.SIGTERM),
        exit_code=143,
        has_computed_numbers=True,
    ),
    Case(
        "A training begins anew where one was interrupted",
        INTO_MODEL,
        "holds 120 of 300 epochs of a training that was interrupted",
        _left("last.ckpt", "model", epochs=120),
        exit_code=0,
    ),
    Case("A training replaces an earlier model", INTO_MODEL, "of an earlier training will be replaced", exit_code=0),
    Case(
        "The checkpoints are newer than the model",
        ("infer", "model", "scan.npz", "-o", "out", "--quiet"),
        "are newer than the model",
        _left("last.ckpt", "model", newer_s=100.0),
        exit_code=0,
    ),
    Case("There is no checkpoint to go on from", (*RUN, "--resume"), "holds no checkpoint to go on from", exit_code=0),
    Case(
        "The checkpoint is of the other backend",
        (*RUN, "--resume"),
        "is a checkpoint of the backend tensorflow",
        _left("last.npz", "out"),
    ),
    Case(
        "The checkpoint has all epochs already",
        (*INTO_MODEL, "--resume"),
        "holds 1 epochs, and 1 are asked for",
        exit_code=0,
    ),
    Case(
        "A checkpoint wins over an archive to start from",
        (*INTO_MODEL, "--resume", "--init", "model", "--epochs", "2"),
        r"\(init\) are not used",
        exit_code=0,
    ),
    Case(
        "A script starts several processes without a main guard",
        call=_unguarded,
        expected="the line if __name__",
        where="as an exception",
    ),
)
