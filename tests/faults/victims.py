"""What is killed: functions that write one kind of file again and again, and what may be found afterwards."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from ptychopinn_backend.archive import ArchiveContent, read_archive, write_archive
from ptychopinn_backend.arrays import IntArray
from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.data.dataset import create_dataset, open_dataset
from ptychopinn_backend.data.dataset.options import DatasetOptions
from ptychopinn_backend.data.group_cache import cached_neighbours
from ptychopinn_backend.data.npz import read_npz
from ptychopinn_backend.errors import ArchiveNotFoundError, DataFileNotFoundError

CONTENT = ArchiveContent(
    backend="pytorch",
    model=ModelConfig(N=32),
    training=TrainingConfig(model=ModelConfig(N=32)),
    intensity_scale=1.0,
    weights={},
    history={"loss": [1.0]},
    params={"N": 32},
)
SIZES = (200_000, 1_000_000)
POINTS = 100_000
MODEL = ModelConfig(N=32, gridsize=2)


def save_archives(path: str) -> None:
    for size in itertools.cycle(SIZES):
        write_archive(path, replace(CONTENT, weights={"kernel": np.full(size, size, np.float32)}))


def check_archive(path: Path) -> None:
    try:
        kernel = read_archive(path).weights["kernel"]
    except ArchiveNotFoundError:
        return
    assert kernel.size in SIZES
    assert (kernel == kernel.size).all()


def neighbours_of(number: int) -> IntArray:
    return np.full((POINTS, 4), number, np.int32)


def keep_neighbours(path: str) -> None:
    for number in itertools.cycle((1, 2)):
        cached_neighbours(Path(path), str(number), (POINTS, 4), lambda number=number: neighbours_of(number))  # type: ignore[misc]


def check_neighbours(path: Path) -> None:
    try:
        found = read_npz(path, ("fingerprint", "neighbours"))
    except DataFileNotFoundError:
        return
    np.testing.assert_array_equal(found["neighbours"], neighbours_of(int(str(found["fingerprint"]))))


def build_datasets(scan: str, folder: str) -> None:
    for measurement in itertools.cycle(("counts", "amplitudes")):
        create_dataset(scan, folder, MODEL, DatasetOptions(measurement=measurement))


def check_dataset(folder: Path) -> None:
    try:
        dataset = open_dataset(folder, MODEL)
    except DataFileNotFoundError:
        return
    batch = dataset.batch(np.arange(dataset.n_groups))
    assert np.isfinite(batch.X).all()


def write_in_pieces(path: str) -> None:
    """Write as nobody should."""
    for size in itertools.cycle(SIZES):
        with Path(path).open("wb") as file:
            for _ in range(10):
                file.write(bytes(size // 10))
                file.flush()
                time.sleep(0.01)


def check_pieces(path: Path) -> None:
    assert not path.exists() or path.stat().st_size in SIZES
