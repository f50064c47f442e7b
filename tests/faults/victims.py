"""What is killed: functions that write one kind of file again and again, and what may be found afterwards."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ptychopinn_backend.archive import ArchiveContent, read_archive, write_archive
from ptychopinn_backend.arrays import IntArray
from ptychopinn_backend.cli import main
from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.dataset import create_dataset, open_dataset
from ptychopinn_backend.data.dataset.options import DatasetOptions
from ptychopinn_backend.data.group_cache import cached_neighbours
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import ArchiveNotFoundError, DataError, DataFileNotFoundError
from ptychopinn_backend.files.npz import read_npz
from ptychopinn_backend.runs.train import train_scans
from ptychopinn_backend.seam.interface import EpochReport

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


def command_line(words: list[str], memory_mib: int | None) -> int:
    """Run `ptychopinn`, with no more than so much memory in addition to what the process has."""
    if memory_mib is not None:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + memory_mib * 2**20,) * 2)
    return main(words)


PHASES = TrainingConfig(
    model=ModelConfig(N=32, n_filters_scale=1),
    batch_size=8,
    n_groups=20,
    nphotons=1e4,
    stage_1_epochs=1,
    stage_2_epochs=2,
    stage_3_epochs=1,
    epochs_fine_tune=2,
    scheduler="Adaptive",
    optimizer="adamw",
    weight_decay=0.01,
)
"""Every kind of epoch there is."""


def train_in_phases(backend: str, scan: str, folder: str, last_epoch: int) -> None:
    """Train, resuming what is there, and die by SIGKILL right after an epoch; 0 is none."""

    def die(report: EpochReport) -> None:
        if report.epoch == last_epoch:
            os.kill(os.getpid(), signal.SIGKILL)

    model = train_scans(
        [RawData.from_file(scan)],
        PHASES,
        ExecutionConfig(accelerator="cpu", seed=3),
        backend=backend,
        on_epoch=die,
        checkpoint_folder=Path(folder) / "checkpoints",
        resume=True,
    )
    model.save(Path(folder) / "wts.h5.zip")


def save_archives(path: str) -> None:
    for size in itertools.cycle(SIZES):
        write_archive(path, replace(CONTENT, weights={"kernel": np.full(size, size, np.float32)}))


def check_archive(path: Path) -> bool:
    """Return whether an archive is there; it must be whole."""
    try:
        kernel = read_archive(path).weights["kernel"]
    except ArchiveNotFoundError:
        return False
    assert kernel.size in SIZES
    assert (kernel == kernel.size).all()
    return True


def neighbours_of(number: int) -> IntArray:
    return np.full((POINTS, 4), number, np.int32)


def keep_neighbours(path: str) -> None:
    for number in itertools.cycle((1, 2)):
        cached_neighbours(Path(path), str(number), (POINTS, 4), lambda number=number: neighbours_of(number))  # type: ignore[misc]


def check_neighbours(path: Path) -> bool:
    """Return whether a cache is there; it must be whole."""
    try:
        found = read_npz(path, ("fingerprint", "neighbours"))
    except DataFileNotFoundError:
        return False
    np.testing.assert_array_equal(found["neighbours"], neighbours_of(int(str(found["fingerprint"]))))
    return True


def build_datasets(scan: str, folder: str) -> None:
    for measurement in itertools.cycle(("counts", "amplitudes")):
        create_dataset(scan, folder, MODEL, DatasetOptions(measurement=measurement))


def check_dataset(folder: Path) -> bool:
    """Return whether a data set is there; it must be whole."""
    try:
        dataset = open_dataset(folder, MODEL)
    except DataFileNotFoundError:
        return False
    batch = dataset.batch(np.arange(dataset.n_groups))
    assert np.isfinite(batch.X).all()
    return True


def check_dataset_or_notice(folder: Path) -> bool:
    """Return whether a data set is there and stayed until it was read; one that is replaced has to be noticed."""
    try:
        return check_dataset(folder)
    except DataError as error:
        if "Was the data set rebuilt or removed?" not in str(error):
            raise
        return False


def read_in_processes(number: int, check: str, path: str, until: str) -> int:
    """Read in so many processes until the file `until` is there; return how many found damage, or nothing at all."""
    readers = []
    for _ in range(number):
        readers.append(os.fork())
        if readers[-1] == 0:
            os._exit(_read(globals()[check], Path(path), Path(until)))
    return sum(os.waitpid(reader, 0)[1] != 0 for reader in readers)


def _read(check: Callable[[Path], bool], path: Path, until: Path) -> int:
    found = 0
    try:
        while not until.exists():
            found += check(path)
        found += check(path)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0 if found else 2


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
