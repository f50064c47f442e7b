"""Seconds until something is there: imports, help texts, and the first prediction of a fresh process."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measuring import Times, interleaved_processes
from benchmarks.prepared import BACKENDS, FRAMEWORK_IMPORTS, archive_and_scan
from benchmarks.tables import Table

HELP = "from ptychopinn_backend.cli.main import main; main(['--help'])"


def measure(quick: bool) -> list[Table]:
    table = Table(
        "Start-up",
        ("what", "s", "beyond", "s beyond", "target s", "peak MiB"),
        "Whole processes. 'beyond' is what was taken off, round by round: what the interpreter or the framework needs.",
    )
    commands = {
        "python -c pass": "pass",
        "import ptychopinn_backend": "import ptychopinn_backend",
        "ptychopinn --help": HELP,
        "import numpy": "import numpy",
    }
    if find_spec("ptychodus") is not None:
        commands["import of the host's part (ptychodus.api)"] = "import ptychodus.api.reconstruct"
        commands["the plugin module"] = "import ptychodus_plugin.hook"
    times, peaks = interleaved_processes(
        {name: [sys.executable, "-c", code] for name, code in commands.items()}, 1 if quick else 5
    )
    targets = {"import ptychopinn_backend": 0.15, "ptychopinn --help": 0.4, "the plugin module": 0.3}
    for name, taken in times.items():
        table.add(name, taken.figure, "", None, targets.get(name), peaks[name])
    if not quick:
        _first_predictions(table)
    return [table]


def _first_predictions(table: Table) -> None:
    with TemporaryDirectory(prefix="bench-") as name:
        archive, scan = archive_and_scan(Path(name), patterns=64)
        for backend in BACKENDS:
            child = [sys.executable, "-m", "benchmarks.first_prediction", str(archive), str(scan), backend]
            framework = [sys.executable, "-c", FRAMEWORK_IMPORTS[backend]]
            times, peaks = interleaved_processes({"child": child, "framework": framework}, 3, warm_ups=0)
            pairs = zip(times["child"].seconds, times["framework"].seconds, strict=True)
            beyond = Times(tuple(child - framework for child, framework in pairs))
            title = f"first pattern predicted in a fresh process, {backend}"
            table.add(title, times["child"].figure, f"{FRAMEWORK_IMPORTS[backend]}", beyond.figure, 1.0, peaks["child"])
