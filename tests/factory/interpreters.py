"""Fresh interpreters: with everything, or in an environment from which some packages are missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

BUILD = """
import json, sys
from dataclasses import replace
from tests.contract.builders import INTENSITY_SCALE, source_for, split_options
from ptychopinn_backend.factory import create_backend, installed_backends, resolve_backend
from ptychopinn_backend.seam.interface import BackendSetup

def build(name):
    model, training, execution = split_options({})
    return create_backend(name, BackendSetup(model, training, execution, INTENSITY_SCALE, source_for({}).probes))

def loaded(*packages):
    return [package for package in packages if package in sys.modules]
"""
"""`build(name)` makes a small backend, `loaded(...)` tells which packages were imported."""


def environment_without(folder: Path, *prefixes: str) -> list[str]:
    """Return import paths of an environment like this one, from which packages are missing.

    Args:
        folder: an empty folder, which gets links to everything else that is installed.
        prefixes: how the names of the missing packages (and of their metadata) begin.
    """
    for name in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for installed in Path(name).iterdir():
            if not installed.name.startswith(prefixes) and not (folder / installed.name).exists():
                (folder / installed.name).symlink_to(installed)
    return [str(ROOT), str(folder)]


def run(code: str, paths: list[str] | None = None) -> Any:
    """Run a program that prints JSON as its last line, and return that.

    Args:
        code: the program; `BUILD` comes before it.
        paths: the only import paths besides the standard library; None takes this environment.
    """
    arguments = [sys.executable]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if paths is not None:
        arguments += ["-S"]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
    result = subprocess.run(
        [*arguments, "-c", BUILD + code], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])
