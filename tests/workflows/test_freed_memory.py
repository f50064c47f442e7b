"""Freed memory is kept while training and given back afterwards; the choices of users are left alone."""

from __future__ import annotations

import os
import sys

import pytest

from tests.factory.interpreters import run

BLOCK_BYTES, BLOCKS = 8_000_000, 20
PROGRAM = f"""
import json
import resource
from pathlib import Path
from ptychopinn_backend.runs.freed_memory import freed_memory_kept

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step = [bytes(1) * {BLOCK_BYTES} for _ in range({BLOCKS})]
    del step
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

without = [faults() for _ in range(4)]
with freed_memory_kept():
    kept = [faults() for _ in range(4)]
    held = resident()
print(json.dumps([without[-1], kept[-1], held - resident()]))
"""


def glibc() -> bool:
    return sys.platform == "linux" and "CS_GNU_LIBC_VERSION" in os.confstr_names


@pytest.mark.skipif(not glibc(), reason="only the GNU C library is told to keep memory")
def test_steps_reuse_memory_and_the_end_returns_it() -> None:
    without, kept, returned = run(PROGRAM)
    assert kept < without / 10
    assert returned > BLOCKS * BLOCK_BYTES / 2


@pytest.mark.skipif(not glibc(), reason="only the GNU C library is told to keep memory")
@pytest.mark.parametrize(
    "choice", [("MALLOC_TRIM_THRESHOLD_", "131072"), ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=131072")]
)
def test_the_environment_wins(choice: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(*choice)
    without, kept, _ = run(PROGRAM)
    assert kept == pytest.approx(without, rel=0.1)
    assert without * os.sysconf("SC_PAGE_SIZE") > BLOCKS * BLOCK_BYTES / 2
