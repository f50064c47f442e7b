"""`ptychopinn train` in two processes: the same numbers as in one, one voice, and nothing left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.archive import read_archive
from ptychopinn_backend.cli import main

pytestmark = pytest.mark.slow
PROGRAM = "import sys; from ptychopinn_backend.cli import main; sys.exit(main())"
COMMON = ["--backend", "pytorch", "--preset", "legacy", "--gridsize", "2", "--filters-scale", "1"]
COMMON += ["--seed", "1", "--accelerator", "cpu"]
# Two processes add the gradients of a batch in another order than one, so numbers differ in the last bits of float32;
# Adam, which divides by the size of the gradient, makes about 1e-5 of that in the losses of the first epochs.
TOLERANCE = 2e-5


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("scan") / "scan.npz"
    # 45 groups, 4 or 5 of them to validate on: the last batches are smaller than the others, and of unequal size.
    assert main(["simulate", "-o", str(path), "--size", "32", "--patterns", "45", "--photons", "1e5"]) == 0
    return str(path)


def started(*arguments: str, **variables: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    command = [sys.executable, "-c", PROGRAM, "train", *arguments, *COMMON]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        # A suite that a shell started in the background ignores interrupts, and its children would too.
        preexec_fn=heed_interrupts,
    )


def heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def processes_of(launcher: int) -> list[int]:
    """Return the training processes, living or not yet waited for, that a launcher started."""
    mark = f"PTYCHOPINN_LAUNCHER={launcher}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        try:
            # Not the tracker of resources that Python starts beside them.
            is_worker = b"--multiprocessing-fork" in (folder / "cmdline").read_bytes().split(b"\0")
            if is_worker and mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return sorted(found)


def wait_until_gone(launcher: int) -> None:
    end = time.monotonic() + 30
    while processes_of(launcher):
        assert time.monotonic() < end, f"processes {processes_of(launcher)} are left"
        time.sleep(0.1)


@pytest.fixture
def running(scan: str, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A training in two processes that has ended its first epoch and would go on for long."""
    process = started(scan, "-o", str(tmp_path), "--epochs", "100000", "--devices", "2", "--strategy", "ddp")
    end = time.monotonic() + 120
    while not (tmp_path / "checkpoints" / "last.ckpt").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.1)
    yield process
    process.kill()
    process.communicate()


def columns(folder: Path) -> dict[str, np.ndarray]:
    names, *rows = [line.split(",") for line in (folder / "history.csv").read_text().splitlines()]
    return dict(zip(names, np.array(rows, float).T, strict=True))


@pytest.mark.parametrize("strategy", ["ddp", "ddp_spawn"])
def test_two_processes_give_the_loss_curve_of_one_with_the_doubled_batch(
    strategy: str, scan: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ["--epochs", "3", "--batch-size", "4", "--devices", "2", "--strategy", strategy]
    assert main(["train", scan, "-o", str(tmp_path / "two"), *options, *COMMON]) == 0
    # What both processes say reaches the same two files.
    said = capfd.readouterr()
    assert said.out.count("Trained with pytorch") == 1
    assert said.err.splitlines() == [
        "Preset legacy: cnn, gridsize 2, 3 epochs",
        *(line for line in said.err.splitlines() if line.startswith(("epoch ", "An epoch takes "))),
    ]
    assert said.err.count("epoch 1/3") == said.err.count("An epoch takes ") == 1
    rate = str(1e-3 * 2**0.5)
    one = ["train", scan, "-o", str(tmp_path / "one"), *COMMON, "--epochs", "3", "--batch-size", "8", "--quiet"]
    assert main([*one, "--learning-rate", rate]) == 0
    found, expected = columns(tmp_path / "two"), columns(tmp_path / "one")
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=TOLERANCE, err_msg=name)
    assert read_archive(tmp_path / "two").history.keys() == expected.keys() - {"epoch"}


