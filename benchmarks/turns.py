"""Processes that measure in turn: what is compared then meets the same machine, though it cannot share a process."""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter, sleep
from typing import TypeVar

RESTING_S = 0.02
"""Threads go on waiting busily for some milliseconds after their work; until then nobody else begins."""
_PASSED_ON = "[turn passed on]\n"
_joined = False

Name = TypeVar("Name", bound=Hashable)


@dataclass
class Outcome:
    """What a process came to."""

    seconds: float = 0.0
    """In its own turns."""
    lines: list[str] = field(default_factory=list)
    """Of its output."""
    status: int = 0
    """With which it ended."""


def join() -> None:
    """Wait for this process's first turn; only for processes that `run_in_turns` has started."""
    global _joined
    _joined = True
    sys.stdin.readline()


def pass_on() -> None:
    """Let the others have a turn each, and return when it is this process's again; at once where it did not join."""
    if _joined:
        sleep(RESTING_S)
        sys.stdout.write(_PASSED_ON)
        sys.stdout.flush()
        sys.stdin.readline()


def run_in_turns(commands: Mapping[Name, Sequence[str]], environment: Mapping[str, str]) -> dict[Name, Outcome]:
    """Run processes that `join` first and `pass_on` now and then; never more than one computes."""
    processes = {
        name: subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        for name, command in commands.items()
    }
    outcomes = {name: Outcome() for name in commands}
    waiting = deque(commands)
    while waiting:
        name = waiting.popleft()
        started = perf_counter()
        if _has_turn(processes[name], outcomes[name]):
            waiting.append(name)
        outcomes[name].seconds += perf_counter() - started
    return outcomes


def _has_turn(process: subprocess.Popen[str], outcome: Outcome) -> bool:
    """Give a process a turn; return whether it wants another, or has ended."""
    if process.stdin is None or process.stdout is None:
        raise AssertionError("both are pipes")
    with suppress(BrokenPipeError):  # it has ended by itself
        process.stdin.write("\n")
        process.stdin.flush()
    for line in process.stdout:
        if line == _PASSED_ON:
            return True
        outcome.lines.append(line)
    outcome.status = process.wait()
    with suppress(BrokenPipeError):
        process.stdin.close()
    process.stdout.close()
    return False
