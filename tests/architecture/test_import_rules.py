"""Imports point down, and each framework is imported in one place."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGINE, PLUGIN = ROOT / "ptychopinn_backend", ROOT / "ptychodus_plugin"
ALLOWED = {
    "torch": ENGINE / "torch_backend",
    "lightning": ENGINE / "torch_backend",
    "tensorflow": ENGINE / "tf_backend",
    "keras": ENGINE / "tf_backend",
    "onnx": ENGINE / "onnx_backend",
    "onnxruntime": ENGINE / "onnx_backend",
    "PyQt5": PLUGIN / "view",
    "p4p": ENGINE / "live",
    "starlette": ENGINE / "live" / "page.py",
    "uvicorn": ENGINE / "live" / "page.py",
    "ptychodus": PLUGIN,
    "ptychodus_plugin": PLUGIN,
}


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        cwd=root,
        env={"PYTHONPATH": str(root), "PATH": "", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_contracts_are_kept() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


@pytest.mark.parametrize(
    ("module", "statement", "contract"),
    [
        ("ptychopinn_backend/errors.py", "import ptychopinn_backend.arrays", "Imports of the engine point down"),
        ("ptychopinn_backend/new_module.py", "import numpy", "Imports of the engine point down"),
        ("ptychopinn_backend/params.py", "import torch", "torch and lightning are imported in torch_backend only"),
        ("ptychodus_plugin/settings.py", "import keras", "tensorflow and keras are imported in tf_backend only"),
        ("ptychopinn_backend/cli/live.py", "import p4p.nt", "p4p, starlette and uvicorn are imported in live only"),
        (
            "ptychopinn_backend/factory.py",
            "import onnxruntime",
            "onnx and onnxruntime are imported in onnx_backend only",
        ),
        ("ptychodus_plugin/install.py", "import PyQt5.QtCore", "PyQt5 is imported in the plugin's view only"),
        (
            "ptychopinn_backend/stitching/assembly.py",
            "import ptychodus_plugin.view",
            "The engine does not know the plugin",
        ),
    ],
)
def test_contracts_notice_an_offence(tmp_path: Path, module: str, statement: str, contract: str) -> None:
    for source in (*ENGINE.rglob("*.py"), *PLUGIN.rglob("*.py"), ROOT / "pyproject.toml"):
        copy = tmp_path / source.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source.read_bytes())
    offender = tmp_path / module
    before = offender.read_text() if offender.exists() else ""
    offender.write_text(f"{before}\n{statement}\n")
    result = lint(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"{contract} BROKEN" in result.stdout or contract in result.stdout.partition("Broken contracts")[2]


def imported_packages(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("package", ALLOWED)
def test_imported_in_its_place_only(package: str) -> None:
    place = ALLOWED[package]
    offenders = [
        str(file.relative_to(ROOT))
        for file in (*ENGINE.rglob("*.py"), *PLUGIN.rglob("*.py"))
        if package in imported_packages(file) and file != place and place not in file.parents
    ]
    assert offenders == []
