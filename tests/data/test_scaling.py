from __future__ import annotations

import numpy as np
import pytest

from ptychopinn_backend.data.scaling import (
    count_photons,
    counts_to_amplitudes,
    default_intensity_scale,
    normalisation_factor,
    pattern_slices,
)
from ptychopinn_backend.errors import DataError


def test_recorded_photon_counts(golden):
    recorded = np.load(golden / "scaling.npz")
    np.testing.assert_allclose(count_photons(recorded["in_amp"]), recorded["count_photons"][:, 0], rtol=1e-6)


@pytest.mark.parametrize("N", [16, 64])
def test_recorded_normalisation(golden, N):
    recorded = np.load(golden / "scaling.npz")
    normalised = recorded["in_amp"] * normalisation_factor(recorded["in_amp"], N)
    np.testing.assert_allclose(normalised, recorded[f"normalize_data_N{N}"][..., 0], atol=1e-6)


def test_grouped_patterns_are_counted_per_channel():
    amplitudes = np.random.default_rng(0).uniform(0, 5, (3, 8, 8, 4)).astype(np.float32)
    np.testing.assert_allclose(count_photons(amplitudes), (amplitudes.astype(float) ** 2).sum((1, 2)))


def test_uint16_counts_do_not_overflow():
    counts = np.full((2, 4, 4), 65535, np.uint16)
    amplitudes = counts_to_amplitudes(counts)
    assert amplitudes.dtype == np.float32
    np.testing.assert_allclose(count_photons(amplitudes), 16 * 65535.0, rtol=1e-6)


def test_large_uint64_counts_keep_their_size():
    assert counts_to_amplitudes(np.full((1, 1, 1), 2**63, np.uint64))[0, 0, 0] == np.float32(np.sqrt(2.0**63))


@pytest.mark.parametrize(
    "kind", ["bool", "uint8", "int16", "uint16", "int32", "uint64", "float16", "float32", "float64"]
)
def test_roots_of_any_type_are_those_of_double_precision(kind):
    largest = {"bool": 1, "uint8": 2**8, "float16": 2**15, "int16": 2**15, "uint16": 2**16}.get(kind, 2**31)
    counts = np.random.default_rng(1).uniform(0, largest, (3, 8, 8)).astype(kind)
    expected = np.sqrt(counts.astype(np.float64)).astype(np.float32)
    np.testing.assert_array_equal(counts_to_amplitudes(counts), expected)


@pytest.mark.filterwarnings("error")
def test_what_bad_pixels_hold_is_not_looked_at():
    counts = np.array([[[4.0, -1.0], [np.nan, 9.0]]], np.float32)
    good_pixels = np.array([[True, False], [False, True]])
    np.testing.assert_array_equal(counts_to_amplitudes(counts, good_pixels)[0], [[2, 0], [0, 3]])


def test_slices_cover_the_array_once():
    patterns = np.broadcast_to(np.float32(0), (1000, 128, 128))
    pieces = list(pattern_slices(patterns))
    assert len(pieces) > 1
    assert [index for piece in pieces for index in range(1000)[piece]] == list(range(1000))


def test_patterns_without_light_cannot_be_normalised():
    with pytest.raises(DataError, match=r"hold 0 photons on average.*Check the patterns"):
        normalisation_factor(np.zeros((2, 8, 8), np.float32), 8)


def test_default_intensity_scale():
    assert default_intensity_scale(1e6, 64) == pytest.approx(1e3 / 32)
