"""`ptychopinn train` on what is there already: an archive to start from, stages, and a folder used twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.archive import read_archive
from ptychopinn_backend.cli import main

QUICK = ("--backend", "pytorch", "--filters-scale", "1", "--seed", "1", "--accelerator", "cpu", "--quiet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan and a small model of it."""
    folder = tmp_path_factory.mktemp("further")
    scan = str(folder / "scan.npz")
    assert main(["simulate", "-o", scan, "--size", "32", "--patterns", "30", "--photons", "1e4", "--seed", "2"]) == 0
    words = ["--architecture", "cnn", "--epochs", "2"]
    assert main(["train", scan, "-o", str(folder / "first"), *words, *QUICK]) == 0
    return folder


@pytest.mark.parametrize("backend", ["pytorch", "tensorflow"])
def test_the_network_of_the_archive_goes_on(backend: str, folder: Path, tmp_path: Path) -> None:
    words = ["train", str(folder / "scan.npz"), "-o", str(tmp_path), "--init", str(folder / "first"), "--epochs", "1"]
    assert main([*words, "--backend", backend, "--accelerator", "cpu", "--learning-rate", "1e-30", "--quiet"]) == 0
    first, adapted = read_archive(folder / "first"), read_archive(tmp_path)
    assert adapted.model == first.model
    assert adapted.backend == backend
    for name, array in first.weights.items():
        np.testing.assert_allclose(adapted.weights[name], array, rtol=1e-6, err_msg=name)


def test_another_network_is_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", str(folder / "scan.npz"), "-o", str(tmp_path), "--init", str(folder / "first"), "--epochs", "1"]
    assert main([*words, *QUICK, "--architecture", "backprojection_unet"]) == 2
    error = capsys.readouterr().err
    assert "does not fit this network: architecture is 'cnn' there and 'backprojection_unet' here" in error


def test_stages_have_epochs_of_their_own_whatever_the_preset(folder: Path, tmp_path: Path) -> None:
    stages = ["--set", "stage_1_epochs=1", "--set", "stage_2_epochs=1", "--set", "stage_3_epochs=1"]
    words = ["train", str(folder / "scan.npz"), "-o", str(tmp_path), "--preset", "fast", "--gridsize", "1"]
    assert main([*words, *QUICK, *stages, "--set", "epochs_fine_tune=1"]) == 0
    history = read_archive(tmp_path).history
    assert history["physics_weight"] == pytest.approx([0, 0.5, 1, 1])
    header, *rows = (tmp_path / "history.csv").read_text().splitlines()
    assert "normalised" in header
    assert len(rows) == 4
