"""Training data that the host itself exports are read, from NPZ and from HDF5."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ptychodus.api import io
from ptychodus.api.io import save_product

from ptychodus_plugin.product import raw_data_of
from ptychodus_plugin.product import save_training_data as save_our_training_data
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.data.dataset import create_dataset
from ptychopinn_backend.data.decisions import LOGGER
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import ScanWarning
from tests.ptychodus.scenes import export_as_the_host, make_input

needs_newer_export = pytest.mark.skipif(
    not hasattr(io, "save_training_data"), reason="Ptychodus 1.6 exports NPZ only, and without a mask"
)


@needs_newer_export
def test_both_exports_of_the_host_are_read(tmp_path: Path) -> None:
    parameters, _ = make_input()
    expected = raw_data_of(parameters)
    io.save_training_data(tmp_path / "train.h5", parameters)
    export_as_the_host(tmp_path / "train.npz", parameters)
    hdf5 = RawData.from_file(tmp_path / "train.h5")
    with pytest.warns(ScanWarning, match="half a pixel"):
        npz = RawData.from_file(tmp_path / "train.npz")
    for raw in (hdf5, npz):
        np.testing.assert_array_equal(raw.diff3d, expected.diff3d)
        np.testing.assert_array_equal(raw.probeGuess, expected.probeGuess)
        np.testing.assert_array_equal(raw.objectGuess, expected.objectGuess)
    np.testing.assert_allclose(hdf5.positions_xy, expected.positions_xy, atol=1e-9)


@needs_newer_export
def test_a_folder_of_exports_becomes_one_data_set(tmp_path: Path) -> None:
    parameters, _ = make_input()
    (tmp_path / "exports").mkdir()
    io.save_training_data(tmp_path / "exports" / "first.h5", parameters)
    export_as_the_host(tmp_path / "exports" / "second.npz", parameters)
    raw = raw_data_of(parameters)
    with pytest.warns(ScanWarning, match="half a pixel"):
        dataset = create_dataset(tmp_path / "exports", tmp_path / "set", ModelConfig(N=raw.N))
    assert dataset.n_patterns == 2 * raw.n_patterns
    np.testing.assert_allclose(dataset.mean_photons, raw.mean_photons, rtol=1e-6)


@needs_newer_export
def test_a_product_beside_it_settles_what_the_export_of_the_host_leaves_open(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parameters, _ = make_input(step_px=9.0)
    expected = raw_data_of(parameters)
    export_as_the_host(tmp_path / "train_data.npz", parameters)
    save_product(tmp_path / "thursday.h5", parameters.product)
    with pytest.warns(
        ScanWarning, match="half a pixel beside its objectGuess. Put its product beside it, under a name"
    ):
        alone = RawData.from_file(tmp_path / "train_data.npz")
    np.testing.assert_allclose(alone.positions_xy + 0.5, expected.positions_xy, atol=1e-9)
    # A product of another scan settles nothing.
    save_product(tmp_path / "product.h5", make_input(step_px=9.0, seed=2)[0].product)
    with pytest.warns(ScanWarning, match="half a pixel"):
        np.testing.assert_array_equal(RawData.from_file(tmp_path / "train_data.npz").positions_xy, alone.positions_xy)
    caplog.clear()
    save_product(tmp_path / "product.h5", parameters.product)
    with caplog.at_level("INFO", LOGGER):
        beside = RawData.from_file(tmp_path / "train_data.npz")
    np.testing.assert_allclose(beside.positions_xy, expected.positions_xy, atol=1e-6)
    assert "is Ptychodus' own export of product.h5" in caplog.text
    assert "--measurement" not in caplog.text


def test_our_export_says_where_its_pixels_lie(tmp_path: Path) -> None:
    save_our_training_data(tmp_path / "train_data.npz", make_input(step_px=16.0)[0])
    assert "half a pixel lower" in RawData.from_file(tmp_path / "train_data.npz").metadata["positions"]


def test_an_export_without_a_mask_is_known_by_its_product_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As Ptychodus 1.6 writes it; files of PtychoPINN have the same names."""
    parameters, _ = make_input(step_px=9.0)
    export_as_the_host(tmp_path / "whole.npz", parameters)
    with np.load(tmp_path / "whole.npz") as whole:
        np.savez(tmp_path / "train_data.npz", **{name: whole[name] for name in whole.files if name != "bad_pixels"})
    with caplog.at_level("INFO", LOGGER):
        alone = RawData.from_file(tmp_path / "train_data.npz")
    assert "Ptychodus" not in caplog.text
    save_product(tmp_path / "product.h5", parameters.product)
    beside = RawData.from_file(tmp_path / "train_data.npz")
    np.testing.assert_allclose(beside.positions_xy, alone.positions_xy + 0.5, atol=1e-9)
