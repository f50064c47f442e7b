"""Time and peak memory while the scan doubles; every row is a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np

from benchmarks.measuring import peak_mib
from benchmarks.prepared import BACKENDS
from benchmarks.scenes import SEED, cnn_config, scan_of, write_scan
from benchmarks.tables import Table
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.execution import ExecutionConfig
from ptychopinn_backend.reconstruct import reconstruct
from ptychopinn_backend.training_data import group_scans_on_disk
from ptychopinn_backend.workflows import train_source

PATTERNS = (1_500, 3_000, 6_000)
TRAINED = (500, 1_000, 2_000)
CONFIG = replace(
    cnn_config(64, 1, 1, nepochs=1),
    model=ModelConfig(N=64, gridsize=1, n_filters_scale=1, architecture="backprojection_unet"),
)


def measure(quick: bool) -> list[Table]:
    table = Table(
        "Cost of a larger scan",
        ("step", "backend", "patterns", "s", "s relative to half", "peak MiB", "peak without the scan MiB"),
        "N 64, gridsize 1, the network of the presets with n_filters_scale 1. Reconstruction holds the measured "
        "patterns in memory (16 KiB each), so they are taken off in the last column; training reads its groups from "
        "disk.",
    )
    steps = ("data set",) if quick else ("data set", "reconstruct", "train")
    with TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        for patterns in {32, 64} if quick else {*PATTERNS, *TRAINED}:
            write_scan(folder / f"{patterns}.npz", scan_of(64, patterns))
        for step in steps:
            sizes = (32, 64) if quick else (TRAINED if step == "train" else PATTERNS)
            for backend in ("",) if step == "data set" else BACKENDS:
                before = None
                for patterns in sizes:
                    found = _in_a_process(step, backend, folder, patterns)
                    scan_mib = patterns * 64 * 64 * 4 / 2**20 if step == "reconstruct" else 0
                    relative = None if before is None else found["seconds"] / before
                    peak = found["peak_mib"]
                    table.add(step, backend, patterns, found["seconds"], relative, peak, peak - scan_mib)
                    before = found["seconds"]
    return [table]


def _in_a_process(step: str, backend: str, folder: Path, patterns: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.growth", step, backend, str(folder), str(patterns)]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(finished.stdout.splitlines()[-1])
    return found


def _data_set(backend: str, folder: Path, patterns: int) -> Callable[[], object]:
    return lambda: group_scans_on_disk(
        folder / f"{patterns}.npz", folder / f"{patterns}", CONFIG, SEED, every_point=True
    )


def _reconstruct(backend: str, folder: Path, patterns: int) -> Callable[[], object]:
    source = PtychoDataContainer.from_raw_data(scan_of(64, 32), CONFIG.model, seed=SEED)
    model = train_source(source, CONFIG, ExecutionConfig(seed=SEED), backend=backend)
    scan = RawData.from_file(folder / f"{patterns}.npz")
    return lambda: reconstruct(model, scan)


def _train(backend: str, folder: Path, patterns: int) -> Callable[[], object]:
    dataset = group_scans_on_disk(
        folder / f"{patterns}.npz", folder / f"{patterns}", CONFIG, SEED, every_point=True
    ).training
    # What only the first training needs, such as imports, does not grow.
    train_source(dataset.subset(np.arange(16)), CONFIG, ExecutionConfig(seed=SEED), backend=backend)
    return lambda: train_source(dataset, CONFIG, ExecutionConfig(seed=SEED), backend=backend)


if __name__ == "__main__":
    prepared = {"data set": _data_set, "reconstruct": _reconstruct, "train": _train}[sys.argv[1]](
        sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
    )
    started = perf_counter()
    prepared()
    print(json.dumps({"seconds": perf_counter() - started, "peak_mib": peak_mib()}))
