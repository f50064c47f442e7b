"""The recorded list of all names taken from the host agrees with this package's code and with the installed host."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from ptychodus_plugin.host_names import (
    FORESIGHT_NAMES,
    LIBRARY_NAMES,
    READER_NAMES,
    TASK_NAMES,
    VIEW_NAMES,
    what_is_missing,
)

ALL_NAMES = (LIBRARY_NAMES, TASK_NAMES, VIEW_NAMES, FORESIGHT_NAMES, READER_NAMES)

PLUGIN = Path(__file__).resolve().parents[2] / "ptychodus_plugin"


def imported(path: Path) -> set[str]:
    """'module:name' of all a module imports from the host."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "ptychodus":
            found |= {f"{node.module}:{alias.name}" for alias in node.names}
    return found


def _head(entry: str) -> str:
    module, _, rest = entry.partition(":")
    return f"{module}:{re.split(r'[(.#]', rest)[0]}"


@pytest.mark.parametrize("names", ALL_NAMES)
def test_the_installed_host_has_all(names: tuple[str, ...]) -> None:
    assert what_is_missing(names) == ""


def test_all_that_is_imported_is_recorded() -> None:
    known = {_head(name) for names in ALL_NAMES for name in names}
    # Only its type is read.
    known |= {"ptychodus.api.geometry:PixelGeometry"}
    used = set().union(*(imported(path) for path in PLUGIN.rglob("*.py")))
    assert used <= known, sorted(used - known)


def test_no_private_name_is_used() -> None:
    for path in PLUGIN.rglob("*.py"):
        for name in imported(path):
            assert not any(part.startswith("_") for part in name.replace(":", ".").split(".")), name


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("ptychodus.api.object:Object.no_such_call", "ptychodus.api.object has no Object.no_such_call"),
        ("ptychodus.no_such_module:Thing", "ptychodus.no_such_module has no Thing"),
        ("ptychodus.api.object:Object(array, colour)", "ptychodus.api.object.Object takes no 'colour'"),
        (
            "ptychodus.api.reconstruct:TrainOutput(progress, ...)",
            "ptychodus.api.reconstruct.TrainOutput takes training_loss, validation_loss, progress, status, and not "
            "progress first",
        ),
        (
            "ptychodus.view.processing:ProcessingStatusView#halt_button",
            "ptychodus.view.processing.ProcessingStatusView has no attribute 'halt_button'",
        ),
    ],
)
def test_says_which_name_is_missing(entry: str, words: str) -> None:
    assert what_is_missing((entry,)) == words
