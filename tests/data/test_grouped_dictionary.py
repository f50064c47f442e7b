from __future__ import annotations

import numpy as np
import pytest

from ptychopinn_backend.data.grouped_dictionary import grouped_dictionary
from ptychopinn_backend.data.grouping import Groups, group_coordinates
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import DataError, ScanWarning
from ptychopinn_backend.physics.object_patches import extract_patches

KEYS = {
    "diffraction", "X_full", "Y", "nn_indices", "coords_nn", "coords_offsets", "coords_relative", "coords_start_nn",
    "coords_start_offsets", "coords_start_relative", "objectGuess", "object_index", "bad_pixels",
}  # fmt: skip


@pytest.fixture
def recorded(golden):
    return np.load(golden / "grouping.npz")


@pytest.fixture
def raw(recorded):
    # The numbers were drawn at random, the probe among them.
    with pytest.warns(ScanWarning, match="The probe holds"):
        return RawData.from_coords_without_pc(
            recorded["in_xcoords"],
            recorded["in_ycoords"],
            recorded["in_diff3d"],
            recorded["in_probeGuess"],
            recorded["in_scan_index"],
            recorded["in_objectGuess"],
        )


def groups_of(raw: RawData, indices: np.ndarray) -> Groups:
    return Groups(indices.astype(np.int32), *group_coordinates(raw.xcoords, raw.ycoords, indices))


@pytest.mark.parametrize("case", ["gs1_seq", "gs2_seq"])
def test_recorded_normalisation(recorded, raw, case):
    grouped = grouped_dictionary(raw, groups_of(raw, recorded[f"{case}__nn_indices"]))
    np.testing.assert_allclose(grouped["X_full"], recorded[f"{case}__X_full"], atol=1e-6)
    assert grouped["X_full"].dtype == np.float32


def test_recorded_normalisation_of_uint16_patterns(recorded):
    n = len(recorded["in_diff3d_uint16_first4"])
    raw = RawData.from_coords_without_pc(
        recorded["in_xcoords"][:n], recorded["in_ycoords"][:n], recorded["in_diff3d_uint16_first4"], None, None
    )
    grouped = raw.generate_grouped_data(16, nsamples=n, sequential_sampling=True, gridsize=1)
    np.testing.assert_allclose(grouped["X_full"], recorded["uint16_diff_gs1__X_full"], atol=1e-6)


def test_recorded_labels_of_single_patterns(recorded, raw):
    grouped = raw.generate_grouped_data(16, nsamples=6, sequential_sampling=True, gridsize=1)
    np.testing.assert_array_equal(grouped["nn_indices"], recorded["gs1_seq__nn_indices"])
    np.testing.assert_allclose(grouped["Y"], recorded["gs1_seq__Y"], atol=1e-3)


def test_recorded_labels_of_groups_lie_at_mirrored_positions(recorded, raw):
    # The recorded system cut the labels of a group at 2 * mean - position. Ours belong to the pattern of their channel.
    indices = recorded["gs2_seq__nn_indices"]
    mirrored = 2 * recorded["gs2_seq__coords_offsets"] - recorded["gs2_seq__coords_nn"]
    ours = grouped_dictionary(raw, groups_of(raw, indices))
    for channel in range(4):
        at_mirror = extract_patches(raw.objectGuess, (0, 0), mirrored[:, 0, :, channel], 16)
        np.testing.assert_allclose(at_mirror, recorded["gs2_seq__Y"][..., channel], atol=1e-3)
        at_position = extract_patches(raw.objectGuess, (0, 0), ours["coords_nn"][:, 0, :, channel], 16)
        np.testing.assert_array_equal(ours["Y"][..., channel], at_position)


@pytest.mark.parametrize("gridsize", [1, 2, 3])
def test_legacy_dictionary(raw, gridsize):
    channels = gridsize**2
    grouped = raw.generate_grouped_data(16, K=9, nsamples=7, seed=1, gridsize=gridsize)
    assert set(grouped) == KEYS
    for name, dtype in (("diffraction", np.float32), ("X_full", np.float32), ("Y", np.complex64)):
        assert grouped[name].shape == (7, 16, 16, channels)
        assert grouped[name].dtype == dtype
    for group, channel in ((0, 0), (6, channels - 1)):
        point = grouped["nn_indices"][group, channel]
        np.testing.assert_array_equal(grouped["diffraction"][group, :, :, channel], raw.diff3d[point])
    mean_photons = (grouped["X_full"].astype(float) ** 2).sum((1, 2)).mean()
    assert mean_photons == pytest.approx(64, rel=1e-5)
    assert grouped["coords_start_nn"] is None


def test_given_patches_stay_complex_and_follow_the_groups(raw):
    rng = np.random.default_rng(0)
    raw.Y = (rng.normal(size=(40, 16, 16)) + 1j * rng.normal(size=(40, 16, 16))).astype(np.complex64)
    grouped = raw.generate_grouped_data(16, nsamples=5, seed=1, gridsize=2)
    np.testing.assert_array_equal(grouped["Y"][3, :, :, 2], raw.Y[grouped["nn_indices"][3, 2]])
    assert grouped["Y"].dtype == np.complex64


def test_no_labels_without_ground_truth(raw):
    raw.objectGuess = None
    assert raw.generate_grouped_data(16, nsamples=5, gridsize=1)["Y"] is None


def test_pattern_size_must_agree(raw):
    with pytest.raises(DataError, match=r"N = 64 for patterns of 16 x 16 pixels.*Set N to 16"):
        raw.generate_grouped_data(64)
