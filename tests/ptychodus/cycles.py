"""Runs `cycle_program` in a process of its own, and reads what it left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

PROJECT_ROOT = Path(__file__).resolve().parents[2]
INNER = (slice(22, -22), slice(22, -22))


@dataclass
class Cycle:
    """What one run of `cycle_program` left."""

    folder: Path
    backend: str
    report: dict[str, Any]

    def arrays(self) -> dict[str, np.ndarray]:
        with np.load(self.folder / "result.npz") as file:
            return dict(file)


def run_program(name: str, folder: Path, *words: str) -> dict[str, Any]:
    """Run a program of this folder in a process of its own, and return the report it leaves."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.ptychodus.{name}", str(folder), *words],
        capture_output=True,
        text=True,
        timeout=500,
        cwd=PROJECT_ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


def run_cycle(folder: Path, backend: str, reconstructor: str, *more: str) -> Cycle:
    return Cycle(folder, backend, run_program("cycle_program", folder, backend, reconstructor, *more))
