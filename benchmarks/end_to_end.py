"""`ptychopinn infer` of a whole scan from the command line, start-up included."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measuring import interleaved_processes
from benchmarks.prepared import BACKENDS, archive_and_scan
from benchmarks.tables import Table

PATTERNS = 500
MAIN = "from ptychopinn_backend.cli.main import main; main()"


def measure(quick: bool) -> list[Table]:
    patterns = 32 if quick else PATTERNS
    table = Table(
        "Reconstruction from the command line",
        ("backend", "patterns", "s", "patterns/s in all", "peak MiB"),
        "`ptychopinn infer ARCHIVE SCAN -o FOLDER` in a fresh process, N 64, gridsize 1, n_filters_scale 2; it writes "
        "the object, a Ptychodus product and a figure. How long the framework's import takes stands under Start-up.",
    )
    with TemporaryDirectory(prefix="bench-") as name:
        folder, commands = Path(name), {}
        archive, scan = archive_and_scan(folder, patterns)
        for backend in BACKENDS[:1] if quick else BACKENDS:
            output = str(folder / backend)
            arguments = ["infer", str(archive), str(scan), "--backend", backend, "-o", output, "--quiet"]
            commands[backend] = [sys.executable, "-c", MAIN, *arguments]
        times, peaks = interleaved_processes(commands, 1 if quick else 3, warm_ups=0)
    for backend in BACKENDS:
        if backend in times:
            taken = times[backend]
            table.add(backend, patterns, taken.figure, taken.rate(patterns), peaks[backend])
    return [table]
