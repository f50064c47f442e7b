"""Reassembly by position against recorded numbers."""

from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.errors import DataError
from ptychopinn_backend.stitching.assembly import reassemble_position


@pytest.mark.parametrize("M", [20, 32])
def test_recorded_canvas(golden: Path, M: int) -> None:
    recorded = np.load(golden / "reassembly_position.npz")
    positions = np.stack([recorded["xcoords"], recorded["ycoords"]], axis=1)
    canvas = reassemble_position(recorded["patches_central32"], positions, M)
    expected = recorded[f"reassemble_position_M{M}"]
    assert canvas.dtype == np.complex64
    np.testing.assert_allclose(canvas, expected, atol=1e-5)


def test_groups_with_channels_are_flattened_group_by_group() -> None:
    rng = np.random.default_rng(0)
    patches = rng.normal(size=(3, 16, 16, 4)) + 1j
    offsets = rng.uniform(0, 30, (3, 1, 2, 4))
    flat_patches = np.stack([patches[g, :, :, c] for g in range(3) for c in range(4)])
    flat_offsets = np.stack([offsets[g, 0, :, c] for g in range(3) for c in range(4)])
    np.testing.assert_array_equal(
        reassemble_position(patches, offsets, 8), reassemble_position(flat_patches, flat_offsets, 8)
    )


def test_a_bright_pixel_lands_at_its_position() -> None:
    patches = np.zeros((2, 16, 16), np.complex64)
    patches[1, 8, 8] = 1
    canvas = reassemble_position(patches, np.array([[0.0, 0.0], [8.0, 4.0]]), 4)
    assert canvas.shape == (12, 12)
    assert np.argwhere(np.abs(canvas) > 0.5).tolist() == [[6 + 2, 6 + 4]]


def test_patches_and_positions_must_fit() -> None:
    with pytest.raises(DataError, match=r"global_offsets has shape \(3, 2\)"):
        reassemble_position(np.ones((2, 16, 16), np.complex64), np.zeros((3, 2)))
