from __future__ import annotations

import pickle

import numpy as np
import pytest

from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.groups import GroupSource
from ptychopinn_backend.physics.object_patches import extract_patches

MODEL = ModelConfig(N=32, gridsize=2, probe_scale=4.0)


@pytest.fixture
def raw(members):
    arrays = dict(members)
    return RawData.from_arrays(
        arrays["xcoords"],
        arrays["ycoords"],
        arrays["diffraction"],
        arrays["probeGuess"],
        measurement="counts",
        object_guess=arrays["objectGuess"],
    )


def container_of(raw: RawData, **changes) -> PtychoDataContainer:
    return PtychoDataContainer.from_raw_data(raw, MODEL, **{"neighbor_count": 6, "seed": 3, **changes})


def test_it_is_a_source_of_groups(raw):
    source: GroupSource = container_of(raw, n_groups=12)
    assert (source.n_groups, source.N, source.channels) == (12, 32, 4)
    batch = source.batch(np.array([7, 2]))
    assert batch.X.shape == (2, 32, 32, 4)
    assert batch.X.dtype == batch.local_offsets.dtype == np.float32
    assert batch.local_offsets.shape == (2, 1, 2, 4)
    np.testing.assert_array_equal(batch.scan_index, [0, 0])
    assert batch.Y is None
    assert not source.has_labels
    assert source.max_local_offset_px == np.abs(container_of(raw, n_groups=12).local_offsets).max()


def test_batches_agree_with_the_legacy_dictionary(raw):
    container = container_of(raw, n_groups=12, with_labels=True)
    grouped = raw.generate_grouped_data(32, K=6, nsamples=12, seed=3, gridsize=2)
    np.testing.assert_allclose(container.X, grouped["X_full"], rtol=1e-6)
    np.testing.assert_array_equal(container.Y, grouped["Y"])
    np.testing.assert_array_equal(container.nn_indices, grouped["nn_indices"])
    np.testing.assert_array_equal(container.coords_true, grouped["coords_nn"])
    np.testing.assert_array_equal(container.global_offsets, grouped["coords_offsets"])
    np.testing.assert_array_equal(container.local_offsets, grouped["coords_relative"])
    np.testing.assert_allclose(container.Y_I * np.exp(1j * container.Y_phi), container.Y, atol=1e-5)


def test_from_grouped_data_is_the_same_source(raw):
    container = container_of(raw, n_groups=12, with_labels=True)
    grouped = raw.generate_grouped_data(32, K=6, nsamples=12, seed=3, gridsize=2)
    taken = PtychoDataContainer.from_grouped_data(grouped, raw.probeGuess, MODEL)
    order = np.array([11, 0, 5])
    ours, theirs = container.batch(order), taken.batch(order)
    np.testing.assert_allclose(theirs.X, ours.X, rtol=1e-6)
    np.testing.assert_array_equal(theirs.Y, ours.Y)
    np.testing.assert_array_equal(theirs.local_offsets, ours.local_offsets)
    assert taken.intensity_counts_factor == pytest.approx(container.intensity_counts_factor)
    np.testing.assert_array_equal(taken.nn_indices, container.nn_indices)
    assert len(taken.scans[0].patterns) == len(np.unique(container.nn_indices))


def test_one_group_for_every_point_by_default(raw):
    container = container_of(raw)
    assert container.n_groups == raw.n_patterns


def test_patterns_are_referred_to_not_copied(raw, tmp_path):
    mapped = np.memmap(tmp_path / "patterns.f32", np.float32, "w+", shape=raw.diff3d.shape)
    mapped[:] = raw.diff3d
    lazy = RawData.from_arrays(raw.xcoords, raw.ycoords, mapped, raw.probeGuess, measurement="amplitudes")
    container = container_of(lazy)
    assert np.shares_memory(container.scans[0].patterns, mapped)
    np.testing.assert_array_equal(container.X, container_of(raw).X)


def test_factor_leads_back_to_measured_amplitudes(raw):
    container = container_of(raw, n_groups=9)
    measured = container.X * container.intensity_counts_factor
    np.testing.assert_allclose(measured[4, :, :, 1], raw.diff3d[container.nn_indices[4, 1]], rtol=1e-5)


def test_normalised_probe_has_the_promised_mean(raw):
    container = container_of(raw)
    assert container.probes.shape == (1, 1, 32, 32)
    index = np.arange(32) - 15.5
    mask = np.hypot(index[:, None], index) < 8
    assert np.abs(mask * container.probe[0]).mean() == pytest.approx(1 / MODEL.probe_scale, rel=1e-5)


def test_bad_pixels(members):
    bad = np.zeros((32, 32), bool)
    bad[5, 6] = True
    patterns = members["diffraction"].copy()
    patterns[:, 5, 6] = 65535
    raw = RawData.from_arrays(
        members["xcoords"], members["ycoords"], patterns, members["probeGuess"], measurement="counts", bad_pixels=bad
    )
    container = container_of(raw)
    np.testing.assert_array_equal(container.valid_pixels, 1.0 - bad[np.newaxis])
    assert (container.X[:, 5, 6] == 0).all()
    assert (container.X.astype(float) ** 2).sum((1, 2)).mean() == pytest.approx(256, rel=1e-5)


