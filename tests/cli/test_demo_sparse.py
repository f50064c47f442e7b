"""`ptychopinn demo --sparse` on a scan of a few patterns."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from ptychopinn_backend.cli import main
from ptychopinn_backend.data.raw_data import RawData


def test_it_keeps_a_quarter_and_an_eighth_of_the_positions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "sparse"
    command = ["demo", "--sparse", "-o", str(folder), "--patterns", "160", "--epochs", "1", "--backend", "pytorch"]
    assert main(command) == 0
    told = json.loads((folder / "sparse.json").read_text())
    assert [row["positions"] for row in told] == [160, 40, 20]
    whole = RawData.from_file(folder / "scan_160.npz")
    part = RawData.from_file(folder / "scan_20.npz")
    assert {tuple(place) for place in part.positions_xy} < {tuple(place) for place in whole.positions_xy}
    # The whole scan is easy for either; with every eighth position the patterns hardly overlap.
    assert told[0]["classical_r_free"] < 0.1 < told[2]["classical_r_free"]
    image = matplotlib.image.imread(folder / "sparse.png")
    assert image.shape[1] > image.shape[0] > 500
    assert np.ptp(image[..., :3]) > 0.5
    assert "160 positions: R-free" in capsys.readouterr().out


def test_too_few_positions_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["demo", "--sparse", "-o", str(tmp_path), "--patterns", "12", "--epochs", "1", "--backend", "pytorch"]
    assert main([*command, "--quiet"]) == 2
    assert "12 positions are too few to hold any out" in capsys.readouterr().err
