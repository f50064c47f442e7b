"""`ptychopinn simulate` writes scans that the package reads."""

from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.cli.main import main
from ptychopinn_backend.data.raw_data import RawData

SMALL = ["--size", "32", "--patterns", "20", "--photons", "1e4"]


def test_one_scan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "scan.npz"
    options = [*SMALL, "--probe", "zone_plate", "--modes", "2", "--bad-pixels", "0.01", "--seed", "3"]
    assert main(["simulate", "-o", str(file), *options]) == 0
    assert f"Wrote {file}: 20 patterns of 32 x 32 pixels, 10000 photons each" in capsys.readouterr().out
    raw = RawData.from_file(file)
    assert raw.diff3d.shape == (20, 32, 32)
    assert raw.probeGuess is not None
    assert raw.probeGuess.shape == (2, 32, 32)
    assert raw.objectGuess is not None
    assert raw.bad_pixels is not None
    assert raw.metadata["simulation"]["seed"] == 3


def test_many_scans_from_yaml(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text("scans: [{name: a}, {object: lines, repeat: 2}]")
    out = tmp_path / "out"
    assert main(["simulate", "-o", str(out), "--config", str(tmp_path / "plan.yaml"), *SMALL]) == 0
    assert sorted(file.name for file in out.iterdir()) == ["a.npz", "scan_001_000.npz", "scan_001_001.npz"]


# A plane wave without a sample puts all light on one pixel, which no scan does.
@pytest.mark.filterwarnings("ignore::ptychopinn_backend.errors.ScanWarning")
def test_a_file_option_is_enough(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", probeGuess=np.ones((32, 32)), objectGuess=np.ones((90, 90), np.complex64))
    given = str(tmp_path / "in.npz")
    file = tmp_path / "scan.npz"
    assert main(["simulate", "-o", str(file), *SMALL, "--object-file", given, "--probe-file", given]) == 0
    obj = RawData.from_file(file).objectGuess
    assert obj is not None
    assert (obj == 1).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "scan.npz", "--size", "31"], "size = 31 must be even"),
        (["-o", "scan"], "-o scan must end in '.npz'"),
        (["-o", "scan.npz", "--config", "nothing.yaml"], "'nothing.yaml' does not exist"),
        (["-o", "scan.npz", "--probe-file", "nothing.npz"], "nothing.npz does not exist"),
        (["-o", "many.npz", "--config", "plan.yaml"], "names a file, but 'plan.yaml' lists scans"),
        ([], "Missing option"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.yaml").write_text("scans: [{}]")
    assert main(["simulate", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["plan.yaml"]
