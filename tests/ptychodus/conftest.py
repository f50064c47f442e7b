"""A settings registry with our library in it, and small programs run in interpreters of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.pop("PTYCHOPINN_BACKEND", None)

PROJECT_ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def library() -> object:
    """The library as Ptychodus builds it, with settings of its own."""
    from ptychodus.api.settings import SettingsRegistry

    from ptychodus_plugin.library import PtychoPINNLibrary

    registry = SettingsRegistry()
    library = PtychoPINNLibrary(registry, False)
    library.registry = registry  # type: ignore[attr-defined]
    return library


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a program in a fresh interpreter; the project is importable there."""

    def run(
        program: str, *arguments: str, timeout: float = 120, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        script = tmp_path / "program.py"
        script.write_text(program)
        paths = os.pathsep.join(filter(None, [str(PROJECT_ROOT), os.environ.get("PYTHONPATH", "")]))
        return subprocess.run(
            [sys.executable, str(script), *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": paths, **environment},
            check=False,
        )

    return run
