"""A small scan, a small and a read-only disk, and the command line in processes of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan

from .fork_server import ForkServer

DiskMaker = Callable[[int], Path]


@pytest.fixture(scope="session")
def scan_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 patterns of 32 x 32 pixels."""
    path = tmp_path_factory.mktemp("scan") / "scan.npz"
    simulate_scan(SimulationConfig(size=32, patterns=24, photons=1e4), seed=1).to_file(path)
    return path


@pytest.fixture(scope="session", params=["pytorch", "tensorflow"])
def backend_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackendServer]:
    """Runs the command line with one backend, whose framework is loaded once."""
    package = {"pytorch": "torch_backend", "tensorflow": "tf_backend"}[request.param]
    modules = ["ptychopinn_backend.cli.train", f"ptychopinn_backend.{package}.backend"]
    with ForkServer(modules, tmp_path_factory.mktemp("server") / "log") as server:
        yield BackendServer(request.param, server)


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


class BackendServer:
    """A fork server for `ptychopinn` and one backend."""

    def __init__(self, backend: str, server: ForkServer) -> None:
        self.backend = backend
        self._server = server

    def run(self, function: str, *arguments: Any) -> int:
        """Run 'module:function' with the backend's name and further arguments; return the exit code."""
        return self._server.run(function, self.backend, *arguments)

    def train(
        self,
        scan: Path,
        output: Path,
        *more: str,
        meanwhile: Callable[[int], None] | None = None,
        memory_mib: int | None = None,
    ) -> tuple[int, list[str]]:
        """Train the smallest network; return exit code and lines on standard error."""
        words = [str(word) for word in training(self.backend, scan, output, *more)]
        return self.command(words, meanwhile=meanwhile, memory_mib=memory_mib)

    def command(
        self, words: list[str], *, meanwhile: Callable[[int], None] | None = None, memory_mib: int | None = None
    ) -> tuple[int, list[str]]:
        """Run a command of `ptychopinn`; return exit code and lines on standard error."""
        code = self._server.run("tests.faults.victims:command_line", words, memory_mib, meanwhile=meanwhile)
        return code, self._server.said().splitlines()


def training(backend: str, scan: Path, output: Path, *more: str) -> list[str | Path]:
    """Return the words of a command that trains the smallest network."""
    options = ["--preset", "legacy", "--filters-scale", "1", "--accelerator", "cpu", "--quiet"]
    return ["train", scan, "-o", output, "--backend", backend, *options, *more]


def make_read_only(disk: Path) -> None:
    """Forbid writing on a mounted disk; permissions alone do not stop a superuser."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True, capture_output=True)
