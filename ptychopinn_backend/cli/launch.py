"""One command in several processes that train together: the first one speaks and writes, their end is said once.

Every process runs the same command with the variables torchrun sets.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from ptychopinn_backend.errors import ChildDiedError, ConfigError, ProcessLostError, TerminationRequest
from ptychopinn_backend.seam.child_process import ChildProcess, ParentLink, end_all, hear_all
from ptychopinn_backend.seam.process_rank import (
    LAUNCHER_VARIABLE,
    QUIET,
    are_processes_given,
    ended_by_signal,
    environment,
    is_distributed,
)

if TYPE_CHECKING:
    from ptychopinn_backend.config.execution import ExecutionConfig

_GRACE_S: Final = 20.0
"""How long the others may take to notice that one has failed, or to stop after an interrupt."""
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
    shared = _rendezvous(num_nodes)
    endings: dict[int, Ending] = {}
    children: list[ChildProcess] = []
    try:
        for local_rank in range(count):
            with environment({**QUIET, LAUNCHER_VARIABLE: str(os.getpid())}):
                children.append(ChildProcess(_run_command, logs=False))
            children[-1].send((list(arguments), _variables(local_rank, count, num_nodes, shared)))
        failures = hear_all(children, endings.__setitem__, _GRACE_S)
        _let_end(children)
    except KeyboardInterrupt as interrupt:
        number = signal.SIGTERM if isinstance(interrupt, TerminationRequest) else signal.SIGINT
        for child in children:
            child.ask(number)
        hear_all(children, endings.__setitem__, _GRACE_S, _GRACE_S)
        _let_end(children)
        raise type(interrupt)(endings[0].sentence if 0 in endings else "") from None
    finally:
        end_all(children, 0.0)
    if failures or endings:
        raise click.exceptions.Exit(_say_failure(endings, failures, count))


def _let_end(children: Sequence[ChildProcess]) -> None:
    """Give processes that have said all they had to say the time to end by themselves, and to tidy up."""
    until = time.monotonic() + _TIDY_S
    for child in children:
        child.wait_for_end(until)


def _rendezvous(num_nodes: int) -> dict[str, str]:
    names = ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT")
    if num_nodes > 1:
        missing = [name for name in names if name not in os.environ]
        if missing:
            raise ConfigError(
                f"num_nodes = {num_nodes}, but {', '.join(missing)} are not set, so this machine cannot find the "
                "others. Start the command with srun (docs/distributed.md), or set them on every machine."
            )
        return {name: os.environ[name] for name in names}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return dict(zip(names, ("0", "127.0.0.1", str(port)), strict=True))


def _variables(local_rank: int, count: int, num_nodes: int, shared: Mapping[str, str]) -> dict[str, str]:
    return {
        **shared,
        "LOCAL_RANK": str(local_rank),
        "RANK": str(int(shared["NODE_RANK"]) * count + local_rank),
        "WORLD_SIZE": str(count * num_nodes),
    }


def _run_command(launcher: ParentLink) -> None:
    """Run the command in a process that was started for it; only the first process of all speaks."""
    from ptychopinn_backend.cli.main import main

    words, variables = launcher.receive()
    # Not before: a program that comes to the same call while it is imported here must not be taken for this process.
    os.environ.update(variables)
    if os.environ["RANK"] != "0":
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
    for rank, error in failures.items():
        code = error.exit_code if isinstance(error, ChildDiedError) else None
        if code is None:
            raise error
        if code < 0:
            click.echo(f"Error: {ended_by_signal(rank, count, -code)}", err=True)
            return _MACHINE_FAILURE
    sentence = reports[0].sentence if reports else str(next(iter(failures.values())))
    click.echo(f"Error: {sentence}", err=True)
    return _MACHINE_FAILURE
