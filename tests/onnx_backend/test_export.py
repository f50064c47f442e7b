"""`ptychopinn export`: a file that any runtime of ONNX runs, and that reads back as the model it was."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from ptychopinn_backend.archive import read_archive, read_metadata, write_archive
from ptychopinn_backend.cli import main
from ptychopinn_backend.errors import DamagedArchiveError, ForeignArchiveError
from ptychopinn_backend.onnx_backend.physics import ProbeInputs
from ptychopinn_backend.runs.trained_model import TrainedModel
from tests.archive.foreign import torch_models
from tests.archive.foreign.keras_models import KerasVariant, example_patterns, write
from tests.archive.foreign.predictions import network_patches
from tests.archive.foreign.torch_models import TorchVariant
from tests.contract.array_source import ArraySource
from tests.contract.builders import source_for
from tests.contract.generators import SMALL
from tests.onnx_backend.conftest import MakeArchive

TOLERANCE = 1e-5
NETWORKS: dict[str, dict[str, Any]] = {
    "cnn": {},
    "cnn, groups of four": {"gridsize": 2},
    "one patch for the group": {"gridsize": 2, "object_big": False},
    "trainable probe": {"probe_trainable": True, "batch_norm": True},
    "back-projection, trained on groups": {"architecture": "backprojection_unet", "gridsize": 2},
    "fno": {"architecture": "fno"},
    "ffno": {"architecture": "ffno"},
    "fno_vanilla": {"architecture": "fno_vanilla"},
    "hybrid": {"architecture": "hybrid"},
    "hybrid_resnet": {"architecture": "hybrid_resnet", "gridsize": 2},
}


def _exported(archive: Path) -> Path:
    file = archive.parent / "model.onnx"
    assert main(["export", str(archive), "-o", str(file), "--quiet"]) == 0
    return file


def _run(session: onnxruntime.InferenceSession, source: ArraySource, factor: float, rows: slice) -> np.ndarray:
    """Give a session what its inputs ask for, amplitudes larger by a factor than normalised ones."""
    probe = ProbeInputs.of(source.probes[0], source.valid_pixels[0]).as_inputs()
    known = {
        "amplitudes": np.moveaxis(source.X[rows], -1, 1) * np.float32(factor),
        "normalisation": np.asarray(1 / factor, np.float32),
        "local_offsets": source.local_offsets[rows],
        **probe,
    }
    feed = {item.name: np.ascontiguousarray(known[item.name]) for item in session.get_inputs()}
    real, imaginary = session.run(["patch_real", "patch_imaginary"], feed)
    return np.moveaxis(real + 1j * imaginary, 1, -1)


@dataclass(frozen=True)
class Export:
    """An archive and the file made of it."""

    options: dict[str, Any]
    archive: Path
    file: Path


@pytest.fixture(scope="module", params=NETWORKS)
def export(request: pytest.FixtureRequest, make_archive: MakeArchive) -> Export:
    options = {**SMALL, **NETWORKS[request.param]}
    archive = make_archive(**options)
    return Export(options, archive, _exported(archive))


def test_a_plain_runtime_computes_the_patches_of_the_framework(export: Export) -> None:
    options, archive, file = export.options, export.archive, export.file
    onnx.checker.check_model(onnx.load(file), full_check=True)
    model = TrainedModel.load(archive, "pytorch", to_predict=True)
    source = source_for({**options, "gridsize": model.model.gridsize}, n_groups=5)
    expected = np.concatenate(list(model.backend.predict(source, 5)))
    session = onnxruntime.InferenceSession(file)
    for rows in (slice(0, 1), slice(0, 5), slice(2, 5)):
        found = _run(session, source, 40.0, rows)
        np.testing.assert_allclose(found, expected[rows], atol=TOLERANCE * np.abs(expected).max())


def test_it_reads_back_as_the_model_it_was(export: Export) -> None:
    file, content = export.file, read_archive(export.archive)
    found = read_archive(file)
    gridsize = 1 if content.model.architecture == "backprojection_unet" else content.model.gridsize
    assert found.model == replace(content.model, gridsize=gridsize)
    assert found.weights.keys() == content.weights.keys()
    for weight, array in content.weights.items():
        np.testing.assert_array_equal(found.weights[weight], array)
        assert found.weights[weight].dtype == array.dtype
    np.testing.assert_array_equal(found.probes, content.probes)
    np.testing.assert_array_equal(found.params.pop("probe"), content.params.pop("probe"))
    same = ("backend", "intensity_scale", "history", "params", "versions", "created", "package_version", "seed")
    assert [getattr(found, field) for field in same] == [getattr(content, field) for field in same]
    assert read_metadata(file)["model"] == asdict(found.model)


def test_a_model_that_tensorflow_trained(make_archive: MakeArchive) -> None:
    archive = make_archive("tensorflow", gridsize=2)
    model = TrainedModel.load(archive, "tensorflow", to_predict=True)
    source = source_for({"gridsize": 2}, n_groups=5)
    expected = np.concatenate(list(model.backend.predict(source, 5)))
    found = _run(onnxruntime.InferenceSession(_exported(archive)), source, 40.0, slice(0, 5))
    np.testing.assert_allclose(found, expected, atol=TOLERANCE * np.abs(expected).max())


def test_a_model_of_another_program_that_is_read_here(tmp_path: Path) -> None:
    variant = TorchVariant(gridsize=2)
    module = torch_models.build(variant)
    archive = write(tmp_path / "wts.h5.zip", torch_models.members(module, variant))
    patterns = 5 * example_patterns(KerasVariant(N=variant.N, gridsize=2), 2)
    found = network_patches(_exported(archive), patterns, "onnx")
    np.testing.assert_allclose(found, torch_models.patches(module, patterns), atol=TOLERANCE, rtol=0)


def test_it_opens_in_every_backend_and_in_its_own_where_none_is_named(
    make_archive: MakeArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PTYCHOPINN_BACKEND", raising=False)
    file = _exported(make_archive())
    source = source_for({}, n_groups=3)
    patches = {}
    for backend in (None, "onnx", "pytorch", "tensorflow"):
        model = TrainedModel.load(file, backend)
        assert model.backend_name == (backend or "onnx")
        assert model.trained_by == "pytorch"
        patches[backend] = next(model.backend.predict(source, 3))
        np.testing.assert_allclose(patches[backend], patches[None], atol=TOLERANCE * np.abs(patches[None]).max())
    again = write_archive(tmp_path / "again.zip", read_archive(file))
    assert TrainedModel.load(again).backend_name == "pytorch"


def test_the_probe_of_the_archive_stands_in_for_one_that_is_not_given(make_archive: MakeArchive) -> None:
    options = {"architecture": "backprojection_unet"}
    session = onnxruntime.InferenceSession(_exported(make_archive(**options)))
    source = source_for(options, n_groups=4)
    assert [item.name for item in session.get_inputs()] == ["amplitudes", "normalisation"]
    feed = {"amplitudes": np.moveaxis(source.X, -1, 1), "normalisation": np.ones((), np.float32)}
    given = ProbeInputs.of(source.probes[0]).as_inputs()
    for found, expected in zip(session.run(None, feed), session.run(None, {**feed, **given}), strict=True):
        np.testing.assert_array_equal(found, expected)
    other = ProbeInputs.of(np.conj(source.probes[0])).as_inputs()
    assert np.abs(session.run(None, {**feed, **other})[0] - found).max() > 1e-3


def test_a_changed_file_is_refused(make_archive: MakeArchive) -> None:
    file = _exported(make_archive())
    whole = file.read_bytes()
    model = onnx.load(file)
    kernel = next(item for item in model.graph.initializer if item.name == "encoder/stage0/conv0/kernel")
    kernel.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(kernel) * 2, kernel.name))
    onnx.save(model, file)
    with pytest.raises(DamagedArchiveError, match=r"its weights do not match.*changed after it was exported"):
        read_archive(file)
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DamagedArchiveError, match="no whole file of ONNX"):
        read_archive(file)


def test_weights_kept_elsewhere_are_refused(make_archive: MakeArchive) -> None:
    file = _exported(make_archive())
    model = onnx.load(file)
    (file.parent / "secret").write_bytes(b"0" * 10**6)
    onnx.external_data_helper.convert_model_to_external_data(model, location="secret", size_threshold=0)
    onnx.save(model, file)
    with pytest.raises(DamagedArchiveError, match="not kept as single precision in the file itself"):
        read_archive(file)


def test_a_model_of_another_program_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.onnx"
    node = onnx.helper.make_node("Identity", ["a"], ["b"])
    a, b = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "ab")
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "g", [a], [b])), file)
    with pytest.raises(ForeignArchiveError, match="'ptychopinn export' did not write"):
        read_archive(file)


def test_the_export_of_an_export_is_the_same(make_archive: MakeArchive, tmp_path: Path) -> None:
    file = _exported(make_archive(gridsize=2))
    assert main(["export", str(file), "-o", str(tmp_path / "again.onnx"), "--quiet"]) == 0
    assert (tmp_path / "again.onnx").read_bytes() == file.read_bytes()


def test_the_model_itself_is_not_overwritten(make_archive: MakeArchive, capsys: pytest.CaptureFixture[str]) -> None:
    archive = make_archive()
    before = archive.read_bytes()
    assert main(["export", str(archive), "-o", str(archive)]) == 2
    assert "names the model that is exported" in capsys.readouterr().err
    assert archive.read_bytes() == before


def test_a_network_without_finite_patches_is_not_written(
    make_archive: MakeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = make_archive(amp_activation="relu")
    content = read_archive(archive)
    huge = {name: np.full_like(array, 3e38) if "bias" in name else array for name, array in content.weights.items()}
    write_archive(archive, replace(content, weights=huge))
    assert main(["export", str(archive), "-o", str(archive.parent / "model.onnx")]) == 2
    assert "nothing was written" in capsys.readouterr().err
    assert not (archive.parent / "model.onnx").exists()
