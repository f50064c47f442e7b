"""A training and an inference alone, and beside a program that computes on one core: threads as we set them, and not.

python -m benchmarks --only shared_machine
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from benchmarks.measuring import Times, interleaved
from benchmarks.prepared import BACKENDS, archive_and_scan
from benchmarks.scenes import SEED, cnn_config, preset_config, scan_of
from benchmarks.tables import Table
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.runs.reconstruct import reconstruct
from ptychopinn_backend.runs.train import train_source
from ptychopinn_backend.runs.trained_model import TrainedModel

_NEIGHBOUR = "import numpy as np\na = np.ones(1 << 16)\nwhile True: a = np.sqrt(a * 1.0001)"
_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
WAYS: dict[str, dict[str, str]] = {
    "as the package sets threads": {},
    "as the framework sets them": {"OMP_NUM_THREADS": str(_CORES), "KMP_BLOCKTIME": "200"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
"""KMP_BLOCKTIME means nothing to GNU OpenMP; that the user said something leaves the waiting as it is."""


def measure(quick: bool) -> list[Table]:
    """Return one table: seconds of the work alone, without the start of the process."""
    table = Table(
        "A shared machine",
        ("work", "threads", "alone s", "beside one s", "alone, of the framework's", "beside one, of one thread's"),
        f"Fresh processes take turns, {_CORES} cores; a neighbour computes on one of them. Aims: 1.05 and 1.5.",
    )
    repeats = 1 if quick else 3
    with TemporaryDirectory(prefix="bench-") as name:
        archive, scan = archive_and_scan(Path(name), patterns=32 if quick else 500)
        for backend in BACKENDS:
            for work in ("training", "inference"):
                command = [sys.executable, "-m", __name__, work, backend, str(archive), str(scan), str(int(quick))]
                alone = _measured(command, repeats)
                with _neighbour():
                    busy = _measured(command, repeats)
                for way in WAYS:
                    table.add(
                        f"{work}, {backend}",
                        way,
                        alone[way].figure,
                        busy[way].figure,
                        alone[way].relative_to(alone["as the framework sets them"]),
                        busy[way].relative_to(busy["one thread"]),
                    )
    return [table]


def _measured(command: list[str], repeats: int) -> Mapping[str, Times]:
    """Return what the processes say they worked; their start is no matter of threads."""
    told: dict[str, list[float]] = {way: [] for way in WAYS}

    def run(way: str) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
        done = subprocess.run(
            command,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env={**environment, "TF_CPP_MIN_LOG_LEVEL": "3", **WAYS[way]},
        )
        told[way].append(float(done.stdout.split()[-1]))

    interleaved({way: lambda way=way: run(way) for way in WAYS}, repeats, warm_ups=0)  # type: ignore[misc]
    return {way: Times(tuple(seconds)) for way, seconds in told.items()}


@contextmanager
def _neighbour() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", _NEIGHBOUR], env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _work(work: str, backend: str, archive: str, scan: str, quick: bool) -> float:
    """Do the work once to warm up and once more, and return the seconds of the second time."""
    if work == "inference":
        from ptychopinn_backend.data.raw_data import RawData

        model, raw = TrainedModel.load(archive, backend=backend), RawData.from_file(scan)

        def once() -> None:
            reconstruct(model, raw, polish_steps=2)
    else:
        config = cnn_config(64, 1, 1, nepochs=1) if quick else preset_config("fast", 64, nepochs=1)[0]
        raw = scan_of(64, 16 if quick else 100)
        source = PtychoDataContainer.from_raw_data(raw, config.model, neighbor_count=config.neighbor_count, seed=SEED)

        def once() -> None:
            train_source(source, config, ExecutionConfig(seed=SEED), backend=backend)

    once()
    started = perf_counter()
    once()
    return perf_counter() - started


if __name__ == "__main__":
    print(_work(*sys.argv[1:5], quick=sys.argv[5] == "1"))
