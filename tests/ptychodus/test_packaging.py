"""Installing puts the hook where Ptychodus looks, as a wheel and in place; uninstalling leaves no trace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROJECT_ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "ptychopinn_backend", "ptychodus_plugin")
HOOK = Path("ptychopinn_backend_ptychodus.pth")
EARLIER_HOOK = "ptychopinn_backend.py"
"""Of installations from before there was a .pth file."""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a wheel is built from, so that nothing is written into the project."""
    folder = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        source = PROJECT_ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, folder / name)
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A virtual environment with a real copy of Ptychodus and links to everything else; returns its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True, timeout=120)
    (site,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    for entry in Path(np.__file__).parents[1].iterdir():
        if entry.name == "ptychodus":
            shutil.copytree(entry, site / "ptychodus", ignore=shutil.ignore_patterns("__pycache__", EARLIER_HOOK))
        elif "ptychopinn_backend" not in entry.name and entry.name != "__pycache__":
            (site / entry.name).symlink_to(entry)
    return tmp_path / "env" / "bin" / "python"


def run(python: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(python), *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment,
        cwd=python.parent,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def algorithms(python: Path) -> set[str]:
    program = (
        "from ptychodus.model import ModelCore; "
        "print(*ModelCore().processing_core.processing_api.available_reconstructors())"
    )
    return set((run(python, "-c", program).splitlines() or [""])[-1].split())


@pytest.mark.parametrize("editable", [False, True])
def test_install_and_uninstall(editable: bool, sources: Path, environment: Path) -> None:
    (site,) = (environment.parents[1] / "lib").glob("python*/site-packages")
    pip = ("-m", "pip", "--disable-pip-version-check")
    before = {path.relative_to(site) for path in (site / "ptychodus").rglob("*") if "__pycache__" not in path.parts}
    assert "ptychopinn_pinn" not in algorithms(environment)
    what = ("-e", str(sources)) if editable else (str(sources),)
    run(environment, *pip, "install", "--no-deps", "--no-build-isolation", *what)
    assert (site / HOOK).is_file()
    assert not (site / "ptychodus" / "plugins" / EARLIER_HOOK).exists()
    assert {"ptychopinn_pinn", "ptychopinn_supervised"} <= algorithms(environment)
    run(environment, *pip, "uninstall", "--yes", "ptychopinn-backend")
    after = {path.relative_to(site) for path in (site / "ptychodus").rglob("*") if "__pycache__" not in path.parts}
    assert after == before
    assert not list(site.glob("*ptychopinn*"))
    assert "ptychopinn_pinn" not in algorithms(environment)


def test_without_ptychodus_there_is_none(sources: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "env")], check=True, timeout=240)
    python = tmp_path / "env" / "bin" / "python"
    (site,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    build_tools = Path(np.__file__).parents[1]
    for entry in build_tools.iterdir():
        needed = entry.name.partition("-")[0] in {"hatchling", "pathspec", "pluggy", "packaging", "trove_classifiers"}
        if needed and not (site / entry.name).exists():
            (site / entry.name).symlink_to(entry)
    pip = ("-m", "pip", "--disable-pip-version-check")
    run(python, *pip, "install", "--no-deps", "--no-build-isolation", str(sources))
    program = "import importlib.util, ptychodus_plugin; print(importlib.util.find_spec('ptychodus'))"
    assert run(python, "-c", program).strip() == "None"
