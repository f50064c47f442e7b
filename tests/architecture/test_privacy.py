"""Training and reconstructing talk to nobody, and tell nothing about the user's machine."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRIVATE = "a-private"
"""Begins the names of user, machine and folder, which nothing may mention."""
WATCH = f"""
import platform, socket, sys, threading
socket.gethostname = platform.node = lambda: "{PRIVATE}-machine"
attempts = []
def note(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "urllib.Request"):
        attempts.append((event, arguments[0]))
    elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        attempts.append((event, arguments[1]))
sys.addaudithook(note)
"""
REPORT = """
for thread in threading.enumerate():
    if thread is not threading.current_thread():
        thread.join(timeout=5)
assert not attempts, attempts
"""
WORK = """
from ptychopinn_backend.cli import main
def run(*words):
    assert main(["-vv", *words]) == 0, words
run("simulate", "-o", "scan.npz", "--size", "32", "--patterns", "40")
for logger in ("csv", "tensorboard", "mlflow"):
    run("train", "scan.npz", "-o", logger, "--backend", {backend!r}, "--preset", "legacy", "--filters-scale", "1",
        "--epochs", "1", "--accelerator", "cpu", "--set", f"logger_backend={{logger}}")
run("infer", "csv", "scan.npz", "-o", "result")
run("inspect", "csv")
"""
KEEP_THEIR_PLACE = ("meta.yaml", "*.ckpt")
"""MLflow's store and Lightning's checkpoints hold the path of their own folder; docs/supply_chain.md says so."""


def run_watched(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    # Names of automatic test runs switch off the reports that this test looks for.
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTEST_CURRENT_TEST")}
    environment |= {"PYTHONPATH": str(ROOT), "HOME": str(folder), "LOGNAME": f"{PRIVATE}-user"}
    command = [sys.executable, "-c", WATCH + program + REPORT]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "attempt",
    [
        "import socket\nsocket.socket().connect_ex(('127.0.0.1', 9))",
        "from urllib.request import urlopen\ntry: urlopen('http://nowhere.invalid')\nexcept OSError: pass",
        "import threading\nimport socket\n"
        "threading.Thread(target=lambda: socket.socket().connect_ex(('127.0.0.1', 9))).start()",
    ],
)
def test_the_watch_notices(tmp_path: Path, attempt: str) -> None:
    done = run_watched(f"{attempt}\n", tmp_path)
    assert done.returncode != 0
    assert "AssertionError: [('" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["pytorch", "tensorflow"])
def test_a_run_opens_no_connection_and_names_no_place_of_the_user(tmp_path: Path, backend: str) -> None:
    folder = tmp_path / f"{PRIVATE}-folder"
    folder.mkdir()
    done = run_watched(WORK.format(backend=backend), folder)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "scan.npz" in done.stderr + done.stdout
    assert PRIVATE not in done.stderr + done.stdout
    files = [file for file in folder.rglob("*") if file.is_file() and not any(map(file.match, KEEP_THEIR_PLACE))]
    assert len(files) > 10
    for file in files:
        assert PRIVATE not in str(file.relative_to(folder))
        assert PRIVATE.encode() not in contents(file), f"{file} names something private"


def contents(file: Path) -> bytes:
    """Return the bytes of a file, of a zip those of its members."""
    if not zipfile.is_zipfile(file):
        return file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        return b"".join(map(archive.read, archive.namelist()))
