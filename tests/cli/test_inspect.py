"""`ptychopinn inspect` tells what an archive holds, as text and as JSON."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.archive import ArchiveContent, write_archive
from ptychopinn_backend.cli.main import main
from ptychopinn_backend.config import ModelConfig, TrainingConfig

CONTENT = ArchiveContent(
    backend="pytorch",
    model=ModelConfig(N=128, gridsize=2),
    training=TrainingConfig(model=ModelConfig(N=128, gridsize=2), nepochs=3),
    intensity_scale=12.5,
    weights={"a": np.zeros((3, 4), np.float32), "probe": np.zeros(5, np.complex64), "b": np.float32(1)},
    history={"loss": [3.0, 2.0, 1.25], "val_loss": [3.0, 2.0, float("nan")]},
    versions={"torch": "2.13.0\x1b[31m"},
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_archive(tmp_path / "wts.h5.zip", CONTENT)
    return tmp_path


def test_json_holds_what_scripts_need(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(folder), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["backend"] == "pytorch"
    assert summary["format_version"] == 1
    assert summary["model"]["N"] == 128
    assert summary["training"]["nepochs"] == 3
    assert summary["epochs"] == 3
    assert summary["final_losses"] == {"loss": 1.25, "val_loss": None}
    assert summary["weights"] == {"arrays": 3, "parameters": 18, "bytes": 4 * 12 + 8 * 5 + 4}


def test_text_names_backend_losses_and_configuration(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(folder / "wts.h5.zip")]) == 0
    text = capsys.readouterr().out
    for words in (
        "backend          pytorch",
        "18 numbers in 3 arrays",
        "loss: 1.25",
        "val_loss: not finite",
        "  N: 128",
    ):
        assert words in text
    assert "\x1b" not in text


def test_an_untrained_archive_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_archive(tmp_path / "wts.h5.zip", replace(CONTENT, history={}))
    assert main(["inspect", str(tmp_path)]) == 0
    assert "epochs           0" in capsys.readouterr().out


def test_no_archive_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tmp_path / "nothing")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("Error: ")
    assert "holds no archive" in error
    assert len(error.splitlines()) == 1
