"""Ten readers of one archive, and of one neighbour cache, while another process replaces it again and again."""

from __future__ import annotations

import signal
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from . import victims
from .fork_server import ForkServer

READERS = 10


@pytest.mark.parametrize(
    ("writer", "check", "name"),
    [
        ("save_archives", victims.check_archive, "wts.h5.zip"),
        ("keep_neighbours", victims.check_neighbours, "scan.g2k4.groups_cache.npz"),
    ],
)
def test_readers_see_whole_files(writer: str, check: Callable[[Path], None], name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    with ForkServer([victims.__name__], tmp_path / "log") as server, ThreadPoolExecutor(READERS + 1) as pool:
        writing = pool.submit(server.run, f"{victims.__name__}:{writer}", str(path), kill_after_s=1.5)
        counts = [pool.submit(read_while, writing, check, path) for _ in range(READERS)]
        assert writing.result() == -signal.SIGKILL
        assert min(count.result() for count in counts) > 0


def read_while(writing: Future[int], check: Callable[[Path], None], path: Path) -> int:
    """Read until the writer ends, and return how often the file was there."""
    found = 0
    while not writing.done():
        found += path.exists()
        check(path)
    return found
