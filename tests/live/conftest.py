"""A small scan, and a model that maps its patterns one by one."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend import PtychoModel
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.runs.trained_model import TrainedModel

N = 32


@pytest.fixture(scope="session")
def scan() -> RawData:
    """64 patterns of 32 x 32 pixels, counts in `counts_of`."""
    return simulate_scan(SimulationConfig(size=N, patterns=64, photons=1e5), seed=5)


@pytest.fixture(scope="session")
def scan_file(scan: RawData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scan") / "scan.npz"
    scan.to_file(path)
    return path


@pytest.fixture(scope="session")
def archive(scan_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = PtychoModel("backprojection_unet", N=N, gridsize=2, n_filters_scale=1, backend="pytorch")
    model.train(scan_file, nepochs=1, seed=1, accelerator="cpu")
    folder = tmp_path_factory.mktemp("model")
    model.save(folder / "wts.h5.zip")
    return folder


@pytest.fixture(scope="session")
def model(archive: Path) -> TrainedModel:
    return TrainedModel.load(archive, "pytorch", to_predict=True)


@pytest.fixture
def port() -> int:
    """A port of searches of its own, so that tests that run at the same time do not hear one another."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
    return found


def counts_of(scan: RawData) -> np.ndarray:
    """Return the counts of a scan as a detector gives them (pattern, N, N)."""
    return np.rint(np.square(scan.diff3d.astype(np.float64))).astype(np.uint16)
