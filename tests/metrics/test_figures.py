"""Figures are complete PNG files that show what they should."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from ptychopinn_backend.errors import DataError
from ptychopinn_backend.evaluation.figures import save_loss_figure, save_reconstruction_figure
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

SIDE = 60


def _reconstruction(*, weight: bool = True, positions: bool = True) -> Reconstruction:
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    obj = ((1 + 0.2 * np.sin(12 * x)) * np.exp(1j * np.cos(9 * y))).astype(np.complex64)
    covered = np.zeros((SIDE, SIDE), np.float32)
    covered[8:50, 8:50] = 1
    grid = np.stack(np.meshgrid(np.arange(15.0, 45.0, 4), np.arange(15.0, 45.0, 4)), axis=-1).reshape(-1, 2)
    probe = np.ones((1, 16, 16), np.complex64)
    return Reconstruction(obj, (0.0, 0.0), probe, covered if weight else None, "pytorch", grid if positions else None)


def _contrast(path: Path) -> float:
    image = imread(path)
    assert image.shape[0] > 300
    return float(image[..., :3].std())


@pytest.mark.parametrize("weight", [True, False])
def test_reconstruction_figure(weight: bool, tmp_path: Path) -> None:
    save_reconstruction_figure(_reconstruction(weight=weight), tmp_path / "r.png")
    assert _contrast(tmp_path / "r.png") > 0.1
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.png"]


def test_truth_adds_a_second_row(tmp_path: Path) -> None:
    reconstruction = _reconstruction()
    save_reconstruction_figure(reconstruction, tmp_path / "one.png")
    save_reconstruction_figure(reconstruction, tmp_path / "two.png", truth=reconstruction.object)
    assert imread(tmp_path / "two.png").shape[0] > 1.5 * imread(tmp_path / "one.png").shape[0]


@pytest.mark.parametrize("value", [0, 1])
def test_object_without_contrast_can_be_drawn(value: int, tmp_path: Path) -> None:
    flat = Reconstruction(np.full((20, 20), value, np.complex64), (0, 0), np.ones((1, 8, 8), np.complex64))
    save_reconstruction_figure(flat, tmp_path / "flat.png")
    assert (tmp_path / "flat.png").stat().st_size > 1000


def test_truth_needs_positions(tmp_path: Path) -> None:
    reconstruction = _reconstruction(positions=False)
    with pytest.raises(DataError, match="holds no scan positions"):
        save_reconstruction_figure(reconstruction, tmp_path / "r.png", truth=reconstruction.object)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "history",
    [
        {"loss": [100.0, 3.0, 0.5], "val_loss": [90.0, 4.0, 0.6], "learning_rate": [1e-3] * 3},
        {"loss": [-5.0, -6.0], "val_loss": [float("nan"), -5.5]},
        {"loss": [1.0]},
        {},
    ],
)
def test_loss_figure_of_any_history(history: dict, tmp_path: Path) -> None:
    save_loss_figure(history, tmp_path / "loss.png")
    assert _contrast(tmp_path / "loss.png") > 0.02
