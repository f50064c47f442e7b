"""Files of a reconstruction."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from ptychopinn_backend.errors import DataError, DataFileNotFoundError
from ptychopinn_backend.stitching.reconstruction_file import PhysicalScale, Reconstruction


@pytest.fixture
def reconstruction() -> Reconstruction:
    rng = np.random.default_rng(0)
    obj = (rng.normal(size=(30, 40)) + 1j).astype(np.complex64)
    probe = (rng.normal(size=(2, 8, 8)) + 1j).astype(np.complex64)
    weight = rng.random((30, 40)).astype(np.float32)
    return Reconstruction(obj, (5.0, -2.5), probe, weight, "pytorch", rng.uniform(0, 20, (7, 2)), {"epochs": 3})


def test_npz_round_trip_is_exact(reconstruction: Reconstruction, tmp_path: Path) -> None:
    reconstruction.save_npz(tmp_path / "r.npz")
    loaded = Reconstruction.load_npz(tmp_path / "r.npz")
    for name in ("object", "probe", "weight", "positions_xy"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(reconstruction, name))
    assert (loaded.origin_rc, loaded.backend, loaded.info) == ((5.0, -2.5), "pytorch", {"epochs": 3})
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.npz"]


def test_npz_of_other_origin_needs_only_object_origin_and_probe(tmp_path: Path) -> None:
    np.savez(tmp_path / "r.npz", object=np.ones((9, 9), complex), origin_rc=[1, 2], probe=np.ones((4, 4), complex))
    loaded = Reconstruction.load_npz(tmp_path / "r.npz")
    assert loaded.probe.shape == (1, 4, 4)
    assert loaded.weight is None
    assert loaded.origin_rc == (1.0, 2.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"object": None}, "has no 'object'; a reconstruction holds object, origin_rc, probe"),
        ({"object": np.full((9, 9), np.nan)}, "object holds NaN or infinity"),
        ({"object": np.full((9, 9), 1e300)}, "object holds NaN or infinity"),
        ({"weight": np.full((9, 9), np.nan)}, "weight holds NaN or infinity"),
        ({"phase_uncertainty": np.full((9, 9), np.inf)}, "phase_uncertainty holds NaN or infinity"),
        ({"amplitude_uncertainty": np.ones((3, 3))}, r"amplitude_uncertainty has shape \(3, 3\)"),
        ({"positions_xy": np.full((3, 2), np.inf)}, "positions_xy holds NaN or infinity"),
        ({"origin_rc": np.zeros(3)}, r"origin_rc has shape \(3,\)"),
        ({"probe": np.ones((4, 5))}, r"probe has shape"),
        ({"weight": np.ones((3, 3))}, r"weight has shape \(3, 3\)"),
        ({"info": np.array("{")}, "'info' is not JSON text"),
        ({"info": np.array("9" * 5000)}, "'info' is not JSON text"),
        ({"object": np.array([object()])}, "'object' .* is an array of Python objects"),
    ],
)
def test_npz_that_breaks_a_rule_is_refused(change: dict, message: str, tmp_path: Path) -> None:
    members = {"object": np.ones((9, 9), complex), "origin_rc": np.zeros(2), "probe": np.ones((4, 4), complex)} | change
    np.savez(tmp_path / "r.npz", **{key: value for key, value in members.items() if value is not None})
    with pytest.raises(DataError, match=message):
        Reconstruction.load_npz(tmp_path / "r.npz")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataFileNotFoundError, match="does not exist"):
        Reconstruction.load_npz(tmp_path / "r.npz")


def test_product_file_holds_what_ptychodus_reads(reconstruction: Reconstruction, tmp_path: Path) -> None:
    scale = PhysicalScale(pixel_width_m=2e-9, pixel_height_m=3e-9)
    reconstruction.save_hdf5(tmp_path / "r.h5", scale, name="star", losses=[2.0, 1.0])
    with h5py.File(tmp_path / "r.h5") as product:
        assert product.attrs["name"] == "star"
        assert product["object"].shape == (1, 30, 40)
        assert product["probe"].shape == (1, 2, 8, 8)
        assert product["object"].attrs["pixel_height_m"] == 3e-9
        assert product["loss_epochs"][()].tolist() == [1, 2]
        x_m = product["probe_position_x_m"][()]
        column = (x_m - product["object"].attrs["center_x_m"]) / 2e-9 + (40 - 1) / 2
    np.testing.assert_allclose(column, reconstruction.positions_xy[:, 0] - 2.5 - 0.5, atol=1e-9)


def test_product_file_says_when_its_scale_is_a_stand_in(reconstruction: Reconstruction, tmp_path: Path) -> None:
    reconstruction.save_hdf5(tmp_path / "r.h5")
    with h5py.File(tmp_path / "r.h5") as product:
        assert "PtychoPINN pytorch" in product.attrs["comments"]
        assert "only stand in" in product.attrs["comments"]
        assert product.attrs["photon_energy_eV"] == 8800
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.h5"]
