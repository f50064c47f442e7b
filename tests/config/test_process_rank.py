"""Which process of a training this is, by the environment of launchers and schedulers."""

from __future__ import annotations

import pytest

from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.seam.process_rank import are_processes_given, is_first_process

TWO = ExecutionConfig(devices=2)
VARIABLES = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_JOB_NAME")


@pytest.mark.parametrize(
    ("environment", "first", "given"),
    [
        ({}, True, False),
        ({"RANK": "0", "LOCAL_RANK": "0"}, True, True),
        ({"RANK": "2", "LOCAL_RANK": "0", "NODE_RANK": "1"}, False, True),
        ({"LOCAL_RANK": "1"}, False, True),
        ({"LOCAL_RANK": "0", "NODE_RANK": "1"}, False, True),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, True, True),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "3"}, False, True),
        # One task that is to use several devices starts its processes itself, and so does a shell in an allocation.
        ({"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, True, False),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_JOB_NAME": "bash"}, True, False),
    ],
)
def test_rank_by_environment(
    environment: dict[str, str], first: bool, given: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert is_first_process(TWO) is first
    assert are_processes_given() is given


def test_independent_trainings_of_one_job_all_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.setenv("SLURM_PROCID", "3")
    assert is_first_process(ExecutionConfig())
