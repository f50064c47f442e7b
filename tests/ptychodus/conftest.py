"""A settings registry with our library in it, and small programs run in interpreters of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import small_disk  # noqa: F401 - a fixture

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
def host() -> Iterator[object]:
    """A running host with PtychoPINN/PINN selected and no window."""
    from ptychodus.model import ModelCore

    with ModelCore() as model:
        model.processing_core.algorithm_parameter.set_value("ptychopinn_pinn")
        yield model


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model for 32 x 32 patterns and grid size 2, barely trained with PyTorch."""
    from ptychodus_plugin.product import raw_data_of
    from ptychopinn_backend.config import ModelConfig, TrainingConfig
    from ptychopinn_backend.config.execution import ExecutionConfig
    from ptychopinn_backend.runs.train import train_scans
    from tests.ptychodus.scenes import make_input

    parameters, _ = make_input(step_px=10.0)
    config = TrainingConfig(model=ModelConfig(N=32, gridsize=2, n_filters_scale=1), nepochs=1, n_groups=8)
    execution = ExecutionConfig(accelerator="cpu", logger_backend="none")
    model = train_scans([raw_data_of(parameters)], config, execution, backend="pytorch")
    return model.save(tmp_path_factory.mktemp("archive") / "model.zip")


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