def test_labels_are_the_object_at_the_position_of_their_pattern(raw):
    container = container_of(raw, n_groups=5, with_labels=True)
    assert container.has_labels
    batch = container.batch(np.array([3]))
    position = container.coords_true[3:4, 0, :, 2]
    np.testing.assert_array_equal(batch.Y[0, :, :, 2], extract_patches(raw.objectGuess, (0, 0), position, 32)[0])


def test_labels_that_are_not_there(raw):
    raw.xcoords = raw.xcoords - 60
    with pytest.raises(DataError, match=r"lies outside objectGuess \(80 x 96 pixels\).*Shift the positions"):
        container_of(raw, with_labels=True)
    raw.objectGuess = None
    with pytest.raises(DataError, match="neither Y nor objectGuess"):
        container_of(raw, with_labels=True)


def test_nominal_positions(raw):
    np.testing.assert_array_equal(container_of(raw).coords_nominal, container_of(raw).coords_true)
    raw.xcoords_start, raw.ycoords_start = raw.xcoords + 2, raw.ycoords
    container = container_of(raw)
    np.testing.assert_allclose(container.coords_nominal[:, 0, 0], container.coords_true[:, 0, 0] + 2)


def test_missing_probe(raw):
    raw.probeGuess = None
    with pytest.raises(DataError, match=r"has no probe.*Add probeGuess"):
        container_of(raw)


def test_model_of_another_size(raw):
    with pytest.raises(
        DataError,
        match=r"32 x 32 pixels and the model is made for N = 64.*Pad the patterns .*--size 64.* made for N = 32",
    ):
        PtychoDataContainer.from_raw_data(raw, ModelConfig(N=64))
    grouped = raw.generate_grouped_data(32, nsamples=3, gridsize=1)
    with pytest.raises(DataError, match=r"diffraction has shape \(3, 32, 32, 1\); expected \(any, 32, 32, 4\)"):
        PtychoDataContainer.from_grouped_data(grouped, raw.probeGuess, MODEL)


def test_subset_keeps_order_and_normalisation(raw):
    container = container_of(raw)
    part = container.subset(np.array([9, 1]))
    np.testing.assert_array_equal(part.X, container.batch(np.array([9, 1])).X)
    assert part.n_groups == 2
    assert part.scans is container.scans


def test_split_is_seeded_and_complete(raw):
    container = container_of(raw)
    training, validation = container.split(0.25, 4)
    assert (training.n_groups, validation.n_groups) == (15, 5)
    together = np.concatenate([training.coords_true, validation.coords_true])
    np.testing.assert_array_equal(np.sort(together[:, 0, 0, 0]), np.sort(container.coords_true[:, 0, 0, 0]))
    np.testing.assert_array_equal(container.split(0.25, 4)[1].nn_indices, validation.nn_indices)
    assert container.split(0.0, 4) == (container, None)
    assert container.split(0.01, 4)[1].n_groups == 1
    assert container.split(0.999, 4)[0].n_groups == 1
    assert container.subset(np.array([0])).split(0.5, 4)[1] is None


def test_concatenation_keeps_each_scan_apart(raw, members):
    other = RawData.from_arrays(
        members["xcoords"], members["ycoords"], members["diffraction"] * 9, np.ones((2, 32, 32)), measurement="counts"
    )
    first, second = container_of(raw, n_groups=6), container_of(other, n_groups=4)
    joined = PtychoDataContainer.concatenate([first, second])
    assert joined.n_groups == 10
    np.testing.assert_array_equal(joined.scan_index, [0] * 6 + [1] * 4)
    assert joined.probes.shape == (2, 2, 32, 32)
    assert not joined.probes[0, 1].any()
    assert joined.valid_pixels.shape == (2, 32, 32)
    batch = joined.batch(np.array([8, 2, 6]))
    np.testing.assert_array_equal(
        batch.X,
        np.concatenate([second.batch(np.array([2])).X, first.batch(np.array([2])).X, second.batch(np.array([0])).X]),
    )
    np.testing.assert_array_equal(batch.scan_index, [1, 0, 1])
    assert not joined.has_labels
    np.testing.assert_allclose(
        joined.intensity_counts_factors, [first.intensity_counts_factor, second.intensity_counts_factor]
    )
    expected = np.sqrt((6 * first.intensity_counts_factor**2 + 4 * second.intensity_counts_factor**2) / 10)
    assert joined.intensity_counts_factor == pytest.approx(expected)
    again = PtychoDataContainer.concatenate([joined, first])
    np.testing.assert_array_equal(again.scan_index, [0] * 6 + [1] * 4 + [2] * 6)


def test_containers_that_do_not_fit(raw):
    single = PtychoDataContainer.from_raw_data(raw, ModelConfig(N=32))
    with pytest.raises(DataError, match=r"cannot be joined: \[\(32, 1\), \(32, 4\)\]"):
        PtychoDataContainer.concatenate([single, container_of(raw)])
    with pytest.raises(DataError, match="No container was given"):
        PtychoDataContainer.concatenate([])


def test_objects_of_one_file_share_its_probe(raw):
    raw.scan_index = np.repeat(np.int32([5, 8]), 10)
    container = container_of(raw)
    np.testing.assert_array_equal(container.object_index, raw.scan_index)
    assert not container.scan_index.any()
    assert container.probes.shape[0] == 1


def test_it_travels_to_another_process(raw):
    container = container_of(raw)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(container)).X, container.X)  # noqa: S301 (our own bytes)
