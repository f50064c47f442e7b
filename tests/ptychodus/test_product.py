"""Products and scans: frame, shape, centre and half-pixel conventions, both ways."""

from __future__ import annotations

from dataclasses import replace
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from ptychodus.api.geometry import PixelGeometry
from ptychodus.api.object import Object
from ptychodus.api.probe import ProbeSequence
from ptychodus.api.probe_positions import ProbePosition, ProbePositionSequence
from ptychodus.api.product import Product
from ptychodus.api.reconstruct import ReconstructInput
from ptychodus.api.simulate.diffraction import generate_diffraction_data

from ptychodus_plugin.product import (
    drawable_losses,
    losses_of,
    object_frame,
    product_of,
    raw_data_of,
    save_training_data,
)
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.physics.object_patches import extract_patches
from ptychopinn_backend.physics.scan_model import scan_intensities
from ptychopinn_backend.stitching.assembly import ObjectAssembler, probe_weight
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction
from tests.ptychodus.scenes import CENTRE, PIXEL_M, make_input, shift_px


def relative_error(predicted: np.ndarray, measured: np.ndarray) -> float:
    scale = np.sum(predicted * measured) / np.sum(predicted**2)
    return float(np.linalg.norm(scale * predicted - measured) / np.linalg.norm(measured))


def made_of(obj: np.ndarray, scan: RawData) -> Reconstruction:
    """A reconstruction that kept probe and positions."""
    assert scan.probeGuess is not None
    return Reconstruction(obj.astype(np.complex64), (0.0, 0.0), scan.probeGuess, positions_xy=scan.positions_xy)


def test_positions_and_frame_reproduce_the_measured_counts() -> None:
    parameters, truth = make_input(photons=1e7)
    scan = raw_data_of(parameters)
    frame = object_frame(parameters.product.object_)
    counts = scan_intensities(truth.astype(np.complex64), frame.origin_rc, scan.probeGuess, scan.positions_xy)
    assert relative_error(counts, parameters.diffraction_patterns.astype(float)) < 0.01
    off = scan_intensities(truth.astype(np.complex64), frame.origin_rc, scan.probeGuess, scan.positions_xy - 0.5)
    assert relative_error(off, parameters.diffraction_patterns.astype(float)) > 0.02


@pytest.mark.filterwarnings("ignore:The probe holds .* photons")
def test_positions_agree_with_the_simulation_of_the_host() -> None:
    parameters, truth = make_input()
    product = parameters.product
    # Positions that put patches on whole pixels, where host and engine need no interpolation.
    at = [(40.5, 33.5), (52.5, 41.5), (61.5, 60.5)]
    height, width = truth.shape
    positions = ProbePositionSequence(
        [
            ProbePosition(
                i, CENTRE.x_m + PIXEL_M * (x - (width - 1) / 2), CENTRE.y_m + PIXEL_M * (y - (height - 1) / 2)
            )
            for i, (x, y) in enumerate(at)
        ]
    )
    product = Product(
        metadata=product.metadata,
        probe_positions=positions,
        probes=product.probes,
        object_=Object(truth, product.object_.get_pixel_geometry(), CENTRE),
        losses=[],
    )
    data = generate_diffraction_data(product)
    patterns = data.get_patterns() / data.get_patterns().sum(axis=(1, 2), keepdims=True)
    scan = raw_data_of(ReconstructInput(np.rint(patterns * 1e9).astype(np.int64), None, product))
    counts = scan_intensities(truth.astype(np.complex64), (0.0, 0.0), scan.probeGuess, scan.positions_xy)
    counts /= counts.sum(axis=(1, 2), keepdims=True)
    assert relative_error(counts, patterns) < 2e-3


