"""A disk that is full or read-only, a loss that is not finite, a worker that dies, too little memory: one sentence."""

from __future__ import annotations

import os
import re
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.archive import read_archive
from ptychopinn_backend.cli import main
from ptychopinn_backend.cli.main import MACHINE_FAILURE, USAGE_ERROR
from ptychopinn_backend.data.mapped_patterns import mapped_room
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import OutputError
from ptychopinn_backend.files.atomic_file import TEMPORARY_PATTERN
from ptychopinn_backend.files.npz import member_names, read_npz

from .conftest import BackendServer, DiskMaker, make_read_only, training

pytestmark = pytest.mark.slow
MIB = 2**20


def files(folder: Path) -> dict[Path, bytes]:
    """Content of what a run left, logs apart."""
    kept = [file for file in folder.rglob("*") if file.is_file() and file.suffix in {".ckpt", ".npz", ".zip"}]
    return {file: file.read_bytes() for file in kept}


def require_one_sentence(error: list[str], words: str) -> None:
    assert len(error) == 1, error
    assert re.fullmatch(rf"Error: .*{words}.*\.", error[0]), error


def test_a_full_disk_keeps_the_checkpoint_to_go_on_from(
    backend_server: BackendServer, scan_file: Path, small_disk: DiskMaker
) -> None:
    disk = small_disk(64 * MIB)
    output = disk / "model"
    assert backend_server.train(scan_file, output, "--epochs", "1") == (0, [])
    before = files(output)
    free = os.statvfs(disk)
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(free.f_bavail * free.f_bsize - 64 * 2**10))
    more = ("--epochs", "3", "--resume")
    code, error = backend_server.train(scan_file, output, *more)
    assert code == MACHINE_FAILURE
    require_one_sentence(error, "No space left on device.* Free space")
    assert files(output) == before
    assert list(output.rglob(TEMPORARY_PATTERN)) == []
    ballast.unlink()
    assert backend_server.train(scan_file, output, *more) == (0, [])
    assert len(read_archive(output).history["loss"]) == 3


def test_mapped_patterns_on_a_full_disk_raise(small_disk: DiskMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk(MIB)))
    assert mapped_room((2, 64, 64)).sum() == 0
    # The first page without room would end the process with SIGBUS.
    with pytest.raises(OSError, match="No space left on device"):
        mapped_room((512, 64, 64))


