"""Reconstructing builds its network once, and loads nothing that only a training needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend import PtychoModel
from ptychopinn_backend.cli import main
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.factory import create_backend
from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.seam.interface import Backend, BackendSetup

TRAINING_STACK = (
    "ptychopinn_backend.runs.best_archive",
    "ptychopinn_backend.runs.plan",
    "ptychopinn_backend.runs.planning",
    "ptychopinn_backend.runs.train",
    "ptychopinn_backend.runs.training_data",
    "ptychopinn_backend.runs.warm_start",
    "ptychopinn_backend.seam.epoch_log",
    "ptychopinn_backend.seam.progress",
    "ptychopinn_backend.seam.training_run",
    "ptychopinn_backend.tf_backend.checkpoints",
    "ptychopinn_backend.tf_backend.optimizers",
    "ptychopinn_backend.tf_backend.training",
    "ptychopinn_backend.torch_backend.checkpoints",
    "ptychopinn_backend.torch_backend.optimizers",
    "ptychopinn_backend.torch_backend.trainer",
    "ptychopinn_backend.torch_backend.training",
    "lightning",
    "tensorboard",
)


@pytest.fixture(scope="module")
def archive(scan_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model trained on groups, which predicts pattern by pattern."""
    model = PtychoModel("backprojection_unet", N=32, gridsize=2, n_filters_scale=1, backend="pytorch")
    model.train(scan_file, nepochs=1, seed=1, accelerator="cpu")
    return model.save(tmp_path_factory.mktemp("archive") / "model.zip")


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The grid sizes of the networks that are built."""
    sizes: list[int] = []

    def create(name: str, setup: BackendSetup) -> Backend:
        sizes.append(setup.model.gridsize)
        return create_backend(name, setup)

    monkeypatch.setattr("ptychopinn_backend.runs.trained_model.create_backend", create)
    return sizes


@pytest.mark.parametrize("backend", ["pytorch", "tensorflow"])
def test_infer_builds_one_network_for_any_number_of_scans(
    backend: str, archive: Path, scan: RawData, tmp_path: Path, built: list[int]
) -> None:
    for index in range(3):
        scan.to_file(tmp_path / "scans" / f"{index}.npz")
    words = ["--backend", backend, "--accelerator", "cpu", "--polish", "0", "--quiet"]
    assert main(["infer", str(archive), str(tmp_path / "scans"), "-o", str(tmp_path / "out"), *words]) == 0
    assert built == [1]


def test_a_model_in_memory_builds_the_network_it_predicts_with_once(
    archive: Path, scan: RawData, built: list[int]
) -> None:
    model = TrainedModel.load(archive)
    weights = model.backend.dump_weights()
    for factor in (1.0, 0.5):
        model.backend.load_weights(
            {name: np.asarray(values * factor, values.dtype) for name, values in weights.items()}
        )
        assert model.one_by_one().model.gridsize == 1
        for name, values in model.one_by_one().backend.dump_weights().items():
            np.testing.assert_array_equal(values, weights[name] * np.float32(factor), err_msg=name)
    assert built == [2, 1]
    assert model.model.gridsize == 2


def test_the_network_to_predict_with_gives_the_same_object(archive: Path, scan: RawData) -> None:
    from ptychopinn_backend.runs.reconstruct import reconstruct

    whole, alone = TrainedModel.load(archive), TrainedModel.load(archive, to_predict=True)
    np.testing.assert_array_equal(reconstruct(alone, scan).object, reconstruct(whole, scan).object)


@pytest.mark.parametrize("backend", ["pytorch", "tensorflow"])
def test_infer_loads_nothing_of_the_training_stack(
    backend: str, archive: Path, scan_file: Path, tmp_path: Path
) -> None:
    code = (
        "import json, sys; from ptychopinn_backend.cli import main;"
        "words = ['infer', *sys.argv[2:4], '-o', sys.argv[4], '--backend', sys.argv[1], '--polish', '0', '--quiet'];"
        "assert main(words) == 0; print(json.dumps(sorted(sys.modules)))"
    )
    arguments = [backend, str(archive), str(scan_file), str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True, timeout=300
    )
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert f"ptychopinn_backend.{ {'pytorch': 'torch', 'tensorflow': 'tf'}[backend] }_backend.backend" in loaded
    assert not loaded & set(TRAINING_STACK)
