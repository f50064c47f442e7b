"""One command in several processes that train together: started, watched, and ended together.

Every process runs the same command with the variables torchrun sets. The first one speaks and writes; what another has
to say of its end comes to this process by a file, and is said once.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import click

from ptychopinn_backend.errors import ConfigError, ProcessLostError
from ptychopinn_backend.seam.process_rank import (
    LAUNCHER_VARIABLE,
    QUIET,
    are_processes_given,
    ended_by_signal,
    is_distributed,
)

if TYPE_CHECKING:
    from ptychopinn_backend.config.execution import ExecutionConfig

FAILURE_VARIABLE: Final = "PTYCHOPINN_FAILURE_FILE"
"""Where a started process writes why it failed, instead of saying it."""
_PROGRAM: Final = "import sys; from ptychopinn_backend.cli import main; sys.exit(main())"
_POLL_S: Final = 0.1
_GRACE_S: Final = 20.0
"""How long the others may take to notice that one has failed, or to stop after an interrupt."""
_MACHINE_FAILURE: Final = 1


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
        KeyboardInterrupt: the user interrupted; the processes have ended.
    """
    shared = _rendezvous(num_nodes)
    with TemporaryDirectory(prefix="ptychopinn-") as name, _ended_by_request():
        folder = Path(name)
        processes: list[subprocess.Popen[bytes]] = []
        try:
            for local_rank in range(count):
                processes.append(_start(arguments, local_rank, count, num_nodes, shared, folder))
            _wait(processes)
        except KeyboardInterrupt:
            _signal(processes, signal.SIGINT)
            _wait_for_the_rest(processes)
            raise
        finally:
            _end(processes)
        codes = [process.returncode for process in processes]
        if any(codes):
            raise click.exceptions.Exit(_say_failure(codes, folder))


def report_failure(sentence: str, code: int, kind: str) -> bool:
    """Leave the reason of a failure for the process that started this one.

    Args:
        sentence: what went wrong.
        code: exit code.
        kind: name of the class of the error.

    Returns:
        False where nobody started this process; then it is to be said here.
    """
    path = os.environ.get(FAILURE_VARIABLE)
    if path is None:
        return False
    with suppress(OSError):
        Path(path).write_text(json.dumps({"sentence": sentence, "code": code, "kind": kind, "time": time.time()}))
    return True


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


def _start(
    arguments: Sequence[str], local_rank: int, count: int, num_nodes: int, shared: Mapping[str, str], folder: Path
) -> subprocess.Popen[bytes]:
    rank = int(shared["NODE_RANK"]) * count + local_rank
    environment = {
        **os.environ,
        **shared,
        "LOCAL_RANK": str(local_rank),
        "RANK": str(rank),
        "WORLD_SIZE": str(count * num_nodes),
        **QUIET,
        LAUNCHER_VARIABLE: str(os.getpid()),
        FAILURE_VARIABLE: str(folder / f"failure-{local_rank}"),
    }
    command = [sys.executable, "-c", _PROGRAM, *arguments]
    # A session of its own: an interrupt at the keyboard reaches this process only, which passes it on once.
    with (folder / f"stderr-{local_rank}").open("wb") as silent:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=None if rank == 0 else subprocess.DEVNULL,
            stderr=None if rank == 0 else silent,
            start_new_session=True,
        )


def _wait(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Return when all have ended, or some time after one has failed."""
    while any(process.poll() is None for process in processes):
        if any(process.returncode for process in processes):
            _wait_for_the_rest(processes)
            return
        time.sleep(_POLL_S)


def _wait_for_the_rest(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    end = time.monotonic() + _GRACE_S
    while time.monotonic() < end and any(process.poll() is None for process in processes):
        time.sleep(_POLL_S)


def _signal(processes: Sequence[subprocess.Popen[bytes]], number: signal.Signals) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(number)


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            # Loading processes of the process belong to its session and end with it.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _say_failure(codes: Sequence[int], folder: Path) -> int:
    """Say why the processes failed, once, and return the exit code."""
    reports: list[tuple[int, dict[str, Any]]] = []
    for rank in range(len(codes)):
        with suppress(OSError, ValueError):
            reports.append((rank, json.loads((folder / f"failure-{rank}").read_text())))
    causes = [report for report in reports if report[1]["kind"] != ProcessLostError.__name__]
    killed = next((rank for rank, code in enumerate(codes) if code < 0), None)
    if causes:
        _, first = min(causes, key=lambda report: report[1]["time"])
        click.echo(f"Error: {first['sentence']}", err=True)
        return int(first["code"])
    if killed is not None:
        click.echo(f"Error: {ended_by_signal(killed, len(codes), -codes[killed])}", err=True)
        return _MACHINE_FAILURE
    for rank in range(1, len(codes)):
        click.echo((folder / f"stderr-{rank}").read_text(errors="replace"), err=True, nl=False)
    for _, report in reports[:1]:
        click.echo(f"Error: {report['sentence']}", err=True)
    return _MACHINE_FAILURE


@contextmanager
def _ended_by_request() -> Iterator[None]:
    """Turn a request to terminate into an exception, so that the processes are ended too."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise click.exceptions.Exit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