@pytest.mark.parametrize("command", ["train pytorch", "train tensorflow", "simulate"])
def test_a_read_only_folder_is_refused(
    command: str, scan_file: Path, small_disk: DiskMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = small_disk(MIB)
    make_read_only(disk)
    words: list[str | Path] = ["simulate", "-o", disk / "scan.npz", "--size", "32", "--patterns", "4"]
    if command != "simulate":
        words = training(command.removeprefix("train "), scan_file, disk / "model")
    assert main([str(word) for word in words]) == MACHINE_FAILURE
    require_one_sentence(capsys.readouterr().err.splitlines(), "Read-only file system.* choose a folder you may write")


def test_a_folder_that_becomes_read_only_keeps_what_is_in_it(
    backend_server: BackendServer, scan_file: Path, small_disk: DiskMaker
) -> None:
    disk = small_disk(64 * MIB)
    assert backend_server.train(scan_file, disk / "model", "--epochs", "1") == (0, [])
    before = files(disk / "model")
    make_read_only(disk)
    code, error = backend_server.train(scan_file, disk / "model", "--epochs", "2", "--resume")
    assert code == MACHINE_FAILURE
    require_one_sentence(error, "Read-only file system.* choose a folder you may write")
    assert files(disk / "model") == before


def test_a_scan_does_not_fit_the_disk(scan_file: Path, small_disk: DiskMaker) -> None:
    disk = small_disk(64 * 2**10)
    with pytest.raises(OutputError, match="No space left on device"):
        RawData.from_file(scan_file).to_file(disk / "scan.npz")
    assert list(disk.iterdir()) == []


def test_a_loss_that_is_not_finite_keeps_the_best_model(
    backend_server: BackendServer, scan_file: Path, tmp_path: Path
) -> None:
    output = tmp_path / "model"
    more = ("--epochs", "6", "--learning-rate", "1e18", "--batch-size", "32", "--set", "validation_fraction=0")
    code, error = backend_server.train(scan_file, output, *more)
    assert code == USAGE_ERROR
    require_one_sentence(error, "in epoch [2-6].*finite.* Lower learning_rate")
    require_best_checkpoint(output / "checkpoints")
    assert list(output.rglob(TEMPORARY_PATTERN)) == []


def require_best_checkpoint(folder: Path) -> None:
    """Raise unless the best state so far is there, whole and finite."""
    best = next(file for file in folder.iterdir() if file.name.startswith("best"))
    if best.suffix == ".npz":
        weights = read_npz(best, member_names(best))
    else:
        import torch

        weights = {name: value.numpy() for name, value in torch.load(best, weights_only=True)["state_dict"].items()}
    numbers = [array for array in weights.values() if array.dtype.kind in "fc"]
    assert len(numbers) > 3
    assert all(np.isfinite(array).all() for array in numbers)


WITH_WORKER = ("--epochs", "1000", "--set", "num_workers=1", "--set", "persistent_workers=true")


@pytest.mark.parametrize("backend_server", ["pytorch"], indirect=True)
def test_a_dead_worker_is_explained(backend_server: BackendServer, scan_file: Path, tmp_path: Path) -> None:
    last = tmp_path / "model" / "checkpoints" / "last.ckpt"

    def kill_worker(pid: int) -> None:
        os.kill(worker_of(pid, last), signal.SIGKILL)

    code, error = backend_server.train(scan_file, tmp_path / "model", *WITH_WORKER, meanwhile=kill_worker)
    assert code == MACHINE_FAILURE
    require_one_sentence(error, "worker process.* num_workers")
    require_best_checkpoint(last.parent)
    assert list(tmp_path.rglob(TEMPORARY_PATTERN)) == []


@pytest.mark.parametrize("backend_server", ["pytorch"], indirect=True)
def test_workers_end_with_a_killed_training(backend_server: BackendServer, scan_file: Path, tmp_path: Path) -> None:
    def kill_training(pid: int) -> None:
        worker_of(pid, tmp_path / "model" / "checkpoints" / "last.ckpt")
        os.kill(pid, signal.SIGKILL)

    # The server looks for processes that are left.
    code, _ = backend_server.train(scan_file, tmp_path / "model", *WITH_WORKER, meanwhile=kill_training)
    assert code == -signal.SIGKILL


def worker_of(pid: int, checkpoint: Path) -> int:
    """Wait for a checkpoint, and return a child of the process."""
    for _ in range(600):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if checkpoint.is_file() and children:
            return int(children[0])
        time.sleep(0.1)
    pytest.fail("no worker process was started")


def test_too_little_memory_is_explained(backend_server: BackendServer, scan_file: Path, tmp_path: Path) -> None:
    code, error = backend_server.train(scan_file, tmp_path / "model", "--filters-scale", "4000", "--epochs", "1")
    assert code == MACHINE_FAILURE
    require_one_sentence(error, "Not enough memory: .*Lower batch_size")


def test_memory_that_runs_out_leaves_what_to_go_on_from(
    backend_server: BackendServer, scan_file: Path, tmp_path: Path
) -> None:
    output = tmp_path / "model"
    assert backend_server.train(scan_file, output, "--epochs", "1") == (0, [])
    before = files(output)
    more = ("--epochs", "2", "--resume")
    code, error = backend_server.train(scan_file, output, *more, memory_mib=48)
    # TensorFlow ends the process itself where its own code, and not an operation, gets no memory.
    if backend_server.backend == "pytorch" or code > 0:
        assert code == MACHINE_FAILURE
        require_one_sentence(error, "Not enough memory: .*Lower batch_size")
    assert code != 0
    assert files(output) == before
    assert backend_server.train(scan_file, output, *more) == (0, [])
    assert list(output.rglob(TEMPORARY_PATTERN)) == []
