"""How much of every patch is put together, and what is cut from the edges of the object."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend import PtychoModel
from ptychopinn_backend.cli import main
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import ConfigError, DataError
from ptychopinn_backend.runs.reconstruct import patch_weight
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction


@pytest.fixture(scope="module")
def model(scan: RawData) -> PtychoModel:
    model = PtychoModel("cnn", N=32, backend="pytorch", n_filters_scale=1, probe_big=True)
    return model.train(scan, nepochs=1, n_groups=16, accelerator="cpu", logger_backend="none")


@pytest.mark.parametrize("assembly", ["probe", "central"])
@pytest.mark.parametrize("crop_px", [1, 7, 12, 32])
def test_nothing_outside_of_the_crop_has_weight(assembly: str, crop_px: int, model: PtychoModel) -> None:
    network, probe = ModelConfig(N=32), np.ones((1, 32, 32), np.complex64)
    weight = patch_weight(assembly, probe, network, crop_px)
    rows = np.flatnonzero(weight.any(axis=1))
    assert rows[0] == (32 - crop_px) // 2
    assert len(rows) == crop_px
    whole = patch_weight(assembly, probe, network, 32 if assembly == "probe" else None)
    np.testing.assert_array_equal(whole, patch_weight(assembly, probe, network))


def test_the_crop_changes_the_object_and_keeps_its_frame(model: PtychoModel, scan: RawData) -> None:
    usual = model.infer(scan, assembly="central", polish_steps=0)
    same = model.infer(scan, assembly="central", polish_steps=0, crop_px=16)
    smaller = model.infer(scan, assembly="central", polish_steps=0, crop_px=10)
    np.testing.assert_array_equal(usual.object, same.object)
    assert smaller.object.shape == usual.object.shape
    assert np.abs(smaller.object - usual.object).max() > 0
    assert smaller.weight is not None
    assert usual.weight is not None
    assert smaller.weight.sum() < usual.weight.sum()


def test_a_crop_larger_than_a_patch_is_refused(model: PtychoModel, scan: RawData) -> None:
    with pytest.raises(ConfigError, match="M = 33 pixels cannot be cropped from a patch of N = 32"):
        model.infer(scan, crop_px=33)


def test_the_command_line_crops(
    model: PtychoModel, scan_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = model.save(tmp_path / "wts.h5.zip")
    words = ["infer", str(archive), str(scan_file), "-o", str(tmp_path), "--polish", "0", "-q", "--assembly", "central"]
    assert main([*words, "--crop", "10"]) == 0
    expected = model.infer(RawData.from_file(scan_file), assembly="central", polish_steps=0, crop_px=10)
    np.testing.assert_allclose(Reconstruction.load_npz(tmp_path / "reconstruction.npz").object, expected.object)
    assert main([*words, "--crop", "40"]) == 2
    assert "M must be in 1..N" in capsys.readouterr().err


def test_the_edge_of_an_object_is_cut(model: PtychoModel, scan: RawData) -> None:
    whole = model.infer(scan, polish_steps=0)
    cut = whole.without_edge(5)
    np.testing.assert_array_equal(cut.object, whole.object[5:-5, 5:-5])
    assert cut.origin_rc == (whole.origin_rc[0] - 5, whole.origin_rc[1] - 5)
    np.testing.assert_array_equal(whole.without_edge(0).object, whole.object)
    with pytest.raises(DataError, match="window = 500 leaves nothing of an object"):
        whole.without_edge(500)