@pytest.mark.parametrize("strategy", ["ddp", "ddp_spawn"])
def test_what_pytorch_says_of_its_own_layout_stays_inside(
    strategy: str, scan: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # The amplitude decoder then ends in a convolution to one channel, whose gradient has an axis of one entry.
    one_by_one = ["1" if word == "2" else word for word in COMMON]
    options = ["-o", str(tmp_path / "two"), "--epochs", "1", "--devices", "2", "--strategy", strategy, *one_by_one]
    assert main(["train", scan, *options]) == 0
    first, *rest = capfd.readouterr().err.splitlines()
    assert first == "Preset legacy: cnn, gridsize 1, 1 epochs"
    assert [line for line in rest if not line.startswith("epoch 1/1")] == []


def test_the_tasks_of_two_nodes_of_slurm_train_one_model(scan: str, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "1", "SLURM_NNODES": "2", "SLURM_JOB_ID": "4711"}
    shared |= {"SLURM_NODELIST": "127.0.0.1", "SLURM_JOB_NAME": "ptychopinn", "MASTER_PORT": port}
    options = ["--epochs", "2", "--batch-size", "4", "--num-nodes", "2", "--strategy", "ddp"]
    tasks = [
        started(scan, "-o", str(tmp_path), *options, **shared, SLURM_PROCID=rank, SLURM_NODEID=rank, SLURM_LOCALID="0")
        for rank in ("0", "1")
    ]
    said = [task.communicate(timeout=200) for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], said
    assert "Trained with pytorch" in said[0][0]
    assert said[1] == ("", "")
    one = ["train", scan, "-o", str(tmp_path / "one"), *COMMON, "--epochs", "2", "--batch-size", "8", "--quiet"]
    assert main([*one, "--learning-rate", str(1e-3 * 2**0.5)]) == 0
    found, expected = columns(tmp_path), columns(tmp_path / "one")
    np.testing.assert_allclose(found["loss"], expected["loss"], rtol=TOLERANCE)


def test_a_killed_process_ends_the_training_in_one_sentence(running: subprocess.Popen[str]) -> None:
    os.kill(processes_of(running.pid)[-1], signal.SIGKILL)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 1
    said = [line for line in errors.splitlines() if line.startswith("Error")]
    assert said == [
        "Error: Process 2 of 2 was ended from outside by SIGKILL, most often because memory ran out. Lower batch_size "
        "or devices, or hold the scans on disk (a data set); then resume from the last checkpoint."
    ]
    assert "Traceback" not in errors
    wait_until_gone(running.pid)


def test_an_interrupt_ends_all_processes(running: subprocess.Popen[str]) -> None:
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert errors.splitlines()[-1].startswith("Interrupted.")
    assert errors.count("Interrupted.") == 1
    assert "Traceback" not in errors
    wait_until_gone(running.pid)


def test_processes_end_with_the_one_that_started_them(running: subprocess.Popen[str]) -> None:
    assert len(processes_of(running.pid)) == 2
    running.kill()
    wait_until_gone(running.pid)


def test_what_all_processes_refuse_is_said_once(scan: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = ["--devices", "2", "--set", "checkpoint_monitor_metric=val_los"]
    assert main(["train", scan, "-o", str(tmp_path), *options, *COMMON]) == 2
    errors = capfd.readouterr().err
    assert errors.count("checkpoint_monitor_metric = 'val_los' is not a loss of this run") == 1
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--devices", "2", "--strategy", "fsdp"], "strategy = 'fsdp' splits a model over CUDA devices"),
        (["--devices", "2", "--strategy", "ddp_spawn", "--num-nodes", "2"], "Set strategy to 'ddp'"),
        (["--devices", "2", "--num-nodes", "2"], "NODE_RANK, MASTER_ADDR, MASTER_PORT are not set"),
        (["--devices", "2", "--strategy", "horovod"], "strategy = 'horovod'"),
        (["--devices", "two"], "devices = 'two'"),
    ],
)
def test_refused_before_anything_starts(
    options: list[str], words: str, scan: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", scan, "-o", str(tmp_path), *COMMON, *options]) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
