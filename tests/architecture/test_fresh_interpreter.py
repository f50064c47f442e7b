"""Importing the packages loads no framework; seen in an interpreter that has loaded nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ptychopinn_backend

ROOT = Path(__file__).parents[2]
FRAMEWORKS = ("torch", "lightning", "pytorch_lightning", "tensorflow", "keras", "PyQt5")
HEAVY = (*FRAMEWORKS, "matplotlib", "skimage", "p4p", "starlette", "uvicorn")


def loaded_after(code: str, watched: tuple[str, ...]) -> list[str]:
    report = f"\nimport json, sys\nprint(json.dumps([name for name in {watched!r} if name in sys.modules]))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", code + report],
        cwd=ROOT.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    names: list[str] = json.loads(result.stdout.splitlines()[-1])
    return names


def test_the_watch_notices_a_loaded_package() -> None:
    assert loaded_after("import matplotlib", HEAVY) == ["matplotlib"]


@pytest.mark.parametrize(
    "code",
    [
        "import ptychopinn_backend, ptychodus_plugin",
        "import ptychopinn_backend.cli",
        "import ptychopinn_backend.torch_configs, ptychopinn_backend.config.yaml_file",
        "import ptychopinn_backend.legacy.params_bridge",
        "import ptychopinn_backend.torch_backend, ptychopinn_backend.tf_backend",
        "import ptychopinn_backend.live.session, ptychopinn_backend.live.replaying",
    ],
)
def test_importing_loads_nothing_heavy(code: str) -> None:
    assert loaded_after(code, HEAVY) == []


def test_no_public_name_loads_anything_heavy() -> None:
    code = "import ptychopinn_backend as engine\nfor name in engine.__all__: getattr(engine, name)"
    assert loaded_after(code, HEAVY) == []


def test_importing_the_engine_alone_stays_small() -> None:
    assert loaded_after("import ptychopinn_backend", ("numpy", "scipy", "h5py", "yaml")) == []


def test_help_needs_no_numbers() -> None:
    code = "from ptychopinn_backend.cli.main import main\nassert main(['--help']) == 0"
    assert loaded_after(code, (*HEAVY, "numpy")) == []


def test_predicting_needs_no_lightning() -> None:
    assert loaded_after("import ptychopinn_backend.torch_backend.backend", HEAVY) == ["torch"]


def test_public_names_are_listed_and_unknown_ones_refused() -> None:
    assert set(ptychopinn_backend.__all__) <= set(dir(ptychopinn_backend))
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        _ = ptychopinn_backend.no_such_name
