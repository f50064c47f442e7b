"""`ptychopinn convert-model` and the commands that read such models as they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend import PtychoModel, load_inference_bundle, params
from ptychopinn_backend.archive import read_archive
from ptychopinn_backend.cli import main

from ..archive.foreign import keras_models, torch_models
from ..archive.foreign.keras_models import KerasVariant
from ..archive.foreign.test_saved_model import members as saved_members
from ..archive.foreign.torch_models import TorchVariant

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras")
SMALL = ("--backend", "pytorch", "--accelerator", "cpu", "--quiet")


KINDS = {
    "keras": ("a TensorFlow archive of PtychoPINN", 812.5),
    "saved model": ("a TensorFlow archive of PtychoPINN from before August 2025", 812.5),
    "torch": ("a PyTorch archive of PtychoPINN", 812.5),
    "checkpoint": ("a Lightning checkpoint of ptychopinn-torch", 10000.0),
}
"""Kind -> how it is called, and its scale."""


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """One of the programs that users of the original come from."""
    return str(request.param)


@pytest.fixture(scope="module")
def old(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training with the original PtychoPINN wrote: a folder with an archive, or a checkpoint."""
    folder = tmp_path_factory.mktemp("old")
    if kind == "keras":
        variant = KerasVariant(N=32, gridsize=2)
        members = keras_models.members(keras_models.build(variant), variant, tmp_path_factory.mktemp("x"))
        keras_models.write(folder / "wts.h5.zip", members)
        return folder
    if kind == "saved model":
        variant = KerasVariant(N=32, gridsize=2)
        members = saved_members(keras_models.build(variant), variant, tmp_path_factory.mktemp("x"))
        keras_models.write(folder / "wts.h5.zip", members)
        return folder
    network = TorchVariant(N=32, gridsize=2)
    if kind == "torch":
        keras_models.write(folder / "wts.h5.zip", torch_models.members(torch_models.build(network), network))
        return folder
    (folder / "last.ckpt").write_bytes(torch_models.checkpoint(torch_models.build(network), network))
    return folder / "last.ckpt"


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("scan") / "scan.npz"
    assert main(["simulate", "-o", str(file), "--size", "32", "--patterns", "30", "--photons", "1e5"]) == 0
    return file


def test_a_model_is_converted(kind: str, old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = tmp_path / "new" / "wts.h5.zip"
    assert main(["convert-model", str(old), "-o", str(new)]) == 0
    assert f"from {KINDS[kind][0]}: 32 x 32 patterns, gridsize 2" in capsys.readouterr().out
    before, after = read_archive(old), read_archive(new)
    assert before.model == after.model
    for name, array in before.weights.items():
        np.testing.assert_array_equal(array, after.weights[name], err_msg=name)
    assert main(["convert-model", str(new), "-o", str(tmp_path), "-q"]) == 0
    assert (tmp_path / "wts.h5.zip").is_file()


def test_the_old_file_is_never_overwritten(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = old / "wts.h5.zip" if old.is_dir() else old
    before = file.read_bytes()
    for target in {old, file}:
        assert main(["convert-model", str(old), "-o", str(target)]) == 2
        assert "names the model that is converted. Name another file" in capsys.readouterr().err
    assert file.read_bytes() == before


def test_it_is_inspected(kind: str, old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(old)]) == 0
    assert f"trained as       {KINDS[kind][0]}" in capsys.readouterr().out
    assert main(["inspect", str(old), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["model"]["gridsize"] == 2
    assert summary["converted_from"] == KINDS[kind][0]


def test_it_infers_and_starts_a_training(old: Path, scan: Path, tmp_path: Path) -> None:
    assert main(["infer", str(old), str(scan), "-o", str(tmp_path / "result"), "--polish", "0", *SMALL]) == 0
    with np.load(tmp_path / "result" / "reconstruction.npz") as result:
        assert np.isfinite(result["object"]).all()
    words = ["train", str(scan), "-o", str(tmp_path / "trained"), "--init", str(old), "--epochs", "1", *SMALL]
    assert main([*words, "--preset", "legacy"]) == 0
    started, ended = read_archive(old), read_archive(tmp_path / "trained")
    assert ended.model.gridsize == started.model.gridsize == 2
    kernel = "encoder/stage0/conv0/kernel"
    np.testing.assert_allclose(ended.weights[kernel], started.weights[kernel], atol=0.02)


def test_python_opens_it(kind: str, old: Path) -> None:
    model = PtychoModel.load(old, backend="pytorch")
    assert (model.config.N, model.config.gridsize) == (32, 2)
    before = params.snapshot()
    try:
        trained, restored = load_inference_bundle(old, backend="pytorch")
        assert trained.model == model.config
        assert (restored["N"], restored["intensity_scale"]) == (32, KINDS[kind][1])
        assert kind not in ("keras", "saved model") or restored["probe"].shape == (32, 32, 1)
        assert params.get("bigN") == 36
    finally:
        params.restore(before)
