"""Commands with the flags of the original: what they do, what they leave, and what they say is the same."""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.archive import read_archive
from ptychopinn_backend.cli import main
from ptychopinn_backend.cli.launchers import install_launchers, remove_launchers
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

pytestmark = pytest.mark.filterwarnings("default:.* that have no effect here:UserWarning")
YAML = """\
N: 32
gridsize: 2
n_filters_scale: 1
amp_activation: swish
object.big: true
nepochs: 1
batch_size: 8
nphotons: 1e4
n_groups: 16
neighbor_count: 7
data_source: generic
stitch_crop_size: 14
"""
CPU = ["--backend", "pytorch", "--torch-accelerator", "cpu"]


@pytest.fixture(scope="module")
def old_scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan as tools of the original write it: points are numbered, and the unknown object is a pickled None."""
    scan = simulate_scan(SimulationConfig(size=32, patterns=36, photons=1e4, position_error_px=0.0), seed=1)
    x, y = scan.positions_xy.T
    file = tmp_path_factory.mktemp("old") / "train.npz"
    np.savez(
        file,
        diffraction=scan.diff3d.astype(np.float32),
        xcoords=x,
        ycoords=y,
        xcoords_start=x,
        ycoords_start=y,
        probeGuess=scan.probeGuess if scan.probeGuess.ndim == 2 else scan.probeGuess[0],
        objectGuess=np.array(None, dtype=object),
        scan_index=np.arange(36),
    )
    return file


@pytest.fixture(scope="module")
def old_config(old_scan: Path) -> Path:
    file = old_scan.parent / "comparison_config.yaml"
    file.write_text(YAML)
    return file


@pytest.fixture(scope="module")
def trained(old_scan: Path, old_config: Path) -> Path:
    """The folder that `ptycho-train` leaves."""
    output = old_scan.parent / "out"
    words = ["--train_data_file", str(old_scan), "--test_data_file", str(old_scan), "--output_dir", str(output)]
    assert main(["ptycho-train", *words, "--config", str(old_config), "--do_stitching", *CPU]) == 0
    return output


def test_a_script_of_the_original_trains_and_reconstructs(
    trained: Path, old_scan: Path, old_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (
        "wts.h5.zip",
        "history.csv",
        "logs/debug.log",
        "reconstructed_amplitude.png",
        "reconstructed_phase.png",
    ):
        assert (trained / name).stat().st_size > 0, name
    content = read_archive(trained)
    assert (content.model.gridsize, content.model.amp_activation, content.model.architecture) == (2, "swish", "cnn")
    assert (content.training.n_groups, content.training.nphotons, content.training.batch_size) == (16, 1e4, 8)
    words = ["--model_path", str(trained), "--test_data", str(old_scan), "--output_dir", str(tmp_path)]
    code = main(["ptycho-inference", *words, *CPU, "--n_images", "20", "--phase_vmin", "-1", "--phase_vmax", "1"])
    assert code == 0
    said = capsys.readouterr().err
    (same,) = re.findall(r"^The same: ptychopinn (.*)$", said, flags=re.MULTILINE)
    for name in ("reconstructed_amplitude.png", "reconstructed_phase.png", "reconstruction.npz", "logs/debug.log"):
        assert (tmp_path / name).stat().st_size > 0, name
    found = Reconstruction.load_npz(tmp_path / "reconstruction.npz")
    assert found.object.std() > 0
    asked = shlex.split(same)
    asked[asked.index("-o") + 1] = str(tmp_path / "again")
    assert main([*asked, "-q"]) == 0
    again = Reconstruction.load_npz(tmp_path / "again" / "reconstruction.npz")
    np.testing.assert_array_equal(again.object, found.object)


def test_the_crop_of_the_file_is_that_of_the_reconstruction(trained: Path, old_scan: Path, tmp_path: Path) -> None:
    words = ["infer", str(trained), str(old_scan), "-o", str(tmp_path), "--assembly", "central", "--crop", "14", "-q"]
    assert main([*words, "--calibrate", "never", "--groups", "16", "--backend", "pytorch", "--accelerator", "cpu"]) == 0
    expected = Reconstruction.load_npz(tmp_path / "reconstruction.npz")
    assert np.allclose(Reconstruction.load_npz(trained / "reconstruction.npz").weight, expected.weight)


def test_the_log_holds_details_and_the_terminal_does_not(trained: Path) -> None:
    log = (trained / "logs" / "debug.log").read_text()
    assert "INFO ptychopinn_backend.runs" in log
    assert "Plan of this run" in log
    assert logging.getLogger("ptychopinn_backend").level <= logging.WARNING
    assert not [item for item in logging.getLogger("ptychopinn_backend").handlers if hasattr(item, "baseFilename")]


def test_the_experiment_of_a_folder_is_stitched(
    trained: Path, old_scan: Path, old_config: Path, tmp_path: Path
) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    for name in ("a.npz", "b.npz"):
        (scans / name).write_bytes(old_scan.read_bytes())
    words = ["--train_data_file", str(old_scan), "--test_data_file", str(scans), "--output_dir", str(tmp_path / "out")]
    stitched = ["--do_stitching", "--experiment_number", "1", "--quiet", *CPU]
    assert main(["ptycho-train", *words, "--config", str(old_config), *stitched]) == 0
    made_of = Reconstruction.load_npz(tmp_path / "out" / "reconstruction.npz").info["inputs"]
    assert "b.npz" in [Path(file["name"]).name for file in made_of]


def test_json_option_sets_train(old_scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sets = {
        "data_config": {"N": 32, "grid_size": [1, 1], "K": 4, "nphotons": 1e5, "measurement_domain": "count_intensity"},
        "model_config": {"n_filters_scale": 1, "cbam_encoder": False, "probe_mask": None, "C_model": 1, "edge_pad": 10},
        "training_config": {"epochs": 1, "device": "cpu", "n_groups": 8, "run_tag": "mine", "orchestrator": "Mlflow"},
        "inference_config": {"middle_trim": 16, "patch_weighting": "uniform", "window": 3, "experiment_number": 0},
    }
    file = tmp_path / "options.json"
    file.write_text(json.dumps(sets))
    output = tmp_path / "out"
    words = ["--train_data_file", str(old_scan), "--test_data_file", str(old_scan), "--output_dir", str(output)]
    assert main(["ptycho-train", *words, "--config", str(file), "--do_stitching", "--quiet"]) == 0
    assert "no effect here: run_tag = 'mine', edge_pad, orchestrator." in capsys.readouterr().err
    content = read_archive(output)
    assert (content.backend, content.model.gridsize, content.training.n_groups) == ("pytorch", 1, 8)
    assert (output / "reconstructed_phase.png").is_file()
    words = ["train", str(old_scan), "-o", str(tmp_path / "again"), "--config", str(file), "--quiet"]
    assert main([*words, "--preset", "legacy", "--calibrate", "never"]) == 0
    said = capsys.readouterr().err
    assert re.search(
        r"says crop_px = 16, window = 3, .*assembly = central of the reconstruction; give the file to 'ptychopinn",
        said,
    )


def test_option_sets_of_the_amplitude_error_train(old_scan: Path, tmp_path: Path) -> None:
    sets = {
        "data_config": {"grid_size": [1, 1]},
        "model_config": {"loss_function": "MAE", "n_filters_scale": 1},
        "training_config": {"nll": False, "epochs": 1, "device": "cpu", "n_groups": 8},
    }
    file = tmp_path / "options.json"
    file.write_text(json.dumps(sets))
    words = ["--train_data_file", str(old_scan), "--output_dir", str(tmp_path / "out"), "--config", str(file)]
    assert main(["ptycho-train", *words, "--quiet"]) == 0
    content = read_archive(tmp_path / "out")
    assert (content.training.mae_weight, content.training.nll_weight) == (1.0, 0.0)
    assert (content.model.cbam_encoder, content.model.amp_activation, content.training.neighbor_count) == (
        True,
        "swish",
        6,
    )


def test_points_are_left_out(trained: Path, old_scan: Path, tmp_path: Path) -> None:
    words = ["--model_path", str(trained), "--test_data", str(old_scan), "--output_dir", str(tmp_path), "--quiet", *CPU]
    assert main(["ptycho-inference", *words, "--n_subsample", "20", "--subsample_seed", "1", "--debug"]) == 0
    assert Reconstruction.load_npz(tmp_path / "reconstruction.npz").info["n_patterns"] == 20


PHOTONS = 2.5e4


@pytest.fixture(scope="module")
def normalised_scan(old_scan: Path) -> Path:
    """The same scan, its amplitudes divided by a number that nobody remembers."""
    with np.load(old_scan, allow_pickle=True) as members:
        patterns = (np.sqrt(members["diffraction"]) / 37.3).astype(np.float32)
        members = {**members, "diffraction": patterns}
    file = old_scan.parent / "normalised.npz"
    np.savez(file, **members)
    return file


def counted(folder: Path) -> float:
    """Return the mean counts of the patterns that a reconstruction was made of."""
    counts = Reconstruction.load_npz(folder / "reconstruction.npz").pattern_counts
    assert counts is not None
    return float(counts.mean())


def test_photons_of_the_command_give_the_counts_of_normalised_patterns(
    normalised_scan: Path, old_config: Path, tmp_path: Path
) -> None:
    scan, output = str(normalised_scan), str(tmp_path)
    words = ["--train_data_file", scan, "--test_data_file", scan, "--output_dir", output, "--config", str(old_config)]
    assert main(["ptycho-train", *words, "--nphotons", str(PHOTONS), "--do_stitching", "--quiet", *CPU]) == 0
    assert counted(tmp_path) == pytest.approx(PHOTONS, rel=1e-4)
    assert read_archive(tmp_path).training.nphotons == PHOTONS


def test_photons_of_an_option_file_give_the_counts_of_normalised_patterns(
    trained: Path, normalised_scan: Path, tmp_path: Path
) -> None:
    config = tmp_path / "old.yaml"
    config.write_text(f"nphotons: {PHOTONS}\n")
    words = ["--model_path", str(trained), "--test_data", str(normalised_scan), "--output_dir", str(tmp_path)]
    assert main(["ptycho-inference", *words, "--config", str(config), "--quiet", *CPU]) == 0
    assert counted(tmp_path) == pytest.approx(PHOTONS, rel=1e-4)


def test_train_and_infer_are_told_the_photons_of_normalised_patterns(normalised_scan: Path, tmp_path: Path) -> None:
    scan, device = str(normalised_scan), ["--backend", "pytorch", "--accelerator", "cpu", "-q"]
    told = ["--nphotons", str(PHOTONS), "--calibrate", "never"]
    small = ["--preset", "legacy", "--epochs", "1", "--filters-scale", "1", "--groups", "8"]
    assert main(["train", scan, "-o", str(tmp_path / "model"), *told, *small, *device]) == 0
    assert read_archive(tmp_path / "model").training.nphotons == pytest.approx(PHOTONS, rel=1e-4)
    assert main(["infer", str(tmp_path / "model"), scan, "-o", str(tmp_path / "result"), *told, *device]) == 0
    assert counted(tmp_path / "result") == pytest.approx(PHOTONS, rel=1e-4)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ptycho-train", "--nepochs", "3"], "--train_data_file is missing: no scan to train on"),
        (["ptycho-inference", "--test_data", "a.npz"], "--model_path is missing"),
        (["ptycho-inference", "--model_path", "m"], "--test_data is missing"),
        (
            ["ptycho-train", "--train_data_file", "a.npz", "--console-level", "loud"],
            "--console-level loud is not one of",
        ),
    ],
)
def test_what_is_missing_is_said(
    words: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert expected in capsys.readouterr().err


@pytest.fixture
def without_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")


@pytest.mark.usefixtures("without_path")
@pytest.mark.skipif(os.name == "nt", reason="a shell script is run")
def test_the_commands_of_the_original_are_installed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["legacy-commands", "--folder", str(tmp_path)]) == 0
    assert {file.name for file in tmp_path.iterdir()} == {"ptycho_train", "ptycho_inference"}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [tmp_path / "ptycho_train", "--nepochs", "3"], capture_output=True, text=True, check=False, env=environment
    )
    assert (done.returncode, done.stderr.split(":")[0]) == (2, "Error")
    assert "--train_data_file is missing" in done.stderr
    assert main(["legacy-commands", "--folder", str(tmp_path)]) == 0
    assert main(["legacy-commands", "--folder", str(tmp_path), "--remove"]) == 0
    assert not list(tmp_path.iterdir())
    assert "ptycho_inference" in capsys.readouterr().out


def occupy(folder: Path) -> None:
    (folder / "ptycho_inference").write_text("#!/bin/sh\n")


@pytest.mark.usefixtures("without_path")
@pytest.mark.parametrize("taken", [occupy])
def test_a_name_that_something_else_owns_is_left_alone(tmp_path: Path, taken: Callable[[Path], Any]) -> None:
    taken(tmp_path)
    with pytest.raises(ConfigError, match="is a command of something else"):
        install_launchers(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["ptycho_inference"]
    assert remove_launchers(tmp_path) == []
    assert (tmp_path / "ptycho_inference").is_file()


def test_a_command_elsewhere_on_the_path_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "bin"
    elsewhere.mkdir()
    occupy(elsewhere)
    (elsewhere / "ptycho_inference").chmod(0o755)
    monkeypatch.setenv("PATH", str(elsewhere))
    with pytest.raises(ConfigError, match="is a command already, at"):
        install_launchers(tmp_path / "scripts")
