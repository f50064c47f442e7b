"""Time and peak memory while the scan doubles; every step has a process of its own, in which the sizes take turns."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measuring import Times, interleaved, peak_mib
from benchmarks.prepared import BACKENDS
from benchmarks.scenes import SEED, cnn_config, scan_of, write_scan
from benchmarks.tables import Table
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.runs.reconstruct import reconstruct
from ptychopinn_backend.runs.train import train_source
from ptychopinn_backend.runs.training_data import group_scans_on_disk

PATTERNS = {"data set": (1_500, 3_000, 6_000), "reconstruct": (500, 1_000, 2_000), "train": (150, 300, 600)}
QUICK_PATTERNS = (32, 64)
ROUNDS = 5
CONFIG = replace(
    cnn_config(64, 1, 1, nepochs=1),
    model=ModelConfig(N=64, gridsize=1, n_filters_scale=1, architecture="backprojection_unet"),
)

Run = Callable[[], object]


def measure(quick: bool) -> list[Table]:
    table = Table(
        "Cost of a larger scan",
        ("step", "backend", "patterns", "s", "relative to half", "peak MiB", "peak without the scans MiB"),
        "N 64, gridsize 1, the network of the presets with n_filters_scale 1. The sizes take turns, and ratios are "
        "those of a round. Peaks are those of a first round, the smallest scan first. Reconstruction holds the "
        "measured patterns in memory (16 KiB each, and here those of the smaller scans too), so they are taken off in "
        "the last column; training reads its groups from disk.",
    )
    with TemporaryDirectory(prefix="bench-") as name:
        for step in ("data set",) if quick else PATTERNS:
            sizes = QUICK_PATTERNS if quick else PATTERNS[step]
            for patterns in sizes:
                write_scan(_scan_file(Path(name), patterns), scan_of(64, patterns))
            for backend in ("",) if step == "data set" else BACKENDS:
                _add_rows(table, step, backend, Path(name), sizes)
    return [table]


def _scan_file(folder: Path, patterns: int) -> Path:
    return folder / f"{patterns}.npz"


def _add_rows(table: Table, step: str, backend: str, folder: Path, sizes: tuple[int, ...]) -> None:
    command = [sys.executable, "-m", "benchmarks.growth", step, backend, str(folder), *map(str, sizes)]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(finished.stdout.splitlines()[-1])
    half: Times | None = None
    scans_mib = 0.0
    for size, seconds, peak in zip(sizes, found["seconds"], found["peak_mib"], strict=True):
        times = Times(tuple(seconds))
        scans_mib += size * 64 * 64 * 4 / 2**20 if step == "reconstruct" else 0
        relative = None if half is None else times.relative_to(half)
        table.add(step, backend, size, times.figure, relative, peak, peak - scans_mib)
        half = times


def _data_set(backend: str, folder: Path) -> Callable[[int], Run]:
    def run(patterns: int) -> object:
        # What is gone at once is never written to the disk, which would slow the next one down.
        with TemporaryDirectory(dir=folder) as made:
            return group_scans_on_disk(_scan_file(folder, patterns), Path(made), CONFIG, SEED, every_point=True)

    return lambda patterns: partial(run, patterns)


def _reconstruct(backend: str, folder: Path) -> Callable[[int], Run]:
    source = PtychoDataContainer.from_raw_data(scan_of(64, 32), CONFIG.model, seed=SEED)
    model = train_source(source, CONFIG, ExecutionConfig(seed=SEED), backend=backend)
    return lambda patterns: partial(reconstruct, model, RawData.from_file(_scan_file(folder, patterns)))


def _train(backend: str, folder: Path) -> Callable[[int], Run]:
    def prepared(patterns: int) -> Run:
        scan, made = _scan_file(folder, patterns), folder / f"{backend} {patterns}"
        dataset = group_scans_on_disk(scan, made, CONFIG, SEED, every_point=True).training
        return partial(train_source, dataset, CONFIG, ExecutionConfig(seed=SEED), backend=backend)

    return prepared


STEPS = {"data set": _data_set, "reconstruct": _reconstruct, "train": _train}


def _measured(prepared: Callable[[int], Run], sizes: list[int]) -> dict[str, object]:
    runs, peaks = {}, []
    for size in sizes:
        runs[str(size)] = prepared(size)
        runs[str(size)]()
        peaks.append(peak_mib())
        # What is left of this size, a model and its graphs, is not to count for the next.
        gc.collect()
    times = interleaved(runs, ROUNDS, warm_ups=0)
    return {"seconds": [list(taken.seconds) for taken in times.values()], "peak_mib": peaks}


if __name__ == "__main__":
    step, backend, folder, *sizes = sys.argv[1:]
    print(json.dumps(_measured(STEPS[step](backend, Path(folder)), [int(size) for size in sizes])))
