"""A small simulated scan, written once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan


@pytest.fixture(scope="session")
def scan() -> RawData:
    """48 patterns of 32 x 32 pixels with their true object."""
    return simulate_scan(SimulationConfig(size=32, patterns=48, photons=1e5), seed=3)


@pytest.fixture(scope="session")
def scan_file(scan: RawData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same scan as an NPZ file."""
    path = tmp_path_factory.mktemp("scan") / "scan.npz"
    scan.to_file(path)
    return path
