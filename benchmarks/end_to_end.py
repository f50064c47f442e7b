"""`ptychopinn infer` of a whole scan from the command line, start-up included."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measuring import interleaved_processes
from benchmarks.prepared import BACKENDS, FRAMEWORK_IMPORTS, archive_and_scan
from benchmarks.tables import Table

PATTERNS = 500
MAIN = "from ptychopinn_backend.cli.main import main; main()"


def measure(quick: bool) -> list[Table]:
    patterns = 32 if quick else PATTERNS
    table = Table(
        "Reconstruction from the command line",
        ("backend", "patterns", "s", "of which framework import s", "patterns/s in all", "peak MiB"),
        "`ptychopinn infer ARCHIVE SCAN -o FOLDER` in a fresh process, N 64, gridsize 1, n_filters_scale 2; it writes "
        "the object, a Ptychodus product and a figure.",
    )
    with TemporaryDirectory(prefix="bench-") as name:
        folder, commands = Path(name), {}
        for backend in BACKENDS[:1] if quick else BACKENDS:
            archive, scan = archive_and_scan(folder / backend, backend, patterns)
            arguments = ["infer", str(archive), str(scan), "-o", str(folder / backend / "out"), "--quiet"]
            commands[backend] = [sys.executable, "-c", MAIN, *arguments]
            commands[f"{backend} framework"] = [sys.executable, "-c", FRAMEWORK_IMPORTS[backend]]
        times, peaks = interleaved_processes(commands, 1 if quick else 3, warm_ups=0)
    for backend in BACKENDS:
        if backend in times:
            taken, bare = times[backend], times[f"{backend} framework"]
            table.add(backend, patterns, taken.figure, bare.figure, taken.rate(patterns), peaks[backend])
    return [table]
