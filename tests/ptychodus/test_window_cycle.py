"""Train and Infer pressed in the real window; the pictures go into the documentation."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ptychodus.api.io import load_product
from PyQt5.QtWidgets import QLabel

from ptychopinn_backend.archive import read_metadata
from ptychopinn_backend.seam.child_process import GRACE_SECONDS
from tests.ptychodus.cycles import PROJECT_ROOT, run_program
from tests.ptychodus.scenes import decide_nothing
from tests.ptychodus.window import Window

pytestmark = pytest.mark.slow

PICTURES = os.environ.get("PTYCHOPINN_PICTURES")
"""Folder the pictures of the documentation are renewed in; unset, they go to the test's own folder."""


@pytest.fixture
def window() -> Iterator[Window]:
    with Window() as window:
        decide_nothing(window.model)
        window.set("Model", NumFiltersScale=1, Accelerator="cpu")
        window.set("Training", NumEpochs=3, BatchSize=4)
        yield window


def keep(picture: Path) -> None:
    """Check that a picture shows something, and keep it for the documentation where that is asked for."""
    assert picture.stat().st_size > 5_000
    if PICTURES:
        Path(PICTURES).mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, PICTURES)


@pytest.mark.parametrize(
    ("algorithm", "title", "backend"),
    [("ptychopinn_pinn", "PyTorch", "pytorch"), ("ptychopinn_supervised", "TensorFlow", "tensorflow")],
)
def test_train_and_infer(tmp_path: Path, algorithm: str, title: str, backend: str) -> None:
    report = run_program("window_program", tmp_path, algorithm, title)
    assert report["errors"] == []
    assert report["imported"] == []
    assert "Epoch 3 of 3" in report["said"]
    assert report["name"].endswith(algorithm)
    assert read_metadata(tmp_path / "model.zip")["backend"] == backend
    result, given = load_product(tmp_path / "result.h5"), load_product(tmp_path / "product.h5")
    assert result.object_.get_geometry() == given.object_.get_geometry()
    assert np.ptp(np.abs(result.object_.get_layer(0))) > 0
    assert len(result.losses) == 3
    for picture in tmp_path.glob("*.png"):
        keep(picture)


def test_stop_ends_the_child_and_leaves_the_best_model(window: Window, tmp_path: Path) -> None:
    window.choose_algorithm("ptychopinn_pinn")
    window.set("Model", Backend="pytorch")
    window.set("Training", NumEpochs=10_000)
    product = window.load_scan(tmp_path, step_px=8.0)
    product.export_training_data(tmp_path / "train_data.npz")
    window.answer_folder_dialog(tmp_path)

    def train_and_stop() -> None:
        window.click(window.actions.train_button)
        assert window.wait_until(lambda: window.monitor.get_progress() >= 2, 120)
        axes = window.view.processing_status_view.axes
        assert window.wait_until(lambda: len(axes.lines) == 2, 10), "both losses are drawn while it trains"
        assert axes.get_title().startswith("Training, epoch")
        assert window.view.processing_status_view.stop_button.isVisible()
        window.click(window.view.processing_status_view.stop_button)
        assert window.wait_until(lambda: not window.monitor.is_processing, 10)

    window.run(train_and_stop)
    assert multiprocessing.active_children() == []
    assert window.monitor.get_last_error() is None
    reconstructor = window.model.processing_core.algorithm_parameter.get_current_reconstructor()
    assert reconstructor.is_model_loaded()
    assert read_metadata(tmp_path / "checkpoints" / "best.zip")["model"]["N"] == 32
    assert window.actions.reconstruct_button.isEnabled()
    reconstructor.save_model(tmp_path / "stopped.zip")
    window.run(lambda: window.click(window.actions.reconstruct_button))
    assert window.monitor.get_last_error() is None
    panel = window.view.findChild(QLabel, "result_pinn")
    assert panel.isVisible()
    assert "R of the result" in panel.text()
    # The loaded product is trained on, once more into the same folder, and the next result takes the place of the last.
    (tmp_path / "fresh").mkdir()
    window.answer_folder_dialog(tmp_path / "fresh")
    window.set("Training", NumEpochs=1)
    for _ in range(2):
        window.run(lambda: window.click(window.actions.train_button))
        assert window.monitor.get_last_error() is None
    assert "Training on the chosen product" in window.shown_text
    assert read_metadata(tmp_path / "fresh" / "model.zip")["model"]["N"] == 32
    window.set("Inference", PatchCrop=1000)
    window.click(window.actions.reconstruct_button)
    _, sentence = window.read_and_close_message(30)
    assert "PatchCrop = 1000" in sentence
    assert not panel.isVisible()


@pytest.mark.parametrize("early", [False, True])
def test_closing_the_window_ends_the_training(early: bool, tmp_path: Path) -> None:
    """With our form after an epoch, with the host's own before the first."""
    program = [sys.executable, "-m", "tests.ptychodus.closing_program", str(tmp_path), *(["early"] if early else [])]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, cwd=PROJECT_ROOT) as host:
        assert host.stdout is not None
        form = next(line.split()[1] for line in host.stdout if line.startswith("form: "))
        child = next(int(line.split()[1]) for line in host.stdout if line.startswith("closing: "))
        closed = time.monotonic()
        assert host.wait(60) == 0
    assert time.monotonic() - closed < GRACE_SECONDS + 3
    assert not Path(f"/proc/{child}").exists()
    assert form.startswith("ptychodus.controller." if early else "ptychodus_plugin.")
    if not early:
        assert read_metadata(tmp_path / "checkpoints" / "best.zip")["model"]["N"] == 32


def test_failure_opens_a_dialog_with_the_sentence(window: Window, tmp_path: Path) -> None:
    window.choose_algorithm("ptychopinn_pinn")
    window.load_scan(tmp_path, step_px=12.0)
    window.set("Training", TrainOn="folder")
    (tmp_path / "empty").mkdir()
    window.answer_folder_dialog(tmp_path / "empty")
    window.click(window.actions.train_button)
    title, sentence = window.read_and_close_message(30, tmp_path / "message.png")
    assert "Train (PINN)" in title
    assert "Export Training Data" in sentence
    keep(tmp_path / "message.png")
    window.settle(1.5)
    assert "Train failed: The folder" in window.shown_text
