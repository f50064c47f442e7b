"""A child is killed before, while and after it reads its input, its parent is killed, it leaves others behind.

`FAULT_KILLS=200 python -m pytest tests/faults` is the nightly run.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.errors import ChildDiedError, ChildFailedError, OutputError
from ptychopinn_backend.seam.child_process import ChildProcess, Parcel, ParentLink
from tests.faults import children
from tests.faults.conftest import DiskMaker

KILLS = int(os.environ.get("FAULT_KILLS", "20"))
LONG_S = 45.0
"""Far more than it takes to start a child and to notice its death, on a busy machine too; less than children live."""
PROJECT_ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def patterns() -> np.ndarray:
    """More than any pipe holds: 60 MB."""
    return np.arange(15_000_000, dtype=np.uint32).reshape(-1, 100, 100)


@contextmanager
def child_that(work: Callable[[ParentLink], None], grace_s: float = 1.0) -> Iterator[ChildProcess]:
    child = ChildProcess(work)
    try:
        yield child
    finally:
        child.end(grace_s)
        assert child.exit_code is not None


@contextmanager
def at_once() -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < LONG_S


def runs(pid: int) -> bool:
    """Whether a process is there and is not only waiting for its parent to notice its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def ends(pid: int) -> bool:
    until = time.monotonic() + LONG_S
    while runs(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not runs(pid)


def pid_of(child: ChildProcess) -> int:
    pid = child._process.pid
    assert pid is not None
    return pid


def give_and_listen(child: ChildProcess, content: object) -> None:
    """Hand something over, then wait for as long as the child is there."""
    child.give(content)
    while True:
        assert child.receive() == "taken"


def test_arrays_arrive_as_they_are_and_stay_this_process_own(patterns: np.ndarray) -> None:
    before = patterns[0].copy()
    with child_that(children.add_up) as child:
        assert child.give({"patterns": patterns})
        assert list(child.messages()) == [(int(patterns.sum(dtype=np.int64)), False)]
    assert np.array_equal(patterns[0], before)


def test_one_parcel_for_several_children(patterns: np.ndarray) -> None:
    with (
        Parcel({"patterns": patterns}) as parcel,
        child_that(children.add_up) as one,
        child_that(children.add_up) as two,
    ):
        assert one.give(parcel)
        assert two.give(parcel)
        assert list(one.messages()) == list(two.messages())


def test_messages_go_both_ways() -> None:
    with child_that(children.answer) as child:
        for message in ("a", 2, [3.0]):
            child.send(message)
            assert child.receive() == message
        child.send("enough")
        assert child.receive() is None


def test_killed_before_it_reads(patterns: np.ndarray) -> None:
    for _ in range(max(1, KILLS // 4)):
        with child_that(children.take_and_wait) as child, at_once():
            os.kill(pid_of(child), signal.SIGKILL)
            with pytest.raises(ChildDiedError, match="signal SIGKILL"):
                give_and_listen(child, patterns)


@pytest.mark.parametrize("when", ["while", "after"])
def test_killed_while_and_after_it_reads(when: str, patterns: np.ndarray) -> None:
    for _ in range(max(1, KILLS // 8)):
        with child_that(children.die_after_reading) as child, at_once():
            child.give([patterns, children.KillsItsReader() if when == "while" else None])
            with pytest.raises(ChildDiedError, match="signal SIGKILL"):
                child.receive()


def test_killed_at_any_moment(patterns: np.ndarray) -> None:
    rng = np.random.default_rng(KILLS)
    for _ in range(KILLS // 2):
        with child_that(children.take_and_wait) as child, at_once():
            timer = threading.Timer(float(rng.uniform(0.0, 1.0)), os.kill, (pid_of(child), signal.SIGKILL))
            timer.start()
            with pytest.raises(ChildDiedError, match="signal SIGKILL"):
                give_and_listen(child, patterns)
            timer.join()


def test_no_memory_while_it_reads(patterns: np.ndarray) -> None:
    with child_that(children.add_up) as child, at_once():
        child.give([patterns, children.NeedsTooMuch()])
        with pytest.raises(MemoryError, match="no room for the patterns"):
            child.receive()


def test_a_process_it_left_hides_no_death_and_ends_too() -> None:
    with child_that(children.fork_and_die) as child, at_once():
        sleeper = child.receive()
        with pytest.raises(ChildDiedError, match="signal SIGKILL"):
            child.receive()
        assert runs(sleeper)
    assert ends(sleeper)


def test_all_it_started_ends_with_it() -> None:
    with child_that(children.start_another) as child:
        own, started = child.receive()
        assert runs(own)
        assert runs(started)
    assert ends(own)
    assert ends(started)


def test_one_that_is_deaf_is_killed() -> None:
    with at_once(), child_that(children.ignore_requests) as child:
        assert child.receive() == "deaf"
    assert child.exit_code == -signal.SIGKILL


def test_stop_ends_waiting_and_giving(patterns: np.ndarray) -> None:
    stop = threading.Event()
    with child_that(children.take_and_wait) as child, at_once():
        threading.Timer(0.3, stop.set).start()
        assert child.receive(stop) is None
        assert not child.give(patterns, stop)


def test_child_and_all_it_started_end_with_their_parent() -> None:
    program = """
import time
from ptychopinn_backend.seam.child_process import ChildProcess
from tests.faults import children
if __name__ == "__main__":
    print(*ChildProcess(children.start_another).receive(), flush=True)
    time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=PROJECT_ROOT
    ) as parent:
        assert parent.stdout is not None
        own, started = map(int, parent.stdout.readline().split())
        parent.kill()
        with at_once():
            assert ends(own)
            assert ends(started)


def test_sending_in_a_signal_handler_neither_blocks_nor_mixes() -> None:
    with child_that(children.send_from_a_handler) as child:
        found = list(child.messages())
    for who in ("main", "handler"):
        # A handler may be interrupted by its next call before it sends.
        numbers = sorted(number for sender, number, _ in found if sender == who)
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= 50
    assert found[-1][0] == "end"


def test_an_error_of_a_class_nobody_knows() -> None:
    with (
        child_that(children.fail) as child,
        pytest.raises(ChildFailedError, match=r"failed with LocalError: nobody knows this class\. .* Report") as caught,
    ):
        child.receive()
    assert "children.py" in "".join(caught.value.__notes__)


def test_no_room_for_what_is_handed_over(
    patterns: np.ndarray, small_disk: DiskMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = small_disk(2**20)
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    words = rf"No space left on device in .*'{disk}'\. Free space there.* TMPDIR"
    with child_that(children.add_up) as child, pytest.raises(OutputError, match=words):
        child.give(patterns)
    assert list(disk.iterdir()) == []
