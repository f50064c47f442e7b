"""Bilinear patches of an object and their adjoint."""

import numpy as np
import pytest

from ptychopinn_backend.errors import DataError
from ptychopinn_backend.physics.object_patches import add_patches, extract_patches


def _complex(rng: np.random.Generator, shape: tuple[int, ...], dtype: type = np.complex64) -> np.ndarray:
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)


def test_patch_centre_is_the_scan_position() -> None:
    obj = np.zeros((40, 50), np.complex64)
    obj[17, 31] = 1 + 2j
    patch = extract_patches(obj, (10, 20), np.array([[11.0, 7.0]]), 8)[0]
    assert patch[4, 4] == 1 + 2j
    assert np.count_nonzero(patch) == 1


def test_half_a_pixel_averages_two_pixels() -> None:
    obj = np.arange(400, dtype=np.float32).reshape(20, 20)
    patch = extract_patches(obj, (0, 0), np.array([[10.5, 10.0], [10.0, 10.5]]), 4)
    np.testing.assert_allclose(patch[0], obj[8:12, 8:12] + 0.5)
    np.testing.assert_allclose(patch[1], obj[8:12, 8:12] + 10)


def test_pixels_outside_the_object_are_zero() -> None:
    obj = np.ones((10, 10), np.complex64)
    patches = extract_patches(obj, (0, 0), np.array([[0.0, 0.0], [500.0, 3.0], [-500.0, 3.0]]), 8)
    assert np.all(patches[0, 4:, 4:] == 1)
    assert np.all(patches[0, :4] == 0)
    assert np.all(patches[1:] == 0)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_add_patches_is_the_adjoint_of_extract_patches(dtype: type) -> None:
    rng = np.random.default_rng(3)
    obj = _complex(rng, (45, 38), np.complex128)
    positions = rng.uniform(-6, 44, (70, 2))
    patches = _complex(rng, (70, 12, 12), np.complex128)
    canvas = np.zeros(obj.shape, dtype)
    add_patches(canvas, patches.astype(dtype), (1.25, -2.5), positions)
    forward = np.vdot(extract_patches(obj.astype(dtype), (1.25, -2.5), positions, 12), patches)
    assert abs(forward - np.vdot(obj, canvas)) < (1e-3 if dtype is np.complex64 else 1e-10)


def test_result_does_not_depend_on_how_patches_are_batched(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    obj, positions = _complex(rng, (60, 60)), rng.uniform(10, 50, (9, 2))
    whole = extract_patches(obj, (0, 0), positions, 16)
    monkeypatch.setattr("ptychopinn_backend.physics.object_patches._WORKING_SET_BYTES", 1)
    np.testing.assert_array_equal(extract_patches(obj, (0, 0), positions, 16), whole)


def test_positions_must_be_finite_and_have_two_columns() -> None:
    obj = np.ones((10, 10), np.complex64)
    with pytest.raises(DataError, match="positions_xy or origin_rc holds NaN"):
        extract_patches(obj, (0, 0), np.array([[np.nan, 0]]), 4)
    with pytest.raises(DataError, match=r"positions_xy has shape \(1, 3\)"):
        extract_patches(obj, (0, 0), np.zeros((1, 3)), 4)
    with pytest.raises(DataError, match="patches has shape"):
        add_patches(obj, np.ones((2, 4, 4), np.complex64), (0, 0), np.zeros((1, 2)))
