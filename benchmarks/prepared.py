"""An archive and a scan on disk for topics that start whole processes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.scenes import SEED, cnn_config, preset_config, scan_of, write_scan
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.factory import create_backend
from ptychopinn_backend.runs.train import train_source
from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.seam.interface import BackendSetup

BACKENDS = ("pytorch", "tensorflow")
FRAMEWORK_IMPORTS = {"pytorch": "import torch", "tensorflow": "import tensorflow"}


def archive_and_scan(folder: Path, patterns: int) -> tuple[Path, Path]:
    """Train a little in a process of its own; return the paths of the archive, for both backends, and of the scan."""
    arguments = [str(folder), str(patterns)]
    subprocess.run([sys.executable, "-m", "benchmarks.prepared", *arguments], check=True, stdout=subprocess.DEVNULL)
    return folder / "wts.h5.zip", folder / "scan.npz"


def untrained(network: str, N: int) -> TrainedModel:
    """Return a model of patterns one by one, with fresh weights: 'fast' as the preset, 'small' of fewest filters."""
    config, execution = preset_config("fast", N, nepochs=1)
    if network == "small":
        config = replace(config, model=replace(config.model, n_filters_scale=1))
    ones = np.ones((1, 1, N, N), np.complex64)
    backend = create_backend(BACKENDS[0], BackendSetup(config.model, config, execution, 100.0, ones))
    return TrainedModel(backend, given_probes=ones).one_by_one()


def _prepare(folder: Path, patterns: int) -> None:
    config = cnn_config(64, 1, 2, nepochs=1)
    source = PtychoDataContainer.from_raw_data(scan_of(64, 32), config.model, seed=SEED)
    train_source(source, config, ExecutionConfig(seed=SEED), backend=BACKENDS[0]).save(folder)
    write_scan(folder / "scan.npz", scan_of(64, patterns))


if __name__ == "__main__":
    _prepare(Path(sys.argv[1]), int(sys.argv[2]))
