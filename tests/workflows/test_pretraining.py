"""Pre-training with the instrument of a scan, on both backends and from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ptychopinn_backend.cli.main import main
from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.evaluation import evaluate
from ptychopinn_backend.runs.pretraining import pretrain
from ptychopinn_backend.runs.reconstruct import reconstruct
from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

N = 32


@pytest.fixture(scope="module")
def scan_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = SimulationConfig(size=N, patterns=64, photons=1e5, step_px=3, object="siemens", amplitude_min=0.8)
    return simulate(spec, 3).to_file(tmp_path_factory.mktemp("pretraining") / "scan.npz")


def configuration(epochs: int) -> TrainingConfig:
    return TrainingConfig(
        model=ModelConfig(N=N, gridsize=2, architecture="backprojection_unet", n_filters_scale=1),
        nepochs=epochs,
        groups_per_epoch=32,
        batch_size=2,
        mse_weight=1.0,
        nll_weight=0.0,
        nphotons=1e5,
        gradient_clip_val=1.0,
        intensity_scale_trainable=False,
    )


@pytest.mark.parametrize("backend", ["pytorch", "tensorflow"])
def test_a_scan_never_seen_is_reconstructed_in_one_pass(scan_file: Path, backend: str) -> None:
    pytest.importorskip({"pytorch": "torch", "tensorflow": "tensorflow"}[backend])
    scan = RawData.from_file(scan_file)
    execution = ExecutionConfig(accelerator="cpu", learning_rate=3e-3, seed=1)
    model = pretrain([scan], configuration(6), execution, n_objects=8, backend=backend)
    assert len(model.history["val_loss"]) == 6
    assert scan.objectGuess is not None

    def r_factor(of: TrainedModel) -> float:
        return float(evaluate(reconstruct(of, scan, polish_steps=0), scan)["r_factor"])

    untrained = pretrain(
        [scan],
        configuration(1),
        ExecutionConfig(accelerator="cpu", learning_rate=1e-9, seed=1),
        n_objects=1,
        backend=backend,
    )
    assert r_factor(model) < 0.9 * r_factor(untrained)


def test_commands_from_a_probe_to_a_measured_image(
    scan_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--backend", "pytorch", "--accelerator", "cpu", "--objects", "2", "--epochs", "2", "--groups", "3"]
    small = ["--gridsize", "2", "--set", "n_filters_scale=1", "-q"]
    assert main(["pretrain", "--probe-from", f"{scan_file}", "-o", f"{tmp_path}", *options, *small]) == 0
    assert capsys.readouterr().out == ""
    model = TrainedModel.load(tmp_path)
    assert (model.model.N, model.model.gridsize, model.model.architecture) == (N, 2, "backprojection_unet")
    assert model.training.nphotons == pytest.approx(RawData.from_file(scan_file).mean_photons)
    assert len(model.history["loss"]) == 2

    assert main(["infer", f"{tmp_path}", f"{scan_file}", "-o", f"{tmp_path}", "--polish", "3", "-q"]) == 0
    found = f"{tmp_path}/reconstruction.npz"
    assert Reconstruction.load_npz(found).info["polish_steps"] == 3
    assert main(["evaluate", found, f"{scan_file}", "--model", f"{tmp_path}", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert 1 <= report["half_data_frc_px"] < N
    assert report["patterns_per_s"] == pytest.approx(64 / report["elapsed_s"])


def test_no_scan() -> None:
    with pytest.raises(DataError, match="No scan was given to take the probe from"):
        pretrain([], configuration(1))
