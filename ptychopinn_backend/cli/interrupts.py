"""A request to end, from the keyboard or from the system: what is said of it, and with which code the command ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from ptychopinn_backend.errors import TerminationRequest

INTERRUPTED: Final = 130
TERMINATED: Final = 143
"""128 and the number of the signal, as a shell has it."""


@contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """Turn the system's request to terminate into an exception, so that a command ends as after Ctrl-C.

    Yields:
        Nothing; a handler that somebody else has set stays.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        # A second request must not break off what the first one began.
        signal.signal(number, signal.SIG_IGN)
        raise TerminationRequest

    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def requests_to_end() -> Iterator[Callable[[], bool]]:
    """Take the first Ctrl-C, or the first request of the system to terminate, as a wish to end in order.

    A second one breaks off, as without this.

    Yields:
        A function that says whether there was one.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()
        for other, handler in before.items():
            signal.signal(other, handler)

    for number in before:
        signal.signal(number, ask)
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ending_of(interrupt: BaseException) -> tuple[str, int]:
    """Return what is said of an interrupt, and the exit code.

    Args:
        interrupt: a `KeyboardInterrupt`, or what click made of one.

    Returns:
        Sentence and code.
    """
    cause = interrupt if isinstance(interrupt, KeyboardInterrupt) else interrupt.__cause__
    terminated = isinstance(cause, TerminationRequest)
    word = "Terminated." if terminated else "Interrupted."
    # One of several processes says it with the word already.
    details = str(cause or "").removeprefix(word).strip()
    return f"{word} {details}".strip(), TERMINATED if terminated else INTERRUPTED
