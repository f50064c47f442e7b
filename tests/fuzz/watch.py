"""Opens a file under watch: how long, how much memory, which files are written, what is run."""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DAILY_INPUTS = 200
INPUTS = int(os.environ.get("FUZZ_INPUTS", DAILY_INPUTS))
"""Inputs of every format; `FUZZ_INPUTS=20000 python -m pytest tests/fuzz` is the nightly run."""
SLOWEST_S = 5.0
ENDED_AFTER_S = 60
MEMORY_GIB = 1.0
ADDRESSES_GIB = 8.0
LONGEST_MESSAGE = 1000
_RUNS_CODE = (
    *("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "subprocess.Popen"),
    *("socket.connect", "urllib.Request"),
)
_CHANGES_FILES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod")

_watching = False
_events: list[tuple[str, tuple[Any, ...]]] = []


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    if event == "open":
        path, _, flags = arguments
        if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and path != os.devnull:
            _events.append((event, (path,)))
    elif event in _RUNS_CODE or event in _CHANGES_FILES:
        _events.append((event, arguments))


sys.addaudithook(_note)


@contextmanager
def watched(folder: Path | None = None) -> Iterator[None]:
    """Fail when code of a file is run, a process started, a socket opened, or a file changed outside of `folder`."""
    global _watching
    _events.clear()
    _watching = True
    try:
        yield
    finally:
        _watching = False
    offences = [
        f"{event} {arguments}"[:200]
        for event, arguments in _events
        if event in _RUNS_CODE or folder is None or not Path(str(arguments[0])).is_relative_to(folder)
    ]
    assert offences == [], offences


@dataclass
class Watch:
    """Reads files of one format, and keeps count."""

    opened: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    most_memory_gib: float = 0.0

    def reads(
        self,
        read: Callable[[Path], object],
        path: Path,
        data: bytes,
        refusals: type[Exception],
        *,
        writes: bool = False,
    ) -> bool:
        """Return whether `data` opened; errors of `refusals` are fine when they say what to do, all else propagates."""
        path.write_bytes(data)
        before = {file.name for file in path.parent.iterdir()}
        try:
            with self._measured(), watched(path.parent if writes else None):
                read(path)
        except refusals as error:
            message = str(error)
        else:
            message = ""
        assert {file.name for file in path.parent.iterdir()} == before, "files came or went"
        assert message.endswith((".", "?")) or not message, f"no sentence: {message}"
        assert len(message) <= LONGEST_MESSAGE, f"a dump of {len(message)} characters: {message}"
        self.opened += not message
        self.refused += bool(message)
        return not message

    @contextmanager
    def _measured(self) -> Iterator[None]:
        """Fail when what is inside takes too long or too much memory."""
        # A loop in C lets no Python run that could end it; the signal for too much computing does without.
        _limit(resource.RLIMIT_CPU, int(time.process_time()) + ENDED_AFTER_S)
        Path("/proc/self/clear_refs").write_text("5")
        memory = _resident_kib("VmRSS")
        started = time.perf_counter()
        try:
            with warnings.catch_warnings():
                # What was skipped or is outdated is said by a warning of these classes; any other is a defect.
                for category in (UserWarning, DeprecationWarning):
                    warnings.simplefilter("ignore", category)
                yield
        finally:
            seconds, grown_gib = time.perf_counter() - started, (_resident_kib("VmHWM") - memory) / 2**20
            self.slowest_s = max(self.slowest_s, seconds)
            self.most_memory_gib = max(self.most_memory_gib, grown_gib)
            assert grown_gib < MEMORY_GIB, f"grew by {grown_gib} GiB"
            assert seconds < SLOWEST_S, f"took {seconds} s"


def _resident_kib(name: str) -> int:
    """Return the resident memory of this process: 'VmRSS' now, 'VmHWM' at most since the mark was cleared."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


@contextmanager
def limited_process() -> Iterator[None]:
    """Let memory and time run out in this process before they run out in the machine."""
    before = {kind: resource.getrlimit(kind) for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU)}
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _limit(resource.RLIMIT_AS, used + int(ADDRESSES_GIB * 2**30))
    faulthandler.register(signal.SIGXCPU, chain=True)
    try:
        yield
    finally:
        for kind, limits in before.items():
            resource.setrlimit(kind, limits)
        faulthandler.unregister(signal.SIGXCPU)


def _limit(kind: int, value: int) -> None:
    resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))
