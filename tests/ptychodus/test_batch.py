"""`ptychodus -b train` and `ptychodus -b reconstruct` as real processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from ptychodus.api.io import load_product

from ptychodus_plugin.product import save_training_data
from ptychopinn_backend.seam.child_process import GRACE_SECONDS
from tests.faults.fork_server import has_processes
from tests.ptychodus.scenes import WITHOUT_EVIDENCE, make_input, write_batch_folder

pytestmark = pytest.mark.slow


def settings(backend: str) -> dict[str, dict[str, str]]:
    """The smallest network; what the evidence decides is left out, `test_cycle` has it."""
    return {
        "Processing": {"Algorithm": "ptychopinn_pinn"},
        "PtychoPINNModel": {"Backend": backend, "NumFiltersScale": "1", "GridSize": "2", "Accelerator": "cpu"},
        "PtychoPINNTraining": {"NumEpochs": "2", **as_written("PtychoPINNTraining")},
        "PtychoPINNInference": as_written("PtychoPINNInference"),
    }


def as_written(group: str) -> dict[str, str]:
    return {key: str(value) for key, value in WITHOUT_EVIDENCE[group].items()}


@dataclass
class Done:
    """What a batch run left."""

    returncode: int
    stdout: str
    stderr: str


class Batch:
    """A batch run of the host, in a process group of its own."""

    def __init__(self, action: str, folder: Path, output: Path, **environment: str) -> None:
        program = Path(sys.executable).with_name("ptychodus")
        self._process = subprocess.Popen(
            [str(program), "-b", action, "-i", str(folder), "-o", str(output)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        )

    def finish(self) -> Done:
        """Wait for its end, and make sure that it leaves no process."""
        try:
            said, error = self._process.communicate(timeout=300)
            assert not has_processes(self._process.pid), "the batch run left a process behind"
        finally:
            self.kill()
        return Done(self._process.returncode, said, error)

    def interrupt(self) -> None:
        """Do what Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End it with all its processes."""
        if has_processes(self._process.pid):
            os.killpg(self._process.pid, signal.SIGKILL)


def run_batch(action: str, folder: Path, output: Path, **environment: str) -> Done:
    return Batch(action, folder, output, **environment).finish()


def last_error(done: Done) -> str:
    """The line in which the host says why a batch run failed."""
    return [line for line in done.stdout.splitlines() if "ptychodus.model.core: " in line and "failed" in line][-1]


@pytest.mark.parametrize(
    ("backend", "scans"), [("pytorch", ["train_data.npz"]), ("tensorflow", ["monday.npz", "tuesday.npz"])]
)
def test_train_then_reconstruct(backend: str, scans: list[str], tmp_path: Path) -> None:
    parameters, _ = make_input(step_px=8.0)
    chosen = settings(backend)
    chosen["PtychoPINNInference"] |= {"NumSamples": "2", "NumNearestNeighbors": "3"}
    folder = write_batch_folder(tmp_path / "in", parameters, chosen)
    count = len(parameters.diffraction_patterns)
    for name in (*scans, "test_data.npz"):
        save_training_data(folder / name, parameters)
    trained = run_batch("train", folder, tmp_path / "trained")
    assert trained.returncode == 0, trained.stdout[-3000:] + trained.stderr[-3000:]
    assert f"Training {backend} on {len(scans) * count} groups of {len(scans)} scan(s)" in trained.stdout
    shutil.copy(tmp_path / "trained" / "model.zip", folder / "model.zip")
    done = run_batch("reconstruct", folder, tmp_path / "out")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert f"Reconstructed with {backend} from {2 * count} groups around {count} positions" in done.stdout
    assert "NumNearestNeighbors = 3 is raised to 4" in done.stdout
    assert "chosen by the argument" not in trained.stdout + done.stdout
    assert ("TrainOn = 'auto' trains on monday.npz, tuesday.npz in" in trained.stdout) == (len(scans) > 1)
    product = load_product(tmp_path / "out" / "product.000100.h5")
    assert product.object_.get_geometry() == parameters.product.object_.get_geometry()
    assert len(product.losses) == 2


def test_archive_of_one_backend_reconstructs_with_the_other(archive: Path, tmp_path: Path) -> None:
    parameters, _ = make_input(step_px=8.0)
    folder = write_batch_folder(tmp_path / "in", parameters, settings("tensorflow"))
    shutil.copy(archive, folder / "model.zip")
    done = run_batch("reconstruct", folder, tmp_path / "out", PTYCHOPINN_BACKEND="tensorflow")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Archive trained with pytorch, opened with tensorflow" in done.stdout


def test_training_needs_patterns_and_product_only(tmp_path: Path) -> None:
    """A batch run stages nothing else, and neither does a training on another machine."""
    parameters, _ = make_input(step_px=10.0)
    folder = write_batch_folder(tmp_path / "in", parameters, settings("pytorch"))
    done = run_batch("train", folder, tmp_path / "out")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "groups of 1 scan(s)" in done.stdout
    assert (tmp_path / "out" / "model.zip").is_file()


def test_unknown_backend_in_the_settings_file_fails_with_one_clear_line(archive: Path, tmp_path: Path) -> None:
    parameters, _ = make_input(step_px=12.0)
    folder = write_batch_folder(tmp_path / "in", parameters, settings("foo"))
    shutil.copy(archive, folder / "model.zip")
    done = run_batch("reconstruct", folder, tmp_path / "out")
    assert done.returncode != 0
    assert "Reconstruction failed: ConfigError: Backend 'foo' from the setting" in last_error(done)
    assert "tensorflow, pytorch" in last_error(done)


def test_unreadable_training_data_fails_with_one_clear_line(tmp_path: Path) -> None:
    parameters, _ = make_input(step_px=12.0)
    folder = write_batch_folder(tmp_path / "in", parameters, settings("pytorch"))
    (folder / "train_data.npz").write_bytes(b"not an archive")
    done = run_batch("train", folder, tmp_path / "out")
    assert done.returncode != 0
    assert "Training failed: DataError" in last_error(done)
    assert "is not an NPZ file" in last_error(done)


def test_foreign_model_file_fails_with_one_clear_line(tmp_path: Path) -> None:
    parameters, _ = make_input(step_px=12.0)
    folder = write_batch_folder(tmp_path / "in", parameters, settings("pytorch"))
    (folder / "model.zip").write_text("hello")
    done = run_batch("reconstruct", folder, tmp_path / "out")
    assert done.returncode != 0
    (line,) = [line for line in done.stdout.splitlines() if "Load failed: " in line]
    assert "model.zip" in line
    assert "seems to be a text file" in line


def test_two_hosts_reconstruct_with_one_archive_at_once(archive: Path, tmp_path: Path) -> None:
    parameters, _ = make_input(step_px=10.0)
    folder = write_batch_folder(tmp_path / "in", parameters, settings("pytorch"))
    shutil.copy(archive, folder / "model.zip")
    both = [Batch("reconstruct", folder, tmp_path / name) for name in ("one", "other")]
    for run in both:
        done = run.finish()
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    one, other = (load_product(tmp_path / name / "product.000100.h5").object_ for name in ("one", "other"))
    np.testing.assert_array_equal(one.get_array(), other.get_array())


def test_two_hosts_train_into_one_folder_and_the_second_is_refused(tmp_path: Path) -> None:
    parameters, _ = make_input(step_px=10.0)
    chosen = settings("pytorch")
    chosen["PtychoPINNTraining"]["NumEpochs"] = "100000"
    folder = write_batch_folder(tmp_path / "in", parameters, chosen)
    save_training_data(folder / "train_data.npz", parameters)
    first = Batch("train", folder, tmp_path / "out")
    try:
        ends = time.monotonic() + 120
        while not (tmp_path / "out" / "checkpoints" / "best.zip").is_file():
            assert time.monotonic() < ends, "the first training has not begun"
            time.sleep(0.1)
        second = run_batch("train", folder, tmp_path / "out")
    finally:
        first.kill()
    first.finish()
    assert second.returncode != 0
    assert "Training failed: TrainingError" in last_error(second)
    assert "is in use by another training. Wait until that one ends" in last_error(second)
    assert not (tmp_path / "out" / "model.zip").exists()


def test_a_near_field_product_of_a_folder_is_not_trained_on(tmp_path: Path) -> None:
    parameters, _ = make_input(step_px=12.0)
    if not hasattr(parameters.product.metadata, "far_field"):
        pytest.skip("this version of Ptychodus knows the far field only")
    near = replace(parameters.product, metadata=replace(parameters.product.metadata, far_field=False))
    folder = write_batch_folder(tmp_path / "in", replace(parameters, product=near), settings("pytorch"))
    done = run_batch("train", folder, tmp_path / "out")
    assert done.returncode != 0
    assert "far_field = False" in last_error(done)
    assert "computes the far field only. Choose another algorithm" in last_error(done)
    assert not (tmp_path / "out" / "model.zip").exists()


def test_control_c_ends_a_training_and_its_child(tmp_path: Path) -> None:
    parameters, _ = make_input(step_px=10.0)
    chosen = settings("pytorch")
    chosen["PtychoPINNTraining"]["NumEpochs"] = "100000"
    folder = write_batch_folder(tmp_path / "in", parameters, chosen)
    run = Batch("train", folder, tmp_path / "out")
    ends = time.monotonic() + 120
    while not (tmp_path / "out" / "checkpoints" / "best.zip").is_file():
        assert time.monotonic() < ends, "the training has not begun"
        time.sleep(0.1)
    pressed = time.monotonic()
    run.interrupt()
    done = run.finish()
    assert time.monotonic() - pressed < GRACE_SECONDS + 5
    assert done.returncode != 0
    # Who decided is said, and that was nobody's argument.
    assert "Backend pytorch, chosen by the setting" in done.stdout
    assert "chosen by the argument" not in done.stdout
