"""A small scan, a small and a read-only disk, and the command line in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan

ENTRY_POINT = "import sys; from ptychopinn_backend.cli import main; sys.exit(main())"
DiskMaker = Callable[[int], Path]


@pytest.fixture(scope="session")
def scan_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 patterns of 32 x 32 pixels."""
    path = tmp_path_factory.mktemp("scan") / "scan.npz"
    simulate_scan(SimulationConfig(size=32, patterns=24, photons=1e4), seed=1).to_file(path)
    return path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[DiskMaker]:
    """Mounts a file system of so many bytes; skips where this user may not mount."""
    with ExitStack() as mounted:

        def mount(size: int) -> Path:
            place = tmp_path / f"disk{size}"
            place.mkdir()
            done = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], capture_output=True, check=False
            )
            if done.returncode != 0:
                pytest.skip(f"a small disk cannot be mounted here: {done.stderr.decode().strip()}")
            mounted.callback(subprocess.run, ["umount", "-l", str(place)], check=False)
            return place

        yield mount


def make_read_only(disk: Path) -> None:
    """Forbid writing on a mounted disk; permissions alone do not stop a superuser."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True, capture_output=True)


class CommandLine:
    """One run of `ptychopinn` in a process group of its own."""

    def __init__(self, *arguments: str | Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", ENTRY_POINT, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            # As a user starts it: the test suite sets this variable for its own sake.
            env={name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"},
            cwd=Path(__file__).parents[2],
        )
        self.pid = self._process.pid

    def finish(self, seconds: float = 120) -> tuple[int, list[str]]:
        """Return exit code and lines on standard error, after making sure that no process is left."""
        try:
            _, error = self._process.communicate(timeout=seconds)
            assert not self._is_group_alive(), "the command left a process behind"
        finally:
            if self._is_group_alive():
                os.killpg(self.pid, signal.SIGKILL)
        return self._process.returncode, error.splitlines()

    def _is_group_alive(self) -> bool:
        for _ in range(50):
            try:
                os.killpg(self.pid, 0)
            except ProcessLookupError:
                return False
            time.sleep(0.1)
        return True
