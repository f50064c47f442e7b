"""Making a data set on disk and groups in memory, beside reading the file."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.measuring import interleaved
from benchmarks.scenes import SEED, cnn_config, scan_of, write_scan
from benchmarks.tables import Table
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.training_data import group_scans_on_disk

CONFIG = cnn_config(64, 2, 1, nepochs=1)


def measure(quick: bool) -> list[Table]:
    table = Table(
        "Data set creation",
        ("patterns", "step", "s", "patterns/s", "relative to reading"),
        "N 64, gridsize 2, float32 counts. 'read' is numpy.load of the file, the least any of them can do.",
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

            times = interleaved(
                {
                    "read": read,
                    "scan opened (RawData.from_file)": lambda path=path: RawData.from_file(path),
                    "groups in memory": lambda scan=scan: PtychoDataContainer.from_raw_data(
                        scan, CONFIG.model, neighbor_count=CONFIG.neighbor_count, seed=SEED
                    ),
                    "data set on disk": build,
                },
                1 if quick else 5,
            )
            for name, taken in times.items():
                table.add(patterns, name, taken.figure, taken.rate(patterns), taken.relative_to(times["read"]))
    return [table]
