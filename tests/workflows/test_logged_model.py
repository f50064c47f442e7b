"""A training that is logged to MLflow: its options, its model, and how that is opened again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend import params
from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.config.yaml_file import load_run_config
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import ArchiveNotFoundError
from ptychopinn_backend.runs.train import train_scans
from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.workflows import load_inference_bundle

tracking = pytest.importorskip("mlflow.tracking", reason="mlflow-skinny is an extra")

LOGGED = ExecutionConfig(logger_backend="mlflow", accelerator="cpu", learning_rate=2e-3)


@pytest.fixture(autouse=True)
def _contained(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    saved = params.snapshot()
    yield
    params.restore(saved)


def train(scan: RawData, folder: Path, backend: str, nepochs: int = 2, resume: bool = False) -> TrainedModel:
    config = TrainingConfig(
        model=ModelConfig(N=32, n_filters_scale=1), nepochs=nepochs, n_groups=16, nphotons=1e5, backend=backend,
        output_dir=folder, train_data_file="a-private-folder/scan.npz",
    )  # fmt: skip
    return train_scans([scan], config, LOGGED, checkpoint_folder=folder / "checkpoints", resume=resume)


def the_run(store: Path) -> Any:
    client = tracking.MlflowClient(tracking_uri=store.as_uri())
    (run,) = client.search_runs([client.get_experiment_by_name("ptychopinn").experiment_id])
    return client, run


@pytest.mark.parametrize("backend", ["pytorch", "tensorflow"])
def test_a_run_keeps_options_and_model(
    scan: RawData, tmp_path: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = train(scan, tmp_path / "out", backend)
    client, run = the_run(tmp_path / "out" / "checkpoints" / "mlruns")
    told = run.data.params
    assert (told["N"], told["nepochs"], told["backend"], told["learning_rate"]) == ("32", "2", backend, "0.002")
    assert {"seed", "architecture", "nll_weight", "package_version"} <= told.keys()
    assert not any("private" in value or str(tmp_path) in value for value in told.values())
    kept = client.download_artifacts(run.info.run_id, "configuration.yaml")
    again = load_run_config(kept)
    assert (again.training.nepochs, again.training.model.N, again.execution.learning_rate) == (2, 32, 2e-3)

    monkeypatch.chdir(tmp_path)
    opened, restored = load_inference_bundle(f"runs:/{run.info.run_id}")
    assert restored["nepochs"] == 2
    for name, array in model.backend.dump_weights().items():
        np.testing.assert_array_equal(opened.backend.dump_weights()[name], array)


def test_a_resumed_run_is_the_same_one(scan: RawData, tmp_path: Path) -> None:
    train(scan, tmp_path, "pytorch")
    model = train(scan, tmp_path, "pytorch", nepochs=3, resume=True)
    client, run = the_run(tmp_path / "checkpoints" / "mlruns")
    assert run.data.params["nepochs"] == "2"
    assert load_run_config(client.download_artifacts(run.info.run_id, "configuration.yaml")).training.nepochs == 3
    kept = client.download_artifacts(run.info.run_id, "model/wts.h5.zip")
    assert TrainedModel.load(kept).history == model.history


def test_a_store_elsewhere_is_named_by_the_variable(
    tmp_path: Path, scan: RawData, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(scan, tmp_path / "there", "pytorch", nepochs=1)
    store = tmp_path / "there" / "checkpoints" / "mlruns"
    _, run = the_run(store)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    with pytest.raises(ArchiveNotFoundError, match=r"No store has the run .*MLFLOW_TRACKING_URI, which is not set"):
        load_inference_bundle(f"runs:/{run.info.run_id}")
    for stated in (store.as_uri(), str(store)):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", stated)
        assert load_inference_bundle(f"runs:/{run.info.run_id}/model")[0].model.N == 32
    next(store.glob("*/*/artifacts/model/wts.h5.zip")).unlink()
    with pytest.raises(ArchiveNotFoundError, match=r"keeps no model .*has not come to its end"):
        load_inference_bundle(f"runs:/{run.info.run_id}")


@pytest.mark.parametrize("uri", ["runs:/", "runs:/../../etc", "runs:/0123", f"runs:/{'0' * 31}*"])
def test_what_names_no_run_is_refused(uri: str) -> None:
    with pytest.raises(ArchiveNotFoundError, match=r"names no run of MLflow. Write runs:/ and the 32 digits"):
        load_inference_bundle(uri)
