"""One command in several processes that train together: the first one speaks and writes, their end is said once.

Every process runs the same command.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from ptychopinn_backend.errors import ChildDiedError, ProcessLostError, TerminationRequest
from ptychopinn_backend.seam.child_process import ParentLink
from ptychopinn_backend.seam.process_rank import are_processes_given, is_distributed
from ptychopinn_backend.seam.ranked_children import GRACE_S, hear_all, killed_process, ranked_children, take_rank

if TYPE_CHECKING:
    from ptychopinn_backend.config.execution import ExecutionConfig

_TIDY_S: Final = 5.0
"""How long a process may take to end by itself once it has said all."""
_MACHINE_FAILURE: Final = 1


class Ending(NamedTuple):
    """How the command failed in one of the processes."""

    sentence: str
    """What there is to say."""
    code: int
    kind: str
    """Name of the class of the error."""
    time_s: float


def started_processes(execution: ExecutionConfig, backend: str) -> bool:
    """Run the present command in several processes where its options ask for it and nobody has created them yet.

    Args:
        execution: run-time options of the training.
        backend: the backend in force.

    Returns:
        True when the command has been run to its end in processes of its own.

    Raises:
        click.exceptions.Exit: one of them failed; the reason has been said.
        ConfigError: there are several machines, and this one does not know the others.
    """
    if not is_distributed(execution) or are_processes_given() or backend != "pytorch":
        return False
    from ptychopinn_backend.torch_backend.devices import process_count

    count = process_count(execution)
    # 'ddp_spawn' creates its processes later, with the groups that are in memory then.
    if count * execution.num_nodes == 1 or execution.strategy == "ddp_spawn":
        return False
    run_together(click.get_current_context().find_root().obj, count, execution.num_nodes)
    return True


def run_together(arguments: Sequence[str], count: int, num_nodes: int) -> None:
    """Run a command of `ptychopinn` in several processes on this machine and wait for all of them.

    Args:
        arguments: words after the program name.
        count: processes on this machine.
        num_nodes: machines; with several, NODE_RANK, MASTER_ADDR and MASTER_PORT say which one this is.

    Raises:
        click.exceptions.Exit: one of them failed; the reason has been said.
        ConfigError: there are several machines, and the variables are missing.
        KeyboardInterrupt: the user or the system interrupted; the processes have ended.
    """
    endings: dict[int, Ending] = {}
    with ranked_children(_run_command, count, num_nodes, logs=False, own_s=_TIDY_S) as children:
        try:
            for child in children:
                child.send(list(arguments))
            failures = hear_all(children, endings.__setitem__, GRACE_S)
        except KeyboardInterrupt as interrupt:
            for child in children:
                child.ask(signal.SIGTERM if isinstance(interrupt, TerminationRequest) else signal.SIGINT)
            hear_all(children, endings.__setitem__, GRACE_S, GRACE_S)
            raise type(interrupt)(endings[0].sentence if 0 in endings else "") from None
    if failures or endings:
        raise click.exceptions.Exit(_say_failure(endings, failures, count))


def _run_command(launcher: ParentLink) -> None:
    """Run the command in a process that was started for it; only the first process of all speaks."""
    from ptychopinn_backend.cli.main import main

    rank, words = take_rank(launcher), launcher.receive()
    if rank > 0:
        silent = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(silent, stream)

    def report(sentence: str, code: int, kind: str) -> None:
        launcher.put(Ending(sentence, code, kind, time.time()))

    main(words, report)


def _say_failure(endings: Mapping[int, Ending], failures: Mapping[int, Exception], count: int) -> int:
    """Say why the processes failed, once, and return the exit code."""
    reports = sorted(endings.values(), key=lambda ending: ending.time_s)
    cause = next((ending for ending in reports if ending.kind != ProcessLostError.__name__), None)
    if cause is not None:
        click.echo(f"Error: {cause.sentence}", err=True)
        return cause.code
    for error in failures.values():
        if not isinstance(error, ChildDiedError):
            raise error
    said = killed_process(failures, count) or (reports[0].sentence if reports else next(iter(failures.values())))
    click.echo(f"Error: {said}", err=True)
    return _MACHINE_FAILURE
