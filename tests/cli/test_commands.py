"""The command line as a person uses it: each command's files, words and exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.cli import main
from ptychopinn_backend.cli.main import COMMANDS

TRAIN = [
    "--backend",
    "pytorch",
    "--epochs",
    "2",
    "--filters-scale",
    "1",
    "--seed",
    "1",
    "--quiet",
    "--accelerator",
    "cpu",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a scan was simulated, a model trained and the scan reconstructed."""
    folder = tmp_path_factory.mktemp("cli")
    scan = str(folder / "scan.npz")
    assert main(["simulate", "-o", scan, "--size", "32", "--patterns", "48", "--photons", "1e5", "--seed", "2"]) == 0
    assert main(["train", scan, "-o", str(folder / "model"), *TRAIN]) == 0
    assert main(["infer", str(folder / "model"), scan, "-o", str(folder / "result"), "--quiet"]) == 0
    return folder


def test_train_and_infer_write_what_they_promise(folder: Path) -> None:
    for name in ("model/wts.h5.zip", "model/history.csv", "model/loss.png"):
        assert (folder / name).stat().st_size > 0
    for name in ("result/reconstruction.h5", "result/reconstruction.png"):
        assert (folder / name).stat().st_size > 0
    with np.load(folder / "result" / "reconstruction.npz") as found:
        assert found["object"].dtype == np.complex64
        assert found["object"].ndim == 2
        assert found["origin_rc"].shape == (2,)
        assert found["probe"].shape == (1, 32, 32)


def test_evaluate_prints_a_table_or_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        str(folder / "result" / "reconstruction.npz"),
        str(folder / "scan.npz"),
        "--truth",
        str(folder / "scan.npz"),
    ]
    assert main(["evaluate", *arguments]) == 0
    table = capsys.readouterr().out
    assert "R-factor" in table
    lines = table.splitlines()
    after = next(number for number, line in enumerate(lines) if "deviance per pixel" in line)
    assert "of photon noise alone" in lines[after + 1]
    assert "of held-out patterns" in lines[after + 2]
    assert main(["evaluate", *arguments, "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert 0 < numbers["r_factor"] < 1


def test_inspect_says_which_backend_trained(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(folder / "model"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["backend"] == "pytorch"


def test_quiet_prints_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["infer", str(folder / "model"), str(folder / "scan.npz"), "-o", str(folder / "again"), "--quiet"]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == ""


def test_a_yaml_file_configures_and_options_win(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "run.yaml").write_text(
        "nepochs: 7\nmodel:\n  n_filters_scale: 1\nbackend: pytorch\nexecution: {seed: 3}\n"
    )
    arguments = ["train", str(folder / "scan.npz"), "-o", str(folder / "yaml"), "--config", str(folder / "run.yaml")]
    assert main([*arguments, "--epochs", "1", "--quiet", "--set", "batch_size=8"]) == 0
    assert main(["inspect", str(folder / "yaml"), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["training"]["batch_size"] == 8
    assert shown["training"]["nepochs"] == 1


def test_resume_goes_on_to_the_same_weights(folder: Path) -> None:
    from ptychopinn_backend.archive import read_archive

    scan = str(folder / "scan.npz")
    # A run can be made longer where its rate does not depend on its length.
    base = ["--backend", "pytorch", "--filters-scale", "1", "--seed", "1", "--quiet", "--set", "scheduler=Default"]
    assert main(["train", scan, "-o", str(folder / "whole"), *base, "--epochs", "3"]) == 0
    assert main(["train", scan, "-o", str(folder / "part"), *base, "--epochs", "1"]) == 0
    assert main(["train", scan, "-o", str(folder / "part"), *base, "--epochs", "3", "--resume"]) == 0
    whole, part = (read_archive(folder / name) for name in ("whole", "part"))
    assert whole.history["loss"] == part.history["loss"]
    for name, array in whole.weights.items():
        np.testing.assert_array_equal(part.weights[name], array)


def test_set_reads_a_number_without_a_point(folder: Path, tmp_path: Path) -> None:
    from ptychopinn_backend.archive import read_archive

    settings = ["--set", "lr_min_ratio=1e-3", "--set", "plateau_min_lr=5E-6", "--set", "learning_rate=1e-3"]
    assert main(["train", str(folder / "scan.npz"), "-o", str(tmp_path), *TRAIN, "--epochs", "1", *settings]) == 0
    training = read_archive(tmp_path).training
    assert (training.lr_min_ratio, training.plateau_min_lr) == (1e-3, 5e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "absent.npz", "-o", "out"], "absent.npz"),
        (["train", "SCAN", "-o", "out", "--backend", "pytroch"], "Did you mean 'pytorch'"),
        (["train", "SCAN", "-o", "out", "--set", "batch_size=3"], "power of two"),
        (["train", "SCAN", "-o", "out", "--set", "batchsize=4"], "Did you mean 'batch_size'"),
        (["train", "SCAN", "-o", "out", "--set", "nonsense"], "KEY=VALUE"),
        (["train", "SCAN", "-o", "out", "--config", "absent.yaml"], "absent.yaml"),
        (["infer", "absent", "SCAN", "-o", "out"], "absent"),
        (["infer", "SCAN", "SCAN", "-o", "out"], "cannot be opened: it seems to be a NumPy NPZ file"),
        (["evaluate", "SCAN", "SCAN"], "reconstruction"),
        (["nonsense"], "No such command"),
        (["train"], "Missing option"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(
    arguments: list[str], words: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [str(folder / "scan.npz") if word == "SCAN" else word for word in arguments]
    filled = [str(tmp_path / word) if word == "out" else word for word in filled]
    assert main(filled) == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    last = message.strip().splitlines()[-1]
    assert re.search(words, last), message


def test_help_names_every_command_and_loads_no_framework() -> None:
    code = (
        "import sys; from ptychopinn_backend.cli import main; code = main(['--help']);"
        "assert not {'torch', 'tensorflow', 'matplotlib', 'skimage'} & set(sys.modules), sorted(sys.modules);"
        "sys.exit(code)"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    for name in COMMANDS:
        assert name in shown.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert "Usage" in capsys.readouterr().out
