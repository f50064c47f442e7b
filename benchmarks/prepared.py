"""An archive and a scan on disk for topics that start whole processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.scenes import SEED, cnn_config, scan_of, write_scan
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.execution import ExecutionConfig
from ptychopinn_backend.workflows import train_source

BACKENDS = ("pytorch", "tensorflow")
FRAMEWORK_IMPORTS = {"pytorch": "import torch", "tensorflow": "import tensorflow"}


def archive_and_scan(folder: Path, backend: str, patterns: int, n_filters_scale: int = 2) -> tuple[Path, Path]:
    """Train a little in a process of its own and write archive and scan; return their paths."""
    arguments = [str(folder), backend, str(patterns), str(n_filters_scale)]
    subprocess.run([sys.executable, "-m", "benchmarks.prepared", *arguments], check=True, stdout=subprocess.DEVNULL)
    return folder / "wts.h5.zip", folder / "scan.npz"


def _prepare(folder: Path, backend: str, patterns: int, n_filters_scale: int) -> None:
    folder.mkdir(parents=True)
    config = cnn_config(64, 1, n_filters_scale, nepochs=1)
    source = PtychoDataContainer.from_raw_data(scan_of(64, 32), config.model, seed=SEED)
    train_source(source, config, ExecutionConfig(seed=SEED), backend=backend).save(folder)
    write_scan(folder / "scan.npz", scan_of(64, patterns))


if __name__ == "__main__":
    _prepare(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
