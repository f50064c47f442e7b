"""SIGKILL at a random moment: afterwards every file is the old one or the new one, and the next start goes on.

`FAULT_KILLS=200 python -m pytest tests/faults` is the nightly run.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.archive import ArchiveContent, read_archive
from ptychopinn_backend.data.dataset import create_dataset
from ptychopinn_backend.data.dataset.options import DatasetOptions
from ptychopinn_backend.files.atomic_file import TEMPORARY_PATTERN

from . import victims
from .conftest import BackendServer
from .fork_server import ForkServer, killed_after

pytestmark = pytest.mark.slow
KILLS = int(os.environ.get("FAULT_KILLS", "20"))
VICTIMS = "tests.faults.victims"
EPOCHS = 5
LAST = {"pytorch": "last.ckpt", "tensorflow": "last.npz"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    with ForkServer([VICTIMS], tmp_path_factory.mktemp("server") / "log.txt") as running:
        yield running


def kill_again_and_again(
    server: ForkServer, kills: int, longest_s: float, check: Callable[[], object], function: str, *arguments: str
) -> None:
    rng = np.random.default_rng(kills)
    for _ in range(kills):
        moment = float(rng.uniform(0.0, longest_s))
        code = server.run(f"{VICTIMS}:{function}", *arguments, meanwhile=killed_after(moment))
        assert code == -signal.SIGKILL, server.said()
        check()


def test_a_file_written_in_pieces_is_found_torn(server: ForkServer, tmp_path: Path) -> None:
    path = tmp_path / "pieces"
    with pytest.raises(AssertionError):
        kill_again_and_again(server, 10, 0.3, lambda: victims.check_pieces(path), "write_in_pieces", str(path))


def test_archives(server: ForkServer, tmp_path: Path) -> None:
    path = tmp_path / "wts.h5.zip"
    kill_again_and_again(server, 3 * KILLS // 10, 0.3, lambda: victims.check_archive(path), "save_archives", str(path))
    assert {file.name for file in tmp_path.iterdir()} - {file.name for file in tmp_path.glob(TEMPORARY_PATTERN)} == {
        path.name
    }


def test_neighbour_caches(server: ForkServer, tmp_path: Path) -> None:
    path = tmp_path / "scan.g2k4.groups_cache.npz"
    kills = 2 * KILLS // 10
    kill_again_and_again(server, kills, 0.3, lambda: victims.check_neighbours(path), "keep_neighbours", str(path))


def test_data_sets(server: ForkServer, scan_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "dataset"
    kills = 2 * KILLS // 10
    arguments = ("build_datasets", str(scan_file), str(folder))
    kill_again_and_again(server, kills, 0.3, lambda: victims.check_dataset(folder), *arguments)
    create_dataset(scan_file, folder, victims.MODEL, DatasetOptions(n_subsample=10))
    victims.check_dataset(folder)
    names = {file.name.partition("-")[0] for file in folder.iterdir()}
    assert names == {"dataset.json", "patterns", "groups", ".lock"}


def test_training_goes_on_to_the_same_model(backend_server: BackendServer, scan_file: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    more = ("--epochs", str(EPOCHS), "--resume", "--batch-size", "32", "--set", "validation_fraction=0")
    started = time.perf_counter()
    code, said = backend_server.train(scan_file, tmp_path / "whole", *more)
    assert code == 0
    assert ["training starts at epoch 1" in line for line in said] == [True]
    needed_s = time.perf_counter() - started
    whole = read_archive(tmp_path / "whole")
    killed = runs = 0
    while killed < max(1, 3 * KILLS // 20):
        model = tmp_path / f"model{runs}"
        # Every second kill comes when there is a state to go on from.
        last = model / "checkpoints" / LAST[backend_server.backend] if killed % 2 else None
        moment = float(rng.uniform(0.0, 0.7 if last is None else 0.2)) * needed_s
        code, error = backend_server.train(scan_file, model, *more, meanwhile=killed_after(moment, last))
        assert code in {0, -signal.SIGKILL}, error
        killed += code != 0
        # Every few kills the training is left alone.
        if code != 0 and killed % 3 == 0:
            code, error = backend_server.train(scan_file, model, *more)
            assert code == 0
            # A kill before the first checkpoint leaves nothing to go on from, which is said.
            assert all("training starts at epoch 1" in line or "nothing was trained" in line for line in error)
        if code == 0:
            require_same_model(read_archive(model), whole)
            assert list(model.rglob(TEMPORARY_PATTERN)) == []
            runs += 1
    assert runs > 0


def test_training_killed_after_every_epoch_of_every_phase_ends_the_same(
    backend_server: BackendServer, scan_file: Path, tmp_path: Path
) -> None:
    def train(folder: Path, last_epoch: int) -> int:
        return backend_server.run(f"{VICTIMS}:train_in_phases", str(scan_file), str(folder), last_epoch)

    assert train(tmp_path / "whole", 0) == 0
    for epoch in range(1, victims.PHASES.total_epochs):
        assert train(tmp_path / "killed", epoch) == -signal.SIGKILL
        assert not (tmp_path / "killed" / "wts.h5.zip").exists()
    assert train(tmp_path / "killed", 0) == 0
    found, expected = (read_archive(tmp_path / name) for name in ("killed", "whole"))
    assert len(found.history["loss"]) == victims.PHASES.total_epochs
    assert found.history == expected.history
    for name, array in expected.weights.items():
        np.testing.assert_array_equal(found.weights[name], array)


def require_same_model(found: ArchiveContent, expected: ArchiveContent) -> None:
    assert len(expected.history["loss"]) == EPOCHS
    assert found.history["loss"] == expected.history["loss"]
    for name, array in expected.weights.items():
        np.testing.assert_array_equal(found.weights[name], array)
