"""What the children of `test_child_process.py` do, and what they are given."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np

from ptychopinn_backend.seam.child_process import ParentLink


class KillsItsReader:
    """Ends the process that unpickles it, as a system without memory may."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.kill, (_Own(), signal.SIGKILL)


class _Own:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.getpid, ()


class NeedsTooMuch:
    """Raises MemoryError where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _too_much, ()


def _too_much() -> None:
    raise MemoryError("no room for the patterns")


def add_up(parent: ParentLink) -> None:
    """Answer with the sum of an array, and whether it can be written to."""
    array = parent.take()["patterns"]
    array[0] = array[0]
    parent.put((int(array.sum(dtype=np.int64)), array.flags.owndata))


def answer(parent: ParentLink) -> None:
    """Send back what is sent, until it is 'enough'."""
    while (message := parent.receive()) != "enough":
        parent.put(message)


def take_and_wait(parent: ParentLink) -> None:
    """Take the input and say so, then do nothing for long."""
    parent.take()
    parent.put("taken")
    time.sleep(60)


def die_after_reading(parent: ParentLink) -> None:
    """Take the input, and die."""
    parent.take()
    os.kill(os.getpid(), signal.SIGKILL)


def fork_and_die(parent: ParentLink) -> None:
    """Leave a forked process behind, which has all that this one had open."""
    sleeper = os.fork()
    if sleeper == 0:
        time.sleep(60)
        os._exit(0)
    parent.put(sleeper)
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)


def start_another(parent: ParentLink) -> None:
    """Start a program, tell both numbers, then do nothing for long."""
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    parent.put((os.getpid(), sleeper.pid))
    time.sleep(60)


def ignore_requests(parent: ParentLink) -> None:
    """Live on when asked to end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    parent.put("deaf")
    time.sleep(60)


def send_from_a_handler(parent: ParentLink) -> None:
    """Send from the main thread while a signal handler that interrupts it sends too."""
    interrupts = 0

    def interrupt(*_: object) -> None:
        nonlocal interrupts
        interrupts += 1
        parent.put(("handler", interrupts, b"x" * 100_000))

    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    number = 0
    while interrupts < 50:
        number += 1
        parent.put(("main", number, b"y" * 10_000))
    signal.setitimer(signal.ITIMER_REAL, 0)
    parent.put(("end", number, b""))


def fail(parent: ParentLink) -> None:
    """Raise an error that cannot be pickled."""

    class LocalError(Exception):
        pass

    raise LocalError("nobody knows this class")
