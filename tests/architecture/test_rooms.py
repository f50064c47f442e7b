"""Rooms of the engine: the tree in CONTRIBUTING.md is the tree on disk, and modules keep their earlier names."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from ptychopinn_backend.moved_modules import MOVED

ROOT = Path(__file__).resolve().parents[2]
ENGINE = ROOT / "ptychopinn_backend"


def drawn_names() -> set[str]:
    """Return what the tree of CONTRIBUTING.md draws below `ptychopinn_backend/`."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tree = text.partition("```text\nptychopinn_backend/\n")[2].partition("\nptychodus_plugin/")[0]
    return {word for line in tree.splitlines() for word in line.partition("  # ")[0].split()}


def test_contributing_draws_the_tree_on_disk() -> None:
    rooms = {f"{path.name}/" for path in ENGINE.iterdir() if (path / "__init__.py").is_file()}
    doors = {path.stem for path in ENGINE.glob("*.py") if path.stem != "__init__"}
    assert drawn_names() == rooms | doors


@pytest.mark.parametrize("earlier", sorted(MOVED))
def test_an_earlier_name_is_the_module_of_today(earlier: str) -> None:
    present = import_module(f"ptychopinn_backend.{MOVED[earlier]}")
    assert import_module(f"ptychopinn_backend.{earlier}") is present
    assert present.__name__ == present.__spec__.name == f"ptychopinn_backend.{MOVED[earlier]}"


def test_an_earlier_name_alone_is_enough() -> None:
    code = "import ptychopinn_backend.generators; from ptychopinn_backend import stitch; print(stitch.__name__)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "ptychopinn_backend.stitching.assembly"


def test_a_name_that_never_was_is_refused() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"ptychopinn_backend\.no_such_module"):
        import_module("ptychopinn_backend.no_such_module")
