"""An instrument's computer: neither framework can be imported, and models of both reconstruct."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend import Reconstruction
from ptychopinn_backend.archive import read_archive, write_archive
from ptychopinn_backend.cli import main
from tests.factory.interpreters import environment_without, run

FRAMEWORKS = ("torch", "lightning", "pytorch_lightning", "functorch", "tensorflow", "keras")
PROGRAM = """
import logging
from ptychopinn_backend.cli import main
said = []
class Listener(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())
logging.getLogger("ptychopinn_backend.scans").addHandler(Listener())
codes = [main(["infer", model, {scan!r}, "-o", out, "--accelerator", "cpu"]) for model, out in {jobs!r}]
train = main(["train", {scan!r}, "-o", {folder!r}, "--epochs", "1"])
print(json.dumps([codes, train, loaded("torch", "tensorflow"), loaded("onnxruntime"), said]))
"""


@pytest.fixture
def models(tmp_path: Path) -> list[Path]:
    """A model as its archive, the same as one of TensorFlow, and as ONNX."""
    scan, model = str(tmp_path / "scan.npz"), tmp_path / "model"
    assert main(["simulate", "-o", scan, "--size", "32", "--patterns", "30"]) == 0
    small = ["--quiet", "--backend", "pytorch", "--accelerator", "cpu", "--epochs", "1", "--filters-scale", "1"]
    assert main(["train", scan, "-o", str(model), *small]) == 0
    content = read_archive(model)
    other = write_archive(tmp_path / "other.zip", replace(content, backend="tensorflow"))
    assert main(["export", str(model), "-o", str(tmp_path / "model.onnx"), "--quiet"]) == 0
    return [model / "wts.h5.zip", other, tmp_path / "model.onnx"]


@pytest.mark.slow
def test_infer_takes_onnx_runtime_and_says_so(models: list[Path], tmp_path: Path) -> None:
    jobs = [(str(model), str(tmp_path / f"out{index}")) for index, model in enumerate(models)]
    scan = str(tmp_path / "scan.npz")
    (tmp_path / "packages").mkdir()
    paths = environment_without(tmp_path / "packages", *FRAMEWORKS)
    program = PROGRAM.format(scan=scan, jobs=jobs, folder=str(tmp_path / "again"))
    codes, train, frameworks, runtime, said = run(program, paths)
    assert codes == [0, 0, 0]
    assert train == 2
    assert (frameworks, runtime) == ([], ["onnxruntime"])
    told = [line for line in said if "takes its place" in line]
    assert ["PyTorch" in line for line in told] == [True, False]
    assert "TensorFlow, which is not installed" in told[1]
    assert main(["infer", str(models[0]), scan, "-o", str(tmp_path / "reference"), "--backend", "pytorch", "-q"]) == 0
    expected = Reconstruction.load_npz(tmp_path / "reference" / "reconstruction.npz").object
    for _, folder in jobs:
        found = Reconstruction.load_npz(Path(folder) / "reconstruction.npz")
        assert found.backend == "onnx"
        # Patches agree to 1e-6, and the polish takes the same steps from them.
        np.testing.assert_allclose(found.object, expected, atol=2e-5 * np.abs(expected).max())
