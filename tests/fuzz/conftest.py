"""A small archive, taken apart; the watch; and what became of all inputs."""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from ptychopinn_backend.archive import ArchiveContent, write_archive
from ptychopinn_backend.config import ModelConfig, TrainingConfig

from .watch import DAILY_INPUTS, INPUTS, Watch, limited_process

OUTCOMES = "outcomes"
MEMORY_DISK = Path("/dev/shm")


@pytest.fixture(autouse=True)
def in_an_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "current").mkdir()
    monkeypatch.chdir(tmp_path / "current")


@pytest.fixture(scope="session")
def archive_members(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Member name -> bytes of a good archive."""
    content = ArchiveContent(
        backend="tensorflow",
        model=ModelConfig(N=32),
        training=TrainingConfig(model=ModelConfig(N=32)),
        intensity_scale=5.0,
        weights={
            "encoder/0/conv0/kernel": np.ones((3, 3, 1, 4), np.float32),
            "probe": np.ones((4, 4), np.complex64),
            "log_scale": np.array(1.5, np.float32),
        },
        history={"loss": [2.0, float("nan")]},
        params={"N": 32, "probe": np.ones((4, 4), np.complex64), "t": (1, None), "flag": np.bool_(True)},
    )
    path = write_archive(tmp_path_factory.mktemp("original") / "wts.h5.zip", content)
    with zipfile.ZipFile(path) as container:
        return {name: container.read(name) for name in container.namelist()}


@pytest.fixture
def watch(record_property: Callable[[str, object], None]) -> Iterator[Watch]:
    """Counts what is read in a test, for the summary at the end."""
    started = time.perf_counter()
    watch = Watch()
    with limited_process():
        yield watch
    record_property(
        OUTCOMES,
        f"{watch.opened} opened, {watch.refused} refused in {time.perf_counter() - started:.0f} s; the slowest took "
        f"{watch.slowest_s:.2f} s, the hungriest {watch.most_memory_gib * 1024:.0f} MiB",
    )


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: a disk takes longer to write to than most files take to be read."""
    if not os.access(MEMORY_DISK, os.W_OK):
        yield tmp_path
        return
    with TemporaryDirectory(dir=MEMORY_DISK) as name:
        yield Path(name)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List what became of the inputs of every format, in the nightly run."""
    if INPUTS <= DAILY_INPUTS:
        return
    # Properties that a fixture records at its end are with the report on the end of the test, which has no name.
    for report in terminalreporter.getreports(""):
        for name, value in report.user_properties:
            if name == OUTCOMES and report.when == "teardown":
                terminalreporter.write_line(f"{report.nodeid.partition('::')[2]}: {value}")