@pytest.mark.parametrize("shape", [(100, 112), (133, 90)])
def test_patches_of_the_truth_stitch_to_the_truth_in_the_frame_of_the_input(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    truth = np.exp(1j * rng.uniform(0, 0.5, shape))
    truth[40:60, 30:70] *= 0.6
    parameters, truth = make_input(obj=truth, step_px=4.0, jitter_px=0.0)
    scan = raw_data_of(parameters)
    frame = object_frame(parameters.product.object_)
    assembler = ObjectAssembler(frame, scan.N, probe_weight(scan.probeGuess), align_phases=False)
    positions = np.round(scan.positions_xy)
    assembler.add(extract_patches(truth.astype(np.complex64), frame.origin_rc, positions, scan.N), positions)
    stitched = assembler.result()
    product = product_of(parameters.product, made_of(stitched.object, scan), scan, [])
    obj = product.object_
    assert obj.get_geometry() == parameters.product.object_.get_geometry()
    covered = stitched.weight > 0.01 * stitched.weight.max()
    np.testing.assert_allclose(obj.get_layer(0)[covered], truth[covered], rtol=1e-4)
    inner = (slice(25, -25), slice(25, -25))
    assert shift_px(obj.get_layer(0)[inner], truth[inner]) == pytest.approx((0, 0), abs=0.1)


def test_all_probe_modes_go_in_and_out() -> None:
    parameters, truth = make_input(modes=3)
    scan = raw_data_of(parameters)
    assert scan.probeGuess is not None
    assert scan.probeGuess.shape == (3, 32, 32)
    product = product_of(parameters.product, made_of(truth, scan), scan, [])
    np.testing.assert_allclose(product.probes.get_array()[0], parameters.product.probes.get_array()[0], rtol=1e-6)
    assert product.probes.get_pixel_geometry() == parameters.product.probes.get_pixel_geometry()


def test_metadata_and_positions_are_kept() -> None:
    parameters, truth = make_input()
    losses = losses_of({"loss": [2.0, 1.0], "val_loss": [3.0, 2.5]})
    scan = raw_data_of(parameters)
    product = product_of(parameters.product, made_of(truth, scan), scan, losses)
    assert product.metadata == parameters.product.metadata
    assert product.probe_positions is parameters.product.probe_positions
    assert [(loss.epoch, loss.value) for loss in product.losses] == [(1, 2.0), (2, 1.0)]


@pytest.mark.filterwarnings("ignore:Pattern 2 is without a photon")
def test_refined_positions_come_back_in_metres() -> None:
    parameters, truth = make_input(step_px=12.0)
    dark = parameters.diffraction_patterns.copy()
    dark[2] = 0  # a pattern without a photon is left out, and keeps its position
    parameters = replace(parameters, diffraction_patterns=dark)
    scan = raw_data_of(parameters)
    assert scan.n_patterns == len(dark) - 1
    moved = scan.positions_xy + np.random.default_rng(0).normal(0, 1.5, (scan.n_patterns, 2))
    product = product_of(parameters.product, replace(made_of(truth, scan), positions_xy=moved), scan, [])
    places, given = list(product.probe_positions), list(parameters.product.probe_positions)
    assert places[2] == given[2]
    assert [place.index for place in places] == [place.index for place in given]
    again = raw_data_of(replace(parameters, product=product))
    np.testing.assert_allclose(again.positions_xy, moved, atol=1e-6)


def test_multi_layer_object_becomes_one_layer_of_the_same_shape() -> None:
    parameters, truth = make_input()
    layered = Object(np.stack([truth, truth]), parameters.product.object_.get_pixel_geometry(), CENTRE, [1e-6])
    product = Product(
        metadata=parameters.product.metadata,
        probe_positions=parameters.product.probe_positions,
        probes=parameters.product.probes,
        object_=layered,
        losses=[],
    )
    scan = raw_data_of(parameters)
    result = product_of(product, made_of(truth, scan), scan, [])
    assert result.object_.get_array().shape == (1, *truth.shape)


def test_exported_training_data_read_back_as_what_a_reconstruction_gets(tmp_path: Path) -> None:
    parameters, _ = make_input(bad_pixels=True)
    save_training_data(tmp_path / "train_data.npz", parameters)
    read, direct = RawData.from_file(tmp_path / "train_data.npz"), raw_data_of(parameters)
    for name in ("xcoords", "ycoords", "diff3d", "probeGuess", "objectGuess", "bad_pixels"):
        np.testing.assert_array_equal(getattr(read, name), getattr(direct, name))


def test_export_keeps_the_keys_and_the_counts_of_the_host(tmp_path: Path) -> None:
    from ptychodus.api.io import save_ptychopinn_training_data

    if "multimodal_probe" in signature(save_ptychopinn_training_data).parameters:
        pytest.skip("the export of Ptychodus 1.6 has no mask and, on request, one mode")
    parameters, _ = make_input(bad_pixels=True)
    save_training_data(tmp_path / "ours.npz", parameters)
    save_ptychopinn_training_data(tmp_path / "theirs.npz", parameters)
    with np.load(tmp_path / "ours.npz") as ours, np.load(tmp_path / "theirs.npz") as theirs:
        assert set(ours.files) == {*theirs.files, "_metadata"}
        for key in theirs.files:
            shift = 0.5 if "coords" in key else 0
            np.testing.assert_array_equal(ours[key], theirs[key] + shift if shift else theirs[key])
            assert ours[key].dtype == theirs[key].dtype


def test_bad_pixels_are_marked_and_their_values_do_not_matter() -> None:
    parameters, _ = make_input(bad_pixels=True)
    scan = raw_data_of(parameters)
    assert scan.bad_pixels is not None
    np.testing.assert_array_equal(scan.bad_pixels, parameters.bad_pixels)
    changed = parameters.diffraction_patterns.copy()
    changed[:, parameters.bad_pixels] = 1
    np.testing.assert_array_equal(scan.diff3d, raw_data_of(replace(parameters, diffraction_patterns=changed)).diff3d)


@pytest.mark.parametrize(
    ("history", "expected"),
    [([3.0, 2.0], [3.0, 2.0]), ([-5.0, -9.0, -8.0], [4.04, 0.04, 1.04]), ([-1.0], [0.01]), ([], [])],
)
def test_losses_for_the_logarithmic_axis_of_the_host(history: list[float], expected: list[float]) -> None:
    assert [loss.value for loss in drawable_losses({"loss": history})] == pytest.approx(expected)


def test_a_near_field_product_is_refused() -> None:
    parameters, _ = make_input(step_px=12.0)
    if not hasattr(parameters.product.metadata, "far_field"):
        pytest.skip("this version of Ptychodus knows the far field only")
    near = replace(parameters.product.metadata, far_field=False)
    parameters = replace(parameters, product=replace(parameters.product, metadata=near))
    with pytest.raises(DataError, match=r"far_field = False.* computes the far field only\. Choose another algorithm"):
        raw_data_of(parameters)


def test_pixels_of_probe_and_object_that_differ_are_refused(tmp_path: Path) -> None:
    parameters, _ = make_input(step_px=12.0)
    probe = ProbeSequence(parameters.product.probes.get_array(), None, PixelGeometry(2 * PIXEL_M, 2 * PIXEL_M))
    parameters = replace(parameters, product=replace(parameters.product, probes=probe))
    words = r"The probe has pixels of 16 x 16 nm, the object pixels of 8 x 8 nm; they must be equal.* resample"
    with pytest.raises(DataError, match=words):
        raw_data_of(parameters)
    with pytest.raises(DataError, match=words):
        save_training_data(tmp_path / "train_data.npz", parameters)


def test_of_a_probe_that_varies_the_mean_is_used_and_said(caplog: pytest.LogCaptureFixture) -> None:
    parameters, _ = make_input(step_px=12.0, modes=2)
    modes = parameters.product.probes.get_array()[0]
    other = np.stack([modes[0] * 1j, np.zeros_like(modes[1])])
    count = len(parameters.diffraction_patterns)
    weights = np.stack([np.full(count, 0.8), np.linspace(0.0, 1.0, count)], axis=1)
    probes = ProbeSequence(np.stack([modes, other]), weights, PixelGeometry(PIXEL_M, PIXEL_M))
    parameters = replace(parameters, product=replace(parameters.product, probes=probes))
    with caplog.at_level("INFO", "ptychopinn_backend.ptychodus"):
        found = raw_data_of(parameters).probeGuess
    expected = np.mean([probe.get_array() for probe in probes], axis=0)
    np.testing.assert_allclose(found, expected.astype(np.complex64), rtol=1e-6, atol=1e-6 * np.abs(expected).max())
    assert f"2 modes of OPR); its mean over the {count} positions is used" in caplog.text
