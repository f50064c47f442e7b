"""Figures are complete PNG files that show what they should."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread, imsave

from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.evaluation.figures import save_loss_figure, save_reconstruction_figure
from ptychopinn_backend.files.pictures import drawn
from ptychopinn_backend.runs.results import save_reconstruction
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

ROOT = Path(__file__).parents[2]
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


def test_uncertainty_is_the_last_row(tmp_path: Path) -> None:
    plain = _reconstruction()
    plane = np.full((SIDE, SIDE), 0.1, np.float32)
    unsure = replace(plain, amplitude_uncertainty=plane, phase_uncertainty=plane)
    for truth in (None, plain.object):
        heights = []
        for made in (plain, unsure):
            save_reconstruction_figure(made, tmp_path / "r.png", truth=truth)
            heights.append(imread(tmp_path / "r.png").shape[0])
        assert heights[1] > 1.3 * heights[0]


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


DRAW = """
import sys
from ptychopinn_backend.evaluation.figures import save_loss_figure
from ptychopinn_backend.files.pictures import import_matplotlib
import os
named = os.environ["MPLBACKEND"]
import_matplotlib()
import matplotlib
before = dict(matplotlib.rcParams.copy())
save_loss_figure({"loss": [3.0, 2.0, 1.0]}, sys.argv[1])
assert dict(matplotlib.rcParams.copy()) == before
assert os.environ.get("MPLBACKEND") == (None if named == "no_such_backend" else named)
assert "matplotlib.pyplot" not in sys.modules
"""


@pytest.mark.parametrize(
    ("backend", "settings"),
    [
        ("module://no_such.backend_inline", ""),
        ("no_such_backend", "savefig.format: pdf\nsavefig.transparent: True\nfigure.facecolor: black\n"),
        ("qtagg", "text.usetex: True\nfont.family: serif\nsavefig.bbox: tight\nlines.linewidth: 9\n"),
    ],
)
def test_figures_do_not_depend_on_the_environment(backend: str, settings: str, tmp_path: Path) -> None:
    save_loss_figure({"loss": [3.0, 2.0, 1.0]}, tmp_path / "here.png")
    (tmp_path / "matplotlibrc").write_text(settings, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": backend}
    there = [sys.executable, "-W", "error", "-c", DRAW, "there.png"]
    done = subprocess.run(there, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(imread(tmp_path / "there.png"), imread(tmp_path / "here.png"))


@pytest.mark.parametrize("backend", ["pytorch", "tensorflow"])
def test_a_framework_is_imported_in_the_environment_of_a_notebook(backend: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    modules = {"pytorch": "torch_backend.trainer", "tensorflow": "tf_backend.backend"}
    code = f"import ptychopinn_backend.{modules[backend]}"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_object_is_read_from_an_image_in_the_environment_of_a_notebook(tmp_path: Path) -> None:
    imsave(tmp_path / "object.png", np.arange(64.0).reshape(8, 8))
    words = ["simulate", "-o", "scan.npz", "--size", "16", "--patterns", "4", "--object-file", "object.png"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    command = [sys.executable, "-c", "import sys; from ptychopinn_backend.cli import main; sys.exit(main())", *words]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "scan.npz").exists()


def test_a_figure_that_fails_costs_no_result(tmp_path: Path) -> None:
    (tmp_path / "reconstruction.png").mkdir()
    (tmp_path / "reconstruction.png" / "something").touch()
    with pytest.warns(UserWarning, match=r"The figure .*reconstruction\.png was not drawn .*all other results are"):
        written = save_reconstruction(_reconstruction(), tmp_path)
    assert [path.name for path in written] == ["reconstruction.npz", "reconstruction.h5"]
    assert Reconstruction.load_npz(written[0]).object.shape == (SIDE, SIDE)


def test_a_figure_of_an_earlier_result_does_not_stay_beside_a_new_one(tmp_path: Path) -> None:
    def draw(path: Path) -> None:
        raise RuntimeError("latex\nis missing")

    figure = tmp_path / "loss.png"
    figure.write_bytes(b"of an earlier run")
    with pytest.warns(UserWarning, match=r"RuntimeError: latex is missing\)"):
        assert drawn(draw, figure) == []
    assert not figure.exists()


@pytest.mark.slow
def test_whole_commands_write_their_results_in_the_environment_of_a_notebook(tmp_path: Path) -> None:
    simulate_scan(SimulationConfig(size=32, patterns=24, photons=1e4), seed=1).to_file(tmp_path / "scan.npz")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "module://no_such.backend_inline"}
    command = [sys.executable, "-c", "import sys; from ptychopinn_backend.cli import main; sys.exit(main())"]
    small = ["--backend", "pytorch", "--accelerator", "cpu", "--preset", "legacy", "--filters-scale", "1"]
    for words in (
        ["train", "scan.npz", "-o", "model", *small, "--epochs", "1", "--calibrate", "never", "--quiet"],
        ["infer", "model", "scan.npz", "-o", "result", "--polish", "0", "--calibrate", "never", "--quiet"],
    ):
        done = subprocess.run(
            [*command, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
    for name in ("model/wts.h5.zip", "model/loss.png", "result/reconstruction.npz", "result/reconstruction.png"):
        assert (tmp_path / name).is_file()
