"""A file is decoded once for a data set, whatever is wrong with its patterns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.data.dataset import create_dataset
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.readers.array_source import Hdf5Array

from .conftest import N, scan_members, write_training_hdf5

POINTS = 40


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of patterns of every read of a data set with a pattern for each point."""
    counts: list[int] = []
    read = h5py.Dataset.__getitem__

    def counted(self: h5py.Dataset, *wanted: Any, **more: Any) -> Any:
        found = read(self, *wanted, **more)
        if self.shape == (POINTS, N, N):
            counts.append(len(found))
        return found

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    return counts


@pytest.mark.filterwarnings("ignore::ptychopinn_backend.errors.ScanWarning")
@pytest.mark.parametrize("dtype", ["u2", "u4", "i4", "f4"])
@pytest.mark.parametrize("fault", ["none", "hot pixel", "fill value", "empty pattern"])
def test_patterns_are_decoded_once(
    dtype: str, fault: str, model: ModelConfig, tmp_path: Path, decoded: list[int]
) -> None:
    members = scan_members(3, POINTS)
    counts = members["diffraction"].astype(dtype)
    if fault == "hot pixel":
        counts[:, 5, 5] = 30_000
    elif fault == "fill value":
        counts[:, 10:12] = np.nan if dtype == "f4" else np.iinfo(dtype).max
    elif fault == "empty pattern":
        counts[7] = 0
    write_training_hdf5(tmp_path / "scan.h5", {**members, "diffraction": counts})
    dataset = create_dataset([tmp_path / "scan.h5"], tmp_path / "set", model)
    assert sum(decoded) == POINTS
    expected = RawData.from_file(tmp_path / "scan.h5")
    np.testing.assert_array_equal(dataset.scan(0).diff3d, expected.diff3d)
    np.testing.assert_array_equal(dataset.scan(0).xcoords, expected.xcoords)


def test_chunks_of_a_grid_are_decoded_once(tmp_path: Path) -> None:
    patterns = np.arange(6 * 4 * N * N, dtype=np.uint16).reshape(6, 4, N, N)
    with h5py.File(tmp_path / "grid.h5", "w") as file:
        file.create_dataset("frames", data=patterns, chunks=(3, 2, N, N), compression="gzip")
    found = list(Hdf5Array(tmp_path / "grid.h5", "frames", (24, N, N), patterns.dtype).pieces())
    assert [len(piece) for piece in found] == [12, 12]
    np.testing.assert_array_equal(np.concatenate(found), patterns.reshape(24, N, N))
