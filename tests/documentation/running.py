"""Runs the blocks of a page as a reader would, in one process and with tiny trainings.

What is written runs as written, except for its size: a simulated scan has few patterns, a training one epoch. Commands
that change the machine (pip, make) are checked instead: the extras and the targets must exist.
"""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path
from typing import Any, Final

import pytest

from ptychopinn_backend.cli import main
from ptychopinn_backend.config import presets
from ptychopinn_backend.config.yaml_file import run_config
from ptychopinn_backend.legacy.option_files import read_option_file
from ptychopinn_backend.runs.simulation_plan import read_plan

from .blocks import ROOT, SHOWN, Block

SHORTENED: Final = {
    "simulate": ("--patterns", "16"),
    "train": ("--epochs", "1"),
    "demo": ("--patterns", "160", "--epochs", "1"),
    "parity-report": ("--training-groups", "8", "--test-groups", "8", "--epochs", "1"),
}
"""Options given after those of the page, so that they win."""
PLAIN_COMMANDS: Final = ("ls", "cat", "cp", "mkdir", "rm", "mv", "head", "unzip")


def prepare(folder: Path) -> None:
    """Write the files every page may use: scan.npz, other.npz and model/.

    Args:
        folder: an empty folder.
    """
    for seed, name in enumerate(("scan.npz", "other.npz")):
        assert main(["simulate", "-o", str(folder / name), "--patterns", "16", "--seed", str(seed)]) == 0
    words = ["-o", str(folder / "model"), "--backend", "pytorch", "--epochs", "1", "--quiet"]
    assert main(["train", str(folder / "scan.npz"), *words]) == 0


def shorten_presets(patch: pytest.MonkeyPatch) -> None:
    """Let every preset train for one epoch.

    Args:
        patch: undoes it.
    """
    short = {name: {**options, "nepochs": 1, "lr_warmup_epochs": 0} for name, options in presets.PRESETS.items()}
    patch.setattr(presets, "PRESETS", short)
    patch.setattr(presets, "AUTO_VISITS", 1)


def run_block(block: Block, namespace: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    """Run a block in the current folder.

    Args:
        block: what to run.
        namespace: names that the Python blocks of the page share.
        patch: undoes changes of the environment.
    """
    if block.skipped is not None or (block.language in SHOWN and block.file is None):
        return
    if block.file is not None:
        _write(block)
    elif block.language == "python":
        # As many empty lines as stand before the block, so that a traceback names the line of the page.
        code = compile("\n" * (block.line - 1) + block.text, block.page, "exec")
        exec(code, namespace)
    elif block.language == "bash":
        for command in commands_of(block.text):
            _run_command(command, block, patch)
    else:
        raise AssertionError(f"{block.place}: a block of '{block.language}' is neither python, bash, text nor a file")


def commands_of(text: str) -> list[list[str]]:
    """Return the words of every command of a shell block, without comments.

    Args:
        text: the block.

    Returns:
        One list of words for each command.
    """
    lines = text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def _write(block: Block) -> None:
    assert block.file is not None
    path = Path(block.file)
    assert not path.is_absolute()
    assert ".." not in path.parts
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text, encoding="utf-8")
    if path.suffix == ".yaml" and re.search(r"^scans:", block.text, flags=re.MULTILINE):
        read_plan(block.file, {})
    elif path.suffix == ".yaml":
        run_config(read_option_file(path).options)


def _run_command(words: list[str], block: Block, patch: pytest.MonkeyPatch) -> None:
    if words[0] == "export":
        words = words[1:]
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        name, _, value = words.pop(0).partition("=")
        patch.setenv(name, value)
    if not words:
        return
    program, *arguments = words
    if program == "ptychopinn":
        command = next((word for word in arguments if word in SHORTENED), "")
        asked = {"-h", "--help"} & set(arguments)
        with warnings.catch_warnings():
            # A page that resumes means a training with epochs left; the shortened one has none.
            warnings.filterwarnings("ignore", "The checkpoint in .* nothing was trained")
            code = main(arguments if asked else [*arguments, *SHORTENED.get(command, ())])
        assert code == 0, f"{block.place}: '{shlex.join(words)}' ends with exit code {code}"
    elif program == "python" and arguments[0].endswith(".py"):
        patch.setattr(sys, "argv", arguments)
        runpy.run_path(arguments[0], run_name="__main__")
    elif program == "make":
        done = subprocess.run(["make", "--dry-run", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{block.place}: {done.stderr}"
    elif program == "pip":
        _check_extras(arguments, block)
    elif program in PLAIN_COMMANDS:
        subprocess.run(words, check=True, capture_output=True, env=os.environ)
    else:
        raise AssertionError(f"{block.place}: '{program}' is not run by the tests; say why: <!-- test: skip, ... -->")


def _check_extras(arguments: list[str], block: Block) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for asked in re.findall(r"ptychopinn-backend\[([\w,]+)\]", " ".join(arguments)):
        assert set(asked.split(",")) <= set(extras), f"{block.place}: no extra '{asked}' in pyproject.toml"
