"""A disk that is full or read-only, a loss that is not finite, a worker that dies, too little memory: one sentence."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from ptychopinn_backend.archive import read_archive
from ptychopinn_backend.atomic_file import TEMPORARY_PATTERN
from ptychopinn_backend.cli import main
from ptychopinn_backend.cli.main import MACHINE_FAILURE, USAGE_ERROR
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import OutputError

from .conftest import BackendServer, CommandLine, DiskMaker, make_read_only, training

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


@pytest.mark.parametrize("command", ["train", "simulate"])
def test_a_read_only_folder_is_refused(
    command: str, scan_file: Path, small_disk: DiskMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = small_disk(MIB)
    make_read_only(disk)
    arguments: dict[str, list[str | Path]] = {
        "train": training("pytorch", scan_file, disk / "model"),
        "simulate": ["simulate", "-o", disk / "scan.npz", "--size", "32", "--patterns", "4"],
    }
    assert main([str(word) for word in arguments[command]]) == MACHINE_FAILURE
    require_one_sentence(capsys.readouterr().err.splitlines(), "Read-only file system.* choose a folder you may write")


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
    assert files(output / "checkpoints") != {}
    assert list(output.rglob(TEMPORARY_PATTERN)) == []


def test_a_dead_worker_is_explained(scan_file: Path, tmp_path: Path) -> None:
    output = tmp_path / "model"
    more = ["--epochs", "1000", "--set", "num_workers=1", "--set", "persistent_workers=true"]
    command = CommandLine(*training("pytorch", scan_file, output, *more))
    worker = worker_of(command.pid, output / "checkpoints" / "last.ckpt")
    os.kill(worker, signal.SIGKILL)
    code, error = command.finish()
    assert code == MACHINE_FAILURE
    require_one_sentence(error, "worker process.* num_workers")
    assert (output / "checkpoints" / "last.ckpt").is_file()
    assert list(output.rglob(TEMPORARY_PATTERN)) == []


def worker_of(pid: int, checkpoint: Path) -> int:
    """Wait for a checkpoint, and return a child of the process."""
    for _ in range(600):
        if checkpoint.is_file():
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            if children:
                return int(children[0])
        time.sleep(0.1)
    pytest.fail("no worker process was started")


def test_too_little_memory_is_explained(backend_server: BackendServer, scan_file: Path, tmp_path: Path) -> None:
    code, error = backend_server.train(scan_file, tmp_path / "model", "--filters-scale", "4000", "--epochs", "1")
    assert code == MACHINE_FAILURE
    require_one_sentence(error, "Not enough memory: .*Lower batch_size")
