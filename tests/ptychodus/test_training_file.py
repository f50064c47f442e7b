"""Training data that the host itself exports are read, from NPZ and from HDF5."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ptychodus.api.io import save_ptychopinn_training_data, save_training_data

from ptychodus_plugin.product import raw_data_of
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.data.dataset import create_dataset
from ptychopinn_backend.data.raw_data import RawData
from tests.ptychodus.scenes import make_input


def test_both_exports_of_the_host_are_read(tmp_path: Path) -> None:
    parameters, _ = make_input()
    expected = raw_data_of(parameters)
    save_training_data(tmp_path / "train.h5", parameters)
    save_ptychopinn_training_data(tmp_path / "train.npz", parameters)
    hdf5, npz = RawData.from_file(tmp_path / "train.h5"), RawData.from_file(tmp_path / "train.npz")
    for raw in (hdf5, npz):
        np.testing.assert_array_equal(raw.diff3d, expected.diff3d)
        np.testing.assert_array_equal(raw.probeGuess, expected.probeGuess)
        np.testing.assert_array_equal(raw.objectGuess, expected.objectGuess)
    np.testing.assert_allclose(hdf5.positions_xy, expected.positions_xy, atol=1e-9)


def test_a_folder_of_exports_becomes_one_data_set(tmp_path: Path) -> None:
    parameters, _ = make_input()
    (tmp_path / "exports").mkdir()
    save_training_data(tmp_path / "exports" / "first.h5", parameters)
    save_ptychopinn_training_data(tmp_path / "exports" / "second.npz", parameters)
    raw = raw_data_of(parameters)
    dataset = create_dataset(tmp_path / "exports", tmp_path / "set", ModelConfig(N=raw.N))
    assert dataset.n_patterns == 2 * raw.n_patterns
    np.testing.assert_allclose(dataset.mean_photons, raw.mean_photons, rtol=1e-6)
