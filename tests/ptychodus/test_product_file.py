"""The product file of a reconstruction, read by Ptychodus itself."""

from pathlib import Path

import numpy as np
from ptychodus.api.io import load_product

from ptychopinn_backend.physics.object_patches import extract_patches
from ptychopinn_backend.stitching.reconstruction_file import PhysicalScale, Reconstruction


def test_ptychodus_finds_every_patch_where_it_lies(tmp_path: Path) -> None:
    """Ptychodus puts a position at the middle of its patch, index (N - 1) / 2."""
    rng = np.random.default_rng(0)
    obj = (rng.normal(size=(50, 61)) + 1j * rng.normal(size=(50, 61))).astype(np.complex64)
    positions = rng.integers(8, 40, (6, 2)).astype(float)
    reconstruction = Reconstruction(obj, (3.0, 5.0), np.ones((2, 8, 8), np.complex64), positions_xy=positions)
    reconstruction.save_hdf5(tmp_path / "product.h5", PhysicalScale(2e-9, 3e-9), losses=[3.0, 2.0])
    product = load_product(tmp_path / "product.h5")
    geometry = product.object_.get_geometry()
    places = [geometry.map_coordinates_probe_to_object(point) for point in product.probe_positions]
    column, row = [place.x_px for place in places], [place.y_px for place in places]
    patches = extract_patches(obj, (3.0, 5.0), positions, 8)
    for k in range(6):
        top, left = round(row[k] - 3.5), round(column[k] - 3.5)
        np.testing.assert_array_equal(product.object_.get_array()[0, top : top + 8, left : left + 8], patches[k])
    assert product.probes.get_array().shape == (1, 2, 8, 8)
    assert [loss.value for loss in product.losses] == [3.0, 2.0]
