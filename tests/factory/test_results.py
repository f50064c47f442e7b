"""Every result says which backend made it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ptychopinn_backend import params
from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.factory import ENVIRONMENT_VARIABLE
from ptychopinn_backend.workflows import run_cdi_example


@pytest.fixture(autouse=True)
def _legacy_parameters() -> Iterator[None]:
    saved = params.snapshot()
    yield
    params.restore(saved)


@pytest.mark.parametrize(("environment", "expected"), [(None, "tensorflow"), ("pytorch", "pytorch")])
def test_results_name_the_backend_that_made_them(
    environment: str | None, expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    if environment is not None:
        monkeypatch.setenv(ENVIRONMENT_VARIABLE, environment)
    scan = simulate_scan(SimulationConfig(size=32, patterns=24, photons=1e5), seed=3)
    model = ModelConfig(N=32, n_filters_scale=1)
    config = TrainingConfig(model=model, nepochs=1, n_groups=16, nphotons=1e5, output_dir=tmp_path)
    execution = ExecutionConfig(accelerator="cpu", enable_checkpointing=False, logger_backend="none")
    _, _, results = run_cdi_example(scan, scan, config, execution=execution)
    assert results["backend"] == expected
