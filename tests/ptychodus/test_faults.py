"""The computing process is killed, runs out of memory or of disk: one sentence, the host lives on, nothing is left."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ptychodus.model import ModelCore

from ptychodus_plugin.product import save_training_data
from ptychopinn_backend.archive import read_metadata
from ptychopinn_backend.errors import ChildDiedError, InsufficientMemoryError, OutputError, TrainingError
from ptychopinn_backend.files.atomic_file import TEMPORARY_PATTERN
from tests.faults.conftest import DiskMaker, make_read_only
from tests.ptychodus.scenes import analytic_object, decide_nothing, make_input, product_in

pytestmark = pytest.mark.slow
GIB = 2**30


class Scan:
    """A product in a running host, beside its training data in `folder`."""

    def __init__(self, host: ModelCore, folder: Path, **how: Any) -> None:
        parameters, _ = make_input(**{"step_px": 10.0, **how})
        decide_nothing(host)
        self.host = host
        self.folder = folder
        self.product = product_in(host, parameters, folder)
        save_training_data(folder / "train_data.npz", parameters)
        self.set("PtychoPINNModel", Backend="pytorch", NumFiltersScale=1, Accelerator="cpu")
        self.set("PtychoPINNTraining", NumEpochs=10_000, BatchSize=4)

    def set(self, group: str, **values: Any) -> None:
        for key, value in values.items():
            self.host.settings_registry[group].parameters()[key].set_value(value)

    def train(self, output: Path) -> None:
        self.product.train_reconstructor_local(self.folder, output, block=True)

    def reconstruct(self) -> None:
        self.product.reconstruct_local(block=True)

    @property
    def reconstructor(self) -> Any:
        return self.host.processing_core.algorithm_parameter.get_current_reconstructor()


@pytest.fixture
def scan(host: ModelCore, tmp_path: Path) -> Scan:
    return Scan(host, tmp_path)


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    assert multiprocessing.active_children() == []
    assert list(tmp_path.rglob(TEMPORARY_PATTERN)) == []


def once(condition: Callable[[], object], action: Callable[[Any], None]) -> threading.Thread:
    """Do something with the child as soon as a condition holds, from a thread."""

    def watch() -> None:
        ends = time.monotonic() + 120
        while time.monotonic() < ends:
            children = multiprocessing.active_children()
            if children and condition():
                action(children[0].pid)
                return
            time.sleep(0.05)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def runs(pid: int) -> bool:
    """Whether a process is there and is not only waiting for its parent to notice its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def test_child_killed_in_training_leaves_the_best_model_in_use(scan: Scan, tmp_path: Path) -> None:
    output = tmp_path / "trained"
    best = output / "checkpoints" / "best.zip"
    half_written = output / ".model.zip.0123.tmp"

    def kill_while_writing(pid: int) -> None:
        half_written.write_bytes(b"half")
        kill(pid)

    once(best.is_file, kill_while_writing)
    with pytest.raises(ChildDiedError, match=r"ended from outside \(signal SIGKILL\).* memory .*Lower the batch size"):
        scan.train(output)
    assert not half_written.exists()
    assert read_metadata(best)["model"]["N"] == 32
    assert scan.reconstructor.is_model_loaded()
    scan.reconstruct()


def test_stop_counts_before_there_is_a_child(scan: Scan, archive: Path) -> None:
    reconstructor = scan.reconstructor
    reconstructor.load_model_from_file(archive)
    told: list[Any] = []

    def stop_once(notice: Any) -> None:
        told.append(notice)
        if len(told) == 1:
            reconstructor.stop()

    reconstructor.add_listener(stop_once)
    assert list(reconstructor.reconstruct(scan.product.get_reconstruct_input())) == []
    # A stop of an earlier call is forgotten.
    assert list(reconstructor.reconstruct(scan.product.get_reconstruct_input()))


def has_mapped_the_payload(pid: int) -> bool:
    """Whether a child has mapped the nameless file that its input lies in."""
    try:
        return "(deleted)" in Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return False


