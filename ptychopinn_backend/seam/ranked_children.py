"""Processes on this machine that train together: they know their ranks, and end as one."""

from __future__ import annotations

import math
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from ptychopinn_backend.errors import ChildDiedError, ConfigError, ProcessLostError
from ptychopinn_backend.seam.child_process import ChildProcess, ParentLink, end_all, heard
from ptychopinn_backend.seam.process_rank import LAUNCHER_VARIABLE, QUIET, environment

GRACE_S: Final = 20.0
"""How long the others may take to notice that one has failed, or to stop after an interrupt."""
_MEETING_PLACE: Final = ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT")


@contextmanager
def ranked_children(
    work: Callable[[ParentLink], None], count: int, num_nodes: int = 1, *, logs: bool = True, own_s: float = 0.0
) -> Iterator[list[ChildProcess]]:
    """Start processes that train together, with the variables torchrun sets; at the end of the block they end.

    Args:
        work: what each does; it begins with `take_rank`.
        count: processes on this machine.
        num_nodes: machines; with several, NODE_RANK, MASTER_ADDR and MASTER_PORT say which one this is.
        logs: what the first one logs goes to the loggers of this process.
        own_s: time that they have to end by themselves.

    Yields:
        The processes by rank on this machine.

    Raises:
        ConfigError: there are several machines, and the variables are missing.
    """
    shared = _meeting_place(num_nodes)
    children: list[ChildProcess] = []
    try:
        with environment({**QUIET, LAUNCHER_VARIABLE: str(os.getpid())}):
            for local_rank in range(count):
                children.append(ChildProcess(work, logs=logs and local_rank == 0))
                rank = int(shared["NODE_RANK"]) * count + local_rank
                numbers = {"LOCAL_RANK": local_rank, "RANK": rank, "WORLD_SIZE": count * num_nodes}
                children[-1].send({**shared, **{name: str(number) for name, number in numbers.items()}})
        yield children
    finally:
        end_all(children, 0.0, own_s)


def take_rank(parent: ParentLink) -> int:
    """Take the variables of this process, and return its rank.

    Args:
        parent: the process that started it.

    Returns:
        Its number among all processes of the training.
    """
    # Not before: a program that comes to the same call while it is imported here must not be taken for this process.
    os.environ.update(parent.receive())
    return int(os.environ["RANK"])


def hear_all(
    children: Sequence[ChildProcess],
    on_message: Callable[[int, Any], None],
    grace_s: float,
    longest_s: float = math.inf,
) -> dict[int, Exception]:
    """Hear children that work together, until all are done, or some time after one has failed.

    Args:
        children: processes that this one started.
        on_message: called with the index of a child and its message.
        grace_s: how long the others may take to notice a failure.
        longest_s: how long all may take.

    Returns:
        Index of a child -> what it failed with, in the order they failed.
    """
    working, failures = list(children), dict[int, Exception]()
    until = time.monotonic() + longest_s
    while working and time.monotonic() < until:
        for child, message in heard(working):
            index = children.index(child)
            if isinstance(message, Exception):
                failures[index] = message
                until = min(until, time.monotonic() + grace_s)
            if message is None or isinstance(message, Exception):
                working.remove(child)
            else:
                on_message(index, message)
    return failures


def killed_process(failures: Mapping[int, Exception], count: int) -> ProcessLostError | None:
    """Return what is to be said of the first process that a signal ended, or None.

    Args:
        failures: rank on this machine -> what the process failed with.
        count: processes on this machine.

    Returns:
        The error, with the remedy.
    """
    for rank, error in failures.items():
        if isinstance(error, ChildDiedError) and (error.exit_code or 0) < 0:
            name = signal.Signals(-(error.exit_code or 0)).name
            return ProcessLostError(
                f"Process {rank + 1} of {count} was ended from outside by {name}, most often because memory ran out. "
                "Lower batch_size or devices, or hold the scans on disk (a data set); then resume from the last "
                "checkpoint."
            )
    return None


def _meeting_place(num_nodes: int) -> dict[str, str]:
    if num_nodes > 1:
        missing = [name for name in _MEETING_PLACE if name not in os.environ]
        if missing:
            raise ConfigError(
                f"num_nodes = {num_nodes}, but {', '.join(missing)} are not set, so this machine cannot find the "
                "others. Start the command with srun (docs/distributed.md), or set them on every machine."
            )
        return {name: os.environ[name] for name in _MEETING_PLACE}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return dict(zip(_MEETING_PLACE, ("0", "127.0.0.1", str(port)), strict=True))
