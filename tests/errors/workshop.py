"""A folder with good files, of which every case of bad input spoils one, and how a case is run there."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.cli import main
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.errors import PtychoPINNError

ROOT = Path(__file__).parents[2]
TRAIN = ("train", "scan.npz", "-o", "out", "--quiet", "--backend", "pytorch", "--accelerator", "cpu")
SMALL = ("--preset", "legacy", "--filters-scale", "1", "--epochs", "1")
PYTHONPATH = {"PYTHONPATH": str(ROOT)}
_BLOCKED = "import sys; sys.modules[sys.argv.pop(1)] = None; from ptychopinn_backend.cli import main; sys.exit(main())"


@dataclass(frozen=True)
class Case:
    """One way to give bad input."""

    situation: str
    """For the table."""
    words: tuple[str, ...] = ()
    """Command line, run in a folder with scan.npz, model/ and result/."""
    expected: str = ""
    """Pattern of the message."""
    spoil: Callable[[], object] | None = None
    """Makes the bad input in the current folder."""
    call: Callable[[], object] | None = None
    """Called instead of the command line."""
    exit_code: int = 2
    environment: str | None = None
    """NAME=VALUE set for the run."""
    blocked: str | None = None
    """Package that the run finds missing."""
    has_foreign_words: bool = False
    """What stands in brackets comes from a library and differs between its versions."""
    has_computed_numbers: bool = False
    """Its decimal fractions come from a trained network, or its epochs from a clock, and differ between machines."""
    where: str = "in the window"
    """Of a call: where its message is seen."""


@dataclass(frozen=True)
class Outcome:
    """What the command line said."""

    exit_code: int
    problem: str
    """What is wrong: all sentences but the last."""
    remedy: str
    """The last sentence; of a command used wrongly, how to get help."""

    @property
    def message(self) -> str:
        """Problem and remedy."""
        return f"{self.problem} {self.remedy}"


def prepare(folder: Path) -> None:
    """Write a scan, a trained model and a reconstruction.

    Args:
        folder: an empty folder.
    """
    scan = str(folder / "scan.npz")
    simulate_scan(SimulationConfig(size=32, patterns=24, photons=1e4), seed=1).to_file(scan)
    small = ["--quiet", "--backend", "pytorch", "--accelerator", "cpu", *SMALL]
    assert main(["train", scan, "-o", str(folder / "model"), *small]) == 0
    assert main(["infer", str(folder / "model"), scan, "-o", str(folder / "result"), "--quiet"]) == 0


def run(case: Case, good: Path, folder: Path) -> Outcome:
    """Run a case in a copy of the good folder.

    Args:
        case: what to do.
        good: from `prepare`.
        folder: to make; becomes the current folder meanwhile.

    Returns:
        Exit code and the last line on standard error; of a run that succeeds, its last warning.
    """
    heavy = () if "--resume" in case.words else ("checkpoints",)
    shutil.copytree(good, folder, ignore=shutil.ignore_patterns(*heavy))
    before = Path.cwd()
    os.chdir(folder)
    try:
        if case.spoil is not None:
            case.spoil()
        return _run_without(case.blocked, case.words) if case.blocked else _run(case)
    finally:
        os.chdir(before)


def _run(case: Case) -> Outcome:
    name, _, value = (case.environment or "").partition("=")
    quiet, patched = redirect_stderr(io.StringIO()), pytest.MonkeyPatch.context()
    with quiet as said, patched as patch, warnings.catch_warnings():
        warnings.simplefilter("default")
        if name:
            patch.setenv(name, value)
        code = main(case.words) if case.call is None else _called(case.call)
    return _outcome(code, said.getvalue())


def _called(call: Callable[[], object]) -> int:
    try:
        call()
    except PtychoPINNError as error:
        print(error, file=sys.stderr)  # noqa: T201 - read by the caller, as the words of a command are
        return 2
    return 0


def _run_without(package: str, words: tuple[str, ...]) -> Outcome:
    start = [sys.executable, "-c", _BLOCKED, package]
    done = subprocess.run([*start, *words], capture_output=True, text=True, check=False, env=os.environ | PYTHONPATH)
    return _outcome(done.returncode, done.stderr)


def _outcome(code: int, said: str) -> Outcome:
    assert "Traceback" not in said, said
    warned = code == 0
    lines = [line for line in said.splitlines() if line.startswith(("Usage:", "Warning:")) == warned]
    message = lines[-1].removeprefix("Error: ").removeprefix("Warning: ") if lines else ""
    *problem, remedy = re.split(r"(?<=[.?!])\s+(?=[A-Z'<])", message)
    if lines and lines[0].startswith("Try "):
        problem, remedy = [message], lines[0]
    return Outcome(code, " ".join(problem), remedy)


def scan_with(**changes: Any) -> Callable[[], None]:
    """Return a spoiler that rewrites scan.npz with other arrays; None leaves one out.

    Args:
        **changes: array name -> array, function of the old array, or None.

    Returns:
        The spoiler.
    """

    def spoil() -> None:
        with np.load("scan.npz") as archive:
            arrays = {name: archive[name] for name in archive.files}
        for name, change in changes.items():
            old = arrays.pop(name, None)
            if change is not None:
                arrays[name] = np.asarray(change(old) if callable(change) else change)
        np.savez("scan.npz", **arrays)  # type: ignore[arg-type]

    return spoil


def text(name: str, content: str) -> Callable[[], object]:
    """Return a spoiler that writes a text file.

    Args:
        name: of the file.
        content: of the file.

    Returns:
        The spoiler.
    """
    return lambda: Path(name).write_text(content, encoding="utf-8")


def cut(name: str, size: int) -> Callable[[], object]:
    """Return a spoiler that keeps only the beginning of a file.

    Args:
        name: of the file.
        size: bytes to keep.

    Returns:
        The spoiler.
    """
    return lambda: Path(name).write_bytes(Path(name).read_bytes()[:size])
