"""Making a data set on disk and groups in memory, beside reading the file; scaling, beside memory bandwidth."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.measuring import interleaved, memory_copy, peak_mib
from benchmarks.scenes import SEED, cnn_config, scan_of, write_scan
from benchmarks.tables import Table
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.scaling import count_photons, counts_to_amplitudes
from ptychopinn_backend.runs.training_data import group_scans_on_disk

CONFIG = cnn_config(64, 2, 1, nepochs=1)


def measure(quick: bool) -> list[Table]:
    return [_creation(quick), _scaling(quick)]


def _creation(quick: bool) -> Table:
    table = Table(
        "Data set creation",
        ("patterns", "step", "s", "patterns/s", "relative to reading", "peak MiB"),
        "N 64, gridsize 2, float32 counts. 'read' is numpy.load of the file, the least any of them can do. The peak is "
        "of all steps up to there; that of making a data set on disk alone is among the costs of a larger scan.",
    )
    for patterns in (64,) if quick else (2_000, 8_000):
        with TemporaryDirectory(prefix="bench-") as folder:
            path = write_scan(Path(folder) / "scan.npz", scan_of(64, patterns))
            built = Path(folder) / "set"
            scan = RawData.from_file(path)

            def read(path: Path = path) -> None:
                with np.load(path) as file:
                    file["diffraction"]

            def build(path: Path = path, built: Path = built) -> None:
                shutil.rmtree(built, ignore_errors=True)
                group_scans_on_disk(path, built, CONFIG, SEED, every_point=True)

            steps: dict[str, Callable[[], object]] = {
                "read": read,
                "scan opened (RawData.from_file)": lambda path=path: RawData.from_file(path),
                "groups in memory": lambda scan=scan: _groups(scan),
                "data set on disk": build,
            }
            peaks = {}
            for name, step in steps.items():
                step()
                peaks[name] = peak_mib()
            times = interleaved(steps, 1 if quick else 5, warm_ups=0)
            for name, taken in times.items():
                ratio = taken.relative_to(times["read"])
                table.add(patterns, name, taken.figure, taken.rate(patterns), ratio, peaks[name])
    return table


def _groups(scan: RawData) -> PtychoDataContainer:
    return PtychoDataContainer.from_raw_data(scan, CONFIG.model, neighbor_count=CONFIG.neighbor_count, seed=SEED)


def _scaling(quick: bool) -> Table:
    table = Table(
        "Scaling",
        ("step", "s", "GB/s", "copy GB/s", "bound is faster by"),
        "4,096 patterns of 64 x 64, float32. GB/s counts the least traffic: every value read, and written where there "
        "is a result for each.",
    )
    patterns = 64 if quick else 4096
    scan = scan_of(64, patterns)
    amplitudes = np.asarray(scan.diff3d, np.float32)
    counts, groups = np.square(amplitudes), _groups(scan)
    copy, copied_bytes = memory_copy()
    steps: dict[str, Callable[[], object]] = {
        "counts to amplitudes": lambda: counts_to_amplitudes(counts),
        "photons of every pattern": lambda: count_photons(amplitudes),
        "normalised batches of 16 groups": lambda: [
            groups.batch(np.arange(start, start + 16)) for start in range(0, patterns // 4, 16)
        ],
        "copy": copy,
    }
    times = interleaved(steps, 1 if quick else 5)
    for name, passes in zip(steps, (2, 1, 2), strict=False):
        traffic_bytes = passes * counts.nbytes
        ratio = times[name].relative_to(times["copy"].times(traffic_bytes / copied_bytes))
        rates = times[name].rate(traffic_bytes / 1e9), times["copy"].rate(copied_bytes / 1e9)
        table.add(name, times[name].figure, *rates, ratio)
    return table
