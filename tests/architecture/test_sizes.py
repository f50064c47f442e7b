"""Budgets of size and naming."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("ptychopinn_backend", "ptychodus_plugin", "tests", "benchmarks")
FILES = sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))
MODULE_LINES, FUNCTION_LINES = 400, 60
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "misc", "common"}
FORBIDDEN_SUFFIXES = ("_v1", "_v2", "_new", "_old", "_alpha", "_beta", "_final", "_copy")


def relative(file: Path) -> str:
    return str(file.relative_to(ROOT))


def functions(file: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def test_there_is_something_to_measure() -> None:
    assert len(FILES) > 40


@pytest.mark.parametrize("file", FILES, ids=relative)
def test_module_and_functions_within_budget(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= MODULE_LINES
    assert {name: lines for name, lines in functions(file) if lines > FUNCTION_LINES} == {}


@pytest.mark.parametrize("file", FILES, ids=relative)
def test_no_module_without_a_subject(file: Path) -> None:
    parts = [part.lower() for part in file.relative_to(ROOT).with_suffix("").parts]
    assert not FORBIDDEN_NAMES & set(parts)
    assert not any(part.endswith(FORBIDDEN_SUFFIXES) for part in parts)
