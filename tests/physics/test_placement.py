"""Placement into the group frame: direction, sub-pixel weights, adjointness and honest averages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.physics.placement import (
    add_to_groups,
    assemble_groups,
    canvas_size,
    cut_from_groups,
    extract_from_groups,
    interpolation_matrices,
    patch_window,
    translate,
)


def test_translation_is_the_recorded_one(golden: Path) -> None:
    recorded = np.load(golden / "translate.npz")
    shift = recorded["translate_offsets_xy"].astype(np.float64)
    real = translate(recorded["translate_in"][..., 0], shift)
    np.testing.assert_allclose(real, recorded["translate_out_torch"][..., 0], atol=1e-5)
    complex_images = translate(recorded["translate_c_in"][..., 0], shift)
    np.testing.assert_allclose(complex_images, recorded["translate_c_out_torch"][..., 0], atol=1e-5)


def test_windows_are_the_recorded_masks(golden: Path) -> None:
    recorded = np.load(golden / "translate.npz")
    window = patch_window(16, central_only=True)
    np.testing.assert_array_equal(np.outer(window, window), recorded["centermask_N16_c4"][0, :, :, 0])
    np.testing.assert_array_equal(1 - np.outer(window, window), recorded["bordermask_N16_c1"][0, :, :, 0])
    assert np.all(patch_window(16, central_only=False) == 1)


def test_a_bright_pixel_moves_to_where_its_patch_lies() -> None:
    # Positions (x, y) = (12, 5) and (8, 11) have the mean (10, 8); the first lies 2 columns right of it, 3 rows above.
    patches = np.zeros((1, 8, 8, 2), np.complex128)
    patches[0, 4, 4, 0] = 1
    offsets = np.array([[[-2.0, 2.0], [3.0, -3.0]]])[:, np.newaxis]
    canvas = assemble_groups(patches, offsets, canvas_size(8, 3.0), np.ones((1, 8, 8)))
    rows, columns = np.nonzero(canvas[0])
    assert (rows.tolist(), columns.tolist()) == ([3 + 4 - 3], [3 + 4 + 2])


def test_overlapping_patches_are_averaged_not_summed() -> None:
    rng = np.random.default_rng(2)
    offsets = rng.uniform(-4, 4, (3, 1, 2, 4))
    offsets -= offsets.mean(axis=-1, keepdims=True)
    canvas_px = canvas_size(16, float(np.abs(offsets).max()))
    weights = rng.uniform(0.2, 1, (3, 16, 16))
    constant = np.full((3, 16, 16, 4), 2 - 1j)
    canvases = assemble_groups(constant, offsets, canvas_px, weights)
    covered = np.abs(canvases) > 0
    exact = np.isclose(canvases, 2 - 1j, rtol=1e-9)
    # Below MINIMUM_COVERAGE, at the fractional rims of patches, the average fades out and never grows.
    assert exact.sum() > 0.99 * covered.sum()
    assert np.abs(canvases[covered & ~exact]).max(initial=0) < abs(2 - 1j)
    assert covered.mean() > 0.5


def test_one_object_seen_at_whole_pixels_comes_back_exactly() -> None:
    rng = np.random.default_rng(3)
    scene = rng.normal(size=(1, 24, 24)) + 1j * rng.normal(size=(1, 24, 24))
    offsets = np.array([[[3.0, -3.0, 1.0, -1.0], [2.0, 4.0, -4.0, -2.0]]])[:, np.newaxis]
    patches = extract_from_groups(scene, offsets, 16)
    canvases = assemble_groups(patches, offsets, 24, np.ones((1, 16, 16)))
    np.testing.assert_allclose(extract_from_groups(canvases, offsets, 16), patches, atol=1e-12)
    np.testing.assert_allclose(canvases[0, 8:16, 8:16], scene[0, 8:16, 8:16], atol=1e-12)


def test_extraction_is_the_adjoint_of_placing() -> None:
    rng = np.random.default_rng(4)
    offsets = rng.uniform(-3, 3, (2, 1, 2, 1))
    patches = rng.normal(size=(2, 12, 12, 1)) + 1j * rng.normal(size=(2, 12, 12, 1))
    canvases = rng.normal(size=(2, 18, 18)) + 1j * rng.normal(size=(2, 18, 18))
    # With one patch the average is the placed patch divided by the placed weight, which `translate` gives as well.
    ones = np.pad(np.ones((2, 12, 12)), ((0, 0), (3, 3), (3, 3)))
    weight = translate(ones, -offsets[:, 0, :, 0])
    placed = assemble_groups(patches, offsets, 18, np.ones((2, 12, 12))) * weight
    extracted = extract_from_groups(canvases, offsets, 12)
    assert np.vdot(canvases, placed) == pytest.approx(np.vdot(extracted, patches))


@pytest.mark.parametrize("largest_px", [0.0, 4.0, 2.7])
def test_working_in_windows_is_the_product_with_the_matrices(largest_px: float) -> None:
    rng = np.random.default_rng(5)
    offsets = rng.uniform(-largest_px, largest_px, (2, 1, 2, 3))
    offsets[0, 0, :, 0] = largest_px  # the patch that ends with the canvas
    canvas_px = canvas_size(12, largest_px)
    images = rng.normal(size=(2, 3, 12, 12)) + 1j * rng.normal(size=(2, 3, 12, 12))
    canvases = rng.normal(size=(2, canvas_px, canvas_px)) + 1j * rng.normal(size=(2, canvas_px, canvas_px))
    columns, rows = (interpolation_matrices(-offsets[:, 0, axis], canvas_px, 12) for axis in (0, 1))
    placed = np.einsum("gcmi,gcij,gcnj->gmn", rows, images, columns, optimize=True)
    np.testing.assert_allclose(add_to_groups(images, offsets, canvas_px), placed, atol=1e-12)
    cut = np.einsum("gcmi,gmn,gcnj->gcij", rows, canvases, columns, optimize=True)
    np.testing.assert_allclose(cut_from_groups(canvases, offsets, 12), cut, atol=1e-12)


def test_canvas_holds_the_largest_offset() -> None:
    assert canvas_size(32, 0.0) == 32
    assert canvas_size(32, 2.1) == 38
