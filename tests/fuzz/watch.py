"""Opens a file under watch: how long, how much memory, which files are written, what is run."""

import os
import resource
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

INPUTS = int(os.environ.get("FUZZ_INPUTS", "500"))
"""Inputs of every format; `FUZZ_INPUTS=20000 python -m pytest tests/fuzz` is the nightly run."""
SLOWEST_S = 5.0
MEMORY_GIB = 1.0
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


def open_or_refuse(
    read: Callable[[Path], object], path: Path, data: bytes, refusals: type[Exception], *, writes: bool = False
) -> bool:
    """Return whether `data` opened; errors of `refusals` are fine when they say what to do, all else propagates."""
    path.write_bytes(data)
    before = {file.name for file in path.parent.iterdir()}
    started = time.perf_counter()
    try:
        with watched(path.parent if writes else None), warnings.catch_warnings():
            # What was skipped or is outdated is said by a warning of these classes; any other is a defect.
            for category in (UserWarning, DeprecationWarning):
                warnings.simplefilter("ignore", category)
            read(path)
    except refusals as error:
        message = str(error)
    else:
        message = ""
    finally:
        assert time.perf_counter() - started < SLOWEST_S, "slow"
        assert {file.name for file in path.parent.iterdir()} == before, "files came or went"
    assert message.endswith((".", "?")) or not message, f"no sentence: {message}"
    assert len(message) <= LONGEST_MESSAGE, f"a dump of {len(message)} characters: {message}"
    return not message


@contextmanager
def limited_memory() -> Iterator[None]:
    """Fail when the process grows beyond the limit."""
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    grown_gib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib) / 2**20
    assert grown_gib < MEMORY_GIB, f"grew by {grown_gib} GiB"
