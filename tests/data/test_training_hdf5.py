"""Training data that Ptychodus wrote as HDF5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.training_hdf5 import is_hdf5
from ptychopinn_backend.errors import DataError, DataFileNotFoundError
from tests.data.dataset.conftest import scan_members, write_training_hdf5


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "train.h5"
    write_training_hdf5(path, scan_members(3, 25))
    return path


def change(path: Path, name: str, value: Any) -> None:
    with h5py.File(path, "a") as content:
        content.pop(name, None)
        if value is not None:
            content[name] = value


def test_holds_the_same_as_the_npz(file: Path, tmp_path: Path) -> None:
    members = scan_members(3, 25)
    np.savez(tmp_path / "same.npz", **members)
    ours, theirs = RawData.from_file(file), RawData.from_file(tmp_path / "same.npz")
    np.testing.assert_array_equal(ours.diff3d, theirs.diff3d)
    np.testing.assert_array_equal(ours.probeGuess, theirs.probeGuess)
    np.testing.assert_array_equal(ours.objectGuess, theirs.objectGuess)
    np.testing.assert_allclose(ours.positions_xy, theirs.positions_xy, rtol=1e-12)
    assert ours.measured_as_counts
    assert ours.metadata["photon_energy_eV"] == 8000


def test_kind_of_file_is_seen_and_not_guessed_from_its_name(file: Path, tmp_path: Path) -> None:
    renamed = file.rename(tmp_path / "train.npz")
    assert is_hdf5(renamed)
    assert RawData.from_file(renamed).n_patterns == 25
    assert not is_hdf5(tmp_path / "absent.h5")


def test_patterns_are_counts_unless_stated_otherwise(file: Path) -> None:
    change(file, "patterns", np.full((25, 32, 32), 0.25, np.float32))
    assert RawData.from_file(file).diff3d.max() == 0.5
    assert RawData.from_file(file, "amplitudes").diff3d.max() == 0.25


def test_only_patterns_and_positions_are_required(file: Path) -> None:
    for name in ("probe", "object", "bad_pixels", "photon_energy_eV"):
        change(file, name, None)
    raw = RawData.from_file(file)
    assert raw.probeGuess is None
    assert raw.objectGuess is None
    change(file, "patterns", None)
    with pytest.raises(DataError, match=r"lacks 'patterns'; it holds .*probe_position_x_px"):
        RawData.from_file(file)


def test_links_to_other_places_are_not_followed(file: Path, tmp_path: Path) -> None:
    write_training_hdf5(tmp_path / "other.h5", scan_members(3, 25))
    change(file, "probe", h5py.ExternalLink("other.h5", "probe"))
    with pytest.raises(DataError, match=r"'probe' in .* is not a dataset kept in this file"):
        RawData.from_file(file)
    change(file, "probe", h5py.SoftLink("/object"))
    with pytest.raises(DataError, match="links to other places are not followed"):
        RawData.from_file(file)


def test_objects_and_wrong_shapes_are_refused(file: Path) -> None:
    with h5py.File(file, "a") as content:
        del content["probe"]
        content.create_dataset("probe", data=["text"], dtype=h5py.string_dtype())
    with pytest.raises(DataError, match=r"'probe' in .* holds object instead of numbers"):
        RawData.from_file(file)
    change(file, "probe", None)
    change(file, "probe_position_x_px", np.zeros(7))
    with pytest.raises(DataError, match=r"train.h5: probe_position_y_px has 25 values for 7 scan points"):
        RawData.from_file(file)
    change(file, "photon_energy_eV", np.zeros(3))
    with pytest.raises(DataError, match=r"'photon_energy_eV' in .* has shape \(3,\)"):
        RawData.from_file(file)


@pytest.mark.parametrize("keep", [12, 600, 5000])
def test_damaged_file_is_refused(file: Path, keep: int) -> None:
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(DataError, match="cannot be read as HDF5"):
        RawData.from_file(file)


def test_damaged_values_are_refused(file: Path) -> None:
    content = bytearray(file.read_bytes())
    with h5py.File(file) as opened:
        chunk = opened["patterns"].id.get_chunk_info(0)
    content[chunk.byte_offset : chunk.byte_offset + 40] = bytes([255]) * 40
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read as HDF5"):
        RawData.from_file(file)


def test_folder_and_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataFileNotFoundError, match="does not exist"):
        RawData.from_file(tmp_path / "absent.h5")
