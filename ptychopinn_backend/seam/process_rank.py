"""Which of the processes of one training this is, as the launcher, torchrun or Slurm tell it by the environment."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ptychopinn_backend.config.execution import ExecutionConfig

LAUNCHER_VARIABLE: Final = "PTYCHOPINN_LAUNCHER"
"""Set in processes this package created; holds the process that started them."""
QUIET: Final = {"TORCH_CPP_LOG_LEVEL": "ERROR"}
"""Set there too: the libraries that join processes report names they look up and gradients they wait for in vain."""
_INTERACTIVE_JOBS: Final = ("bash", "interactive")


def is_distributed(execution: ExecutionConfig) -> bool:
    """Return whether a training may run in several processes."""
    return execution.devices != 1 or execution.num_nodes > 1


def are_processes_given() -> bool:
    """Return whether somebody else created the processes: this package's launcher, torchrun, or `srun` with tasks."""
    return "LOCAL_RANK" in os.environ or _is_task_of_slurm()


def is_first_process(execution: ExecutionConfig) -> bool:
    """Return whether this process writes the results: the only one of a training, or the one with rank 0.

    Args:
        execution: run-time options of the training.

    Returns:
        True for a training in one process, whatever the environment says.
    """
    return not is_distributed(execution) or _rank() == 0


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for the processes that are started meanwhile.

    Args:
        values: by name.

    Yields:
        Nothing.
    """
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _rank() -> int:
    environment = os.environ
    if "RANK" in environment:
        return int(environment["RANK"])
    if "LOCAL_RANK" in environment:
        return int(environment["LOCAL_RANK"]) + int(environment.get("NODE_RANK", "0"))
    return int(environment.get("SLURM_PROCID", "0")) if _is_task_of_slurm() else 0


def _is_task_of_slurm() -> bool:
    # A shell that salloc or srun --pty opened has the variables of a job too, but nobody started its tasks.
    tasks = int(os.environ.get("SLURM_NTASKS", "1"))
    return tasks > 1 and os.environ.get("SLURM_JOB_NAME") not in _INTERACTIVE_JOBS