@pytest.mark.parametrize("moment", ["before", "while", "after"])
def test_child_killed_around_its_input(moment: str, scan: Scan, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    scan.set("PtychoPINNModel", VisibleDevices="1")
    scan.reconstructor.load_model_from_file(archive)
    environments = []

    def wait_and_kill(pid: int) -> None:
        while moment != "before" and runs(pid) and not has_mapped_the_payload(pid):
            time.sleep(0.001)
        if moment == "after":
            time.sleep(1.0)
        environments.append(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
        kill(pid)

    once(lambda: True, wait_and_kill)
    started = time.monotonic()
    with pytest.raises(ChildDiedError, match=r"signal SIGKILL"):
        scan.reconstruct()
    assert time.monotonic() - started < 60
    assert b"CUDA_VISIBLE_DEVICES=7" in environments[0]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,7"
    if moment == "before":
        scan.reconstruct()


# More than the framework takes, less than the first layers do: no time goes into layers that fit.
@pytest.mark.parametrize(("backend", "limit"), [("pytorch", 4 * GIB), ("tensorflow", 6 * GIB)])
def test_too_little_memory_for_the_child(backend: str, limit: int, host: ModelCore, tmp_path: Path) -> None:
    scan = Scan(host, tmp_path, N=512, step_px=14.0, obj=analytic_object(600, 600))
    scan.set("PtychoPINNModel", Backend=backend, NumFiltersScale=4)
    scan.set("PtychoPINNTraining", BatchSize=32)
    once(lambda: True, lambda pid: resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit)))
    # What an allocator does without memory is its own affair: some raise, some end the process.
    with pytest.raises((InsufficientMemoryError, ChildDiedError), match=r"[Mm]emory.*Lower") as caught:
        scan.train(tmp_path)
    assert len(str(caught.value).splitlines()) == 1


def test_a_full_disk(scan: Scan, small_disk: DiskMaker) -> None:
    disk = small_disk(100 * 2**10)
    with pytest.raises(OutputError, match=r"No space left on device.* Free space"):
        scan.train(disk)


def test_a_folder_that_may_not_be_written(scan: Scan, small_disk: DiskMaker) -> None:
    disk = small_disk(100 * 2**10)
    make_read_only(disk)
    with pytest.raises(OutputError, match=r"Read-only file system\. Free space, or choose a folder you may write to"):
        scan.train(disk)


def test_a_loss_that_is_not_finite(scan: Scan, tmp_path: Path) -> None:
    scan.set("PtychoPINNTraining", LearningRate=1e18, NumEpochs=6)
    with pytest.raises(TrainingError, match=r"finite.* Lower learning_rate"):
        scan.train(tmp_path)


def test_stop_does_not_wait_for_the_end_of_an_epoch(scan: Scan, tmp_path: Path) -> None:
    # Reading and grouping alone take longer than this.
    once(lambda: True, lambda pid: scan.reconstructor.stop())
    started = time.monotonic()
    scan.train(tmp_path)
    assert time.monotonic() - started < 10
    assert not scan.reconstructor.is_model_loaded()


def test_child_ends_when_the_host_is_killed(tmp_path: Path, run_python) -> None:
    done = run_python(
        f"""
import multiprocessing, os, signal, threading, time
from pathlib import Path
from ptychodus.model import ModelCore
from tests.ptychodus.test_faults import Scan, kill, once

def main():
    with ModelCore() as host:
        host.processing_core.algorithm_parameter.set_value("ptychopinn_pinn")
        folder = Path({str(tmp_path)!r})
        def report_and_die(pid):
            print(pid, flush=True)
            kill(os.getpid())
        once((folder / "checkpoints" / "best.zip").is_file, report_and_die)
        Scan(host, folder).train(folder)

if __name__ == "__main__":
    main()
"""
    )
    assert done.returncode == -signal.SIGKILL
    child = int(done.stdout.split()[-1])
    ends = time.monotonic() + 30
    while runs(child) and time.monotonic() < ends:
        time.sleep(0.2)
    assert not runs(child)
