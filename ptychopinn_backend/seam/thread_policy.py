"""How many threads a framework computes with, and how they wait, on a machine that others use too.

Threads of OpenMP wait for one another in a loop. Where another program holds one of the cores, all of them spin for
the one that was pushed aside, and a training takes ten times as long. So a framework gets the cores that are free when
it starts, and its threads give a core up after a short wait.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

SPIN_COUNT: Final = 10_000
"""Rounds a thread of GNU OpenMP waits in a loop before it sleeps; its own choice is 300,000, or for ever."""
_WAITING_CHOICES: Final = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME")
"""Variables by which users say how threads wait."""
_COUNT_CHOICES: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
"""Variables by which users say how many threads there are."""
_SLURM: Final = "SLURM_CPUS_PER_TASK"
_LOOK_S: Final = 0.05
"""How long the load is looked at, at least."""
_STAT: Final = Path("/proc/stat")
_QUOTAS: Final = (Path("/sys/fs/cgroup/cpu.max"), Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"))


def waiting_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that make threads of OpenMP give up a core they wait on.

    Args:
        environment: of this process; what it says already stays.

    Returns:
        Variables to add before a framework is loaded; none where the user chose.
    """
    if any(name in environment for name in _WAITING_CHOICES):
        return {}
    return {"GOMP_SPINCOUNT": str(SPIN_COUNT)}


def threads_to_use(environment: Mapping[str, str], look: Look | None = None) -> int | None:
    """Return how many threads a framework should compute with.

    Args:
        environment: of this process.
        look: begun before the framework was imported, so that the import counts as time to look; None looks now.

    Returns:
        The cores this process may use that are free now, at least 1; None where the user chose.
    """
    if any(name in environment for name in _COUNT_CHOICES):
        return None
    cores = usable_cores(environment)
    return max(1, min(cores, (look or Look()).free_cores())) if cores > 1 else 1


def usable_cores(environment: Mapping[str, str]) -> int:
    """Return the number of cores this process may use: by its CPU set, its quota, and Slurm's allocation.

    Args:
        environment: of this process.

    Returns:
        At least 1.
    """
    counts = [len(_allowed_cores()) or os.cpu_count() or 1]
    quota = _quota_cores()
    if quota is not None:
        counts.append(quota)
    given = environment.get(_SLURM, "")
    if given.isdigit():
        counts.append(int(given))
    return max(1, min(counts))


class Look:
    """How busy other programs keep the allowed cores from now on."""

    def __init__(self) -> None:
        """Begin to look."""
        self._begun_s = time.perf_counter()
        self._idle, self._own_s = _idle_times(), _own_time_s()

    def free_cores(self) -> int:
        """Return how many of the allowed cores nobody else computed on; all of them where the system does not tell.

        Programs move from core to core, so the idle time of all cores together is what counts. What this process
        computed itself, such as the import of a framework, counts as idle.
        """
        allowed = _allowed_cores()
        if not self._idle:
            return len(allowed) or os.cpu_count() or 1
        time.sleep(max(0.0, _LOOK_S - (time.perf_counter() - self._begun_s)))
        after, own_s = _idle_times(), _own_time_s() - self._own_s
        cores = [core for core in allowed or self._idle if core in self._idle and core in after]
        ticks = sum(after[core] - self._idle[core] for core in cores)
        free_s = ticks / os.sysconf("SC_CLK_TCK") + own_s
        return min(len(cores), round(free_s / (time.perf_counter() - self._begun_s)))


def _own_time_s() -> float:
    used = os.times()
    return used.user + used.system


def _allowed_cores() -> frozenset[int]:
    if not hasattr(os, "sched_getaffinity"):
        return frozenset()
    return frozenset(os.sched_getaffinity(0))


def _idle_times() -> dict[int, int]:
    """Return core -> ticks it has idled or waited for a disk since the start of the machine."""
    try:
        lines = _STAT.read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    rows = [line.split() for line in lines if line.startswith("cpu") and line[3:4].isdigit()]
    return {int(row[0][3:]): int(row[4]) + int(row[5]) for row in rows if len(row) > 5}


def _quota_cores() -> int | None:
    """Return the cores that the quota of this process' control group is worth, rounded up, or None without one."""
    for path in _QUOTAS:
        try:
            words = path.read_text(encoding="ascii").split()
            period = words[1] if len(words) > 1 else path.with_name("cpu.cfs_period_us").read_text(encoding="ascii")
        except OSError:
            continue
        quota = words[0]
        if quota.isdigit() and int(quota) > 0:
            return max(1, math.ceil(int(quota) / int(period)))
    return None
