"""Times of alternatives taken in turn, so that a noisy machine disturbs all of them alike; peak memory of processes."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.turns import pass_on


@dataclass(frozen=True)
class Figure:
    """A number measured several times."""

    median: float
    low: float
    """First quartile."""
    high: float
    """Third quartile."""
    values: tuple[float, ...]
    """Of every round."""

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        low, high = np.percentile(values, (25, 75))
        return cls(float(median(values)), float(low), float(high), tuple(values))


@dataclass(frozen=True)
class Times:
    """Seconds of each round."""

    seconds: tuple[float, ...]

    @property
    def figure(self) -> Figure:
        return Figure.of(self.seconds)

    def rate(self, amount: float) -> Figure:
        """Amount a second."""
        return Figure.of([amount / value for value in self.seconds])

    def times(self, factor: float) -> Times:
        """Every round as many times as long."""
        return Times(tuple(factor * value for value in self.seconds))

    def relative_to(self, other: Times) -> Figure:
        """Ratio round by round: what slows one round slows both of its parts."""
        return Figure.of([mine / theirs for mine, theirs in zip(self.seconds, other.seconds, strict=True)])


def interleaved(alternatives: Mapping[str, Callable[[], object]], repeats: int, warm_ups: int = 1) -> dict[str, Times]:
    """Run every alternative once in each round."""
    for _ in range(warm_ups):
        for run in alternatives.values():
            run()
    seconds: dict[str, list[float]] = {name: [] for name in alternatives}
    for _ in range(repeats):
        pass_on()
        for name, run in alternatives.items():
            started = perf_counter()
            run()
            seconds[name].append(perf_counter() - started)
    return {name: Times(tuple(values)) for name, values in seconds.items()}


_MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024


def peak_mib() -> float:
    """Peak resident memory of this process so far, framework and pages of mapped files included."""
    status = Path("/proc/self/status")
    if status.exists():
        # `ru_maxrss` begins with the peak of the process that started this one.
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_BYTES / 2**20


def run_process(command: Sequence[str]) -> tuple[float, float]:
    """Run a command to its end; return its seconds and its peak resident memory in MiB, at least that of this process.

    Raises:
        RuntimeError: it failed; holds what it said.
    """
    started = perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if process.stderr is None:
        raise AssertionError("stderr is a pipe")
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{said.decode(errors='replace')}")
    return seconds, usage.ru_maxrss * _MAXRSS_BYTES / 2**20


def interleaved_processes(
    commands: Mapping[str, Sequence[str]], repeats: int, warm_ups: int = 1
) -> tuple[dict[str, Times], dict[str, float]]:
    """Run every command once in each round; return times, and the largest peak memory of each in MiB."""
    peaks = dict.fromkeys(commands, 0.0)

    def runner(name: str) -> Callable[[], None]:
        def run() -> None:
            peaks[name] = max(peaks[name], run_process(commands[name])[1])

        return run

    return interleaved({name: runner(name) for name in commands}, repeats, warm_ups), peaks


def memory_copy() -> tuple[Callable[[], None], int]:
    """Return a copy much larger than the caches, by one thread, and the bytes it reads and writes."""
    source = np.ones(2**25, np.float32)
    target = np.empty_like(source)
    return lambda: np.copyto(target, source), 2 * source.nbytes
