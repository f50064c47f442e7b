"""Threads by what this process may use and what others leave free; what the user has set stays."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from ptychopinn_backend.seam import thread_policy
from ptychopinn_backend.seam.thread_policy import (
    SPIN_COUNT,
    Look,
    threads_to_use,
    usable_cores,
    waiting_environment,
)

PROJECT_ROOT = Path(__file__).resolve().parents[2]
WITHOUT_CHOICE = {
    name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_", "MKL_", "TF_"))
}


def test_threads_give_a_core_up_after_a_short_wait() -> None:
    assert waiting_environment({}) == {"GOMP_SPINCOUNT": str(SPIN_COUNT)}


@pytest.mark.parametrize("name", ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME"])
def test_how_threads_wait_stays_as_the_user_has_set_it(name: str) -> None:
    assert waiting_environment({name: "1"}) == {}


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"])
def test_the_number_of_threads_stays_as_the_user_has_set_it(name: str) -> None:
    assert threads_to_use({name: "3"}) is None


def test_slurm_says_how_many_cores_a_task_has() -> None:
    assert usable_cores({"SLURM_CPUS_PER_TASK": "1"}) == 1
    assert usable_cores({"SLURM_CPUS_PER_TASK": "4096"}) == usable_cores({})


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.cfs_quota_us": "50000", "cpu.cfs_period_us": "100000"}, 1),
        ({"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"}, None),
    ],
)
def test_a_quota_of_the_control_group_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], cores: int | None
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(thread_policy, "_QUOTAS", (tmp_path / "cpu.max", tmp_path / "cpu.cfs_quota_us"))
    allowed = len(os.sched_getaffinity(0))
    assert usable_cores({}) == (allowed if cores is None else min(allowed, cores))


def test_a_core_set_counts() -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    one = min(os.sched_getaffinity(0))
    code = (
        f"import os; os.sched_setaffinity(0, {{{one}}});"
        "from ptychopinn_backend.seam.thread_policy import usable_cores; print(usable_cores({}))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], cwd=PROJECT_ROOT, text=True).strip() == "1"


@pytest.fixture
def busy_machine() -> Iterator[None]:
    """Another program computes on every core meanwhile."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in os.sched_getaffinity(0)]
    time.sleep(0.3)
    yield
    for process in loops:
        process.kill()
        process.wait()


@pytest.mark.usefixtures("busy_machine")
def test_a_core_that_another_program_computes_on_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_policy, "_LOOK_S", 0.3)
    assert Look().free_cores() == 0
    assert threads_to_use({}) == 1


def test_what_this_process_computes_itself_leaves_its_cores_free() -> None:
    look, begun, before = Look(), time.perf_counter(), time.process_time()

    def compute() -> None:
        block = bytes(1 << 20)
        while time.perf_counter() < begun + 0.6:
            hashlib.sha256(block)

    threads = [Thread(target=compute) for _ in os.sched_getaffinity(0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    own_cores = (time.process_time() - before) / (time.perf_counter() - begun)
    assert look.free_cores() >= round(0.9 * own_cores)


@pytest.mark.parametrize(("chosen", "expected"), [({}, str(SPIN_COUNT)), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")])
def test_a_backend_is_loaded_under_the_policy(chosen: dict[str, str], expected: str) -> None:
    code = (
        "import os; from ptychopinn_backend.factory import backend_class; backend_class('pytorch');"
        "print(os.environ.get('GOMP_SPINCOUNT'))"
    )
    result = subprocess.check_output(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, text=True, env={**WITHOUT_CHOICE, **chosen}
    )
    assert result.strip() == expected


@pytest.mark.usefixtures("busy_machine")
def test_a_framework_gets_the_threads_the_user_has_set() -> None:
    code = (
        "from ptychopinn_backend.factory import backend_class; backend_class('pytorch'); import torch;"
        "print(torch.get_num_threads())"
    )
    environment = {**WITHOUT_CHOICE, "OMP_NUM_THREADS": "2"}
    result = subprocess.check_output([sys.executable, "-c", code], cwd=PROJECT_ROOT, text=True, env=environment)
    assert result.strip() == "2"
