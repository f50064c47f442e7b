"""Two trainings into one folder: the second is refused, and a killed first one is no hindrance."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ptychopinn_backend.cli import main
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.errors import TrainingError
from ptychopinn_backend.files.training_lock import LOCK_NAME, training_lock

HOLDER = """
import sys
from pathlib import Path
from ptychopinn_backend.files.training_lock import training_lock
with training_lock(Path(sys.argv[1]) / "checkpoints"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that trains into `tmp_path / "model"`, as far as the lock can tell."""
    arguments = [sys.executable, "-c", HOLDER, str(tmp_path / "model")]
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def train(folder: Path) -> int:
    scan = folder / "scan.npz"
    simulate_scan(SimulationConfig(size=32, patterns=4, photons=1e4), seed=0).to_file(scan)
    return main(["train", str(scan), "-o", str(folder / "model"), "--backend", "pytorch", "--quiet"])


def test_the_second_training_is_refused(
    holder: subprocess.Popen[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path) == 2
    held = tmp_path / "model" / "checkpoints"
    assert capsys.readouterr().err.splitlines() == [
        f"Error: '{held}' is in use by another training. Wait until that one ends, or choose another output folder."
    ]
    found = [str(file.relative_to(tmp_path / "model")) for file in (tmp_path / "model").rglob("*")]
    assert found == ["checkpoints", f"checkpoints/{LOCK_NAME}"]


def test_a_killed_training_leaves_no_lock(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    with (
        pytest.raises(TrainingError, match="in use by another training"),
        training_lock(tmp_path / "model" / "checkpoints"),
    ):
        pass
    holder.kill()
    holder.wait()
    with training_lock(tmp_path / "model" / "checkpoints"):
        pass


def test_one_process_does_not_train_twice_into_a_folder(tmp_path: Path) -> None:
    with (
        training_lock(tmp_path),
        pytest.raises(TrainingError, match=r"choose another output folder\."),
        training_lock(tmp_path),
    ):
        pass


def test_what_a_killed_writer_left_is_cleared(tmp_path: Path) -> None:
    (tmp_path / ".wts.h5.zip.0123456789abcdef.tmp").write_bytes(b"half")
    (tmp_path / "mine.tmp").write_bytes(b"kept")
    with training_lock(tmp_path):
        assert sorted(file.name for file in tmp_path.iterdir()) == [LOCK_NAME, "mine.tmp"]
