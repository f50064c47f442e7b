from __future__ import annotations

import json

import numpy as np
import pytest

from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import ConfigError, DataError, DataFileNotFoundError, ScanWarning


@pytest.fixture
def scan_file(tmp_path, members):
    def write(**changes):
        content = {key: value for key, value in {**members, **changes}.items() if value is not None}
        np.savez(tmp_path / "scan.npz", **content)
        return tmp_path / "scan.npz"

    return write


def test_counts_become_amplitudes(scan_file, members):
    raw = RawData.from_file(scan_file())
    assert raw.measured_as_counts
    assert raw.diff3d.dtype == np.float32
    np.testing.assert_allclose(raw.diff3d**2, members["diffraction"], rtol=1e-6)
    assert raw.mean_photons == pytest.approx(members["diffraction"].sum() / raw.n_patterns)
    assert (raw.n_patterns, raw.N) == (20, 32)
    assert raw.probeGuess.shape == (1, 32, 32)
    assert raw.scan_index.dtype == np.int32
    assert not raw.scan_index.any()


def test_legacy_key_and_axis_order(scan_file, members):
    patterns = members["diffraction"]
    raw = RawData.from_file(scan_file(diffraction=None, diff3d=np.moveaxis(patterns, 0, 2)))
    np.testing.assert_array_equal(raw.diff3d, RawData.from_file(scan_file()).diff3d)


def test_cube_that_does_not_tell_its_pattern_axis_is_taken_as_the_format_says():
    patterns = np.random.default_rng(0).poisson(5.0, (32, 32, 32))
    x = np.arange(32.0)
    with pytest.warns(ScanWarning, match='the first is taken.*"pattern_axis": 0, or 2 for the last'):
        raw = RawData.from_arrays(x, x, patterns, measurement="counts")
    np.testing.assert_allclose(raw.diff3d**2, patterns, rtol=1e-6)
    for axis in (0, 2):
        told = RawData.from_arrays(x, x, patterns, measurement="counts", metadata={"pattern_axis": axis})
        np.testing.assert_allclose(told.diff3d**2, np.moveaxis(patterns, axis, 0), rtol=1e-6)
    with pytest.raises(DataError, match="pattern_axis = 1 in _metadata is neither 0 nor 2"):
        RawData.from_arrays(x, x, patterns, measurement="counts", metadata={"pattern_axis": 1})


def test_diffraction_is_preferred_to_diff3d(scan_file, members):
    raw = RawData.from_file(scan_file(diff3d=members["diffraction"] + 1))
    np.testing.assert_allclose(raw.diff3d**2, members["diffraction"], rtol=1e-6)


def test_explicit_measurement_and_metadata(scan_file, members):
    as_amplitudes = RawData.from_file(scan_file(), measurement="amplitudes")
    np.testing.assert_array_equal(as_amplitudes.diff3d, members["diffraction"])
    assert not as_amplitudes.measured_as_counts
    told = RawData.from_file(scan_file(_metadata=json.dumps({"measurement": "amplitudes", "nphotons": 1e6})))
    np.testing.assert_array_equal(told.diff3d, members["diffraction"])
    assert told.metadata["nphotons"] == 1e6


@pytest.mark.parametrize("name", ["xcoords", "scan_index", "diffraction", "probeGuess", "Y"])
def test_a_signalling_nan_is_refused_without_a_warning(scan_file, members, name):
    kind = np.complex64 if name in {"probeGuess", "Y"} else np.float32
    shape = {"xcoords": (20,), "scan_index": (20,), "probeGuess": (32, 32)}
    values = np.zeros(shape.get(name, (20, 32, 32)), kind)
    values.view(np.uint32)[...] = 0x7F800001
    with pytest.raises(DataError, match=r"nan|not finite"):
        RawData.from_file(scan_file(**{name: values}))


@pytest.mark.parametrize("text", ["{broken", "[" * 100_000, "9" * 5000])
def test_metadata_that_is_no_json_is_skipped(scan_file, text):
    with pytest.warns(UserWarning, match="not JSON text of a mapping"):
        assert RawData.from_file(scan_file(_metadata=text)).metadata == {}


def test_optional_arrays(scan_file, members):
    n = len(members["xcoords"])
    bad = np.zeros((32, 32), bool)
    bad[3, 4] = True
    patterns = members["diffraction"].astype(np.int32)
    patterns[:, 3, 4] = -1
    raw = RawData.from_file(
        scan_file(
            diffraction=patterns,
            bad_pixels=bad,
            xcoords_start=np.arange(n),
            ycoords_start=np.arange(n),
            scan_index=np.arange(n) % 2,
            Y=np.ones((n, 32, 32, 1), np.complex128),
            probeGuess=np.ones((3, 32, 32)),
        )
    )
    assert raw.bad_pixels[3, 4]
    assert (raw.diff3d[:, 3, 4] == 0).all()
    assert raw.xcoords_start.dtype == np.float64
    assert raw.Y.shape == (n, 32, 32)
    assert raw.Y.dtype == np.complex64
    assert raw.probeGuess.shape == (3, 32, 32)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"diffraction": None}, "lacks 'diffraction' or 'diff3d'; it holds xcoords"),
        ({"xcoords": None}, r"lacks 'xcoords'; it holds .* Did you mean 'ycoords'\?"),
        ({"ycoords": None}, "lacks 'ycoords'"),
        ({"diffraction": np.ones((20, 32))}, r"diffraction has shape \(20, 32\); expected \(pattern, N, N\)"),
        ({"diffraction": np.ones((20, 32, 16))}, "patterns of 32 x 16 pixels; they must be square"),
        ({"diffraction": np.ones((19, 32, 32))}, "holds 19 patterns for 20 scan positions"),
        ({"diffraction": np.ones((0, 32, 32))}, "zero patterns"),
        ({"xcoords": np.zeros(0), "ycoords": np.zeros(0)}, "xcoords is empty: the scan has zero positions"),
        ({"diffraction": np.full((20, 32, 32), np.nan)}, "holds nan in pattern 0 at row 0, column 0.*must be finite"),
        ({"diffraction": np.full((20, 32, 32), 1e300)}, r"holds 1e\+300 in pattern 0 .* must be finite"),
        ({"diffraction": np.full((20, 32, 32), -1)}, "holds -1 in pattern 0 .* must be not negative"),
        ({"diffraction": np.ones((20, 32, 32), complex)}, "diffraction has type complex128; expected real numbers"),
        ({"diffraction": np.full((20, 32, 32), "x")}, "diffraction has type <U1"),
        ({"diffraction": np.array([None] * 20)}, "'diffraction' in .* is an array of Python objects"),
        ({"xcoords": np.ones((20, 1))}, r"xcoords has shape \(20, 1\); expected \(pattern,\)"),
        ({"ycoords": np.ones(19)}, "ycoords has 19 values for 20 scan points"),
        ({"xcoords": np.full(20, np.inf)}, r"xcoords holds inf at index \(0,\); every value must be finite"),
        ({"xcoords_start": np.ones(20)}, "xcoords_start is given alone"),
        ({"xcoords_start": np.ones(20), "ycoords_start": np.ones(3)}, "ycoords_start has 3 values for 20"),
        ({"probeGuess": np.ones((16, 16))}, r"probeGuess has shape \(16, 16\) for patterns of 32 x 32"),
        ({"probeGuess": np.ones(32)}, r"probe has shape \(32,\); expected \(N, N\) or \(mode, N, N\)"),
        ({"probeGuess": np.full((32, 32), np.nan)}, "probe holds values that are not finite"),
        ({"probeGuess": np.full((32, 32), 1e300)}, "probe holds values that are not finite"),
        ({"scan_index": np.zeros(3)}, r"scan_index has shape \(3,\) for 20 scan points"),
        ({"scan_index": np.full(20, 0.5)}, "scan_index holds 0.5; expected whole numbers"),
        ({"scan_index": np.full(20, np.nan)}, "scan_index holds nan; expected whole numbers"),
        ({"Y": np.full((20, 32, 32), 1e300 + 0j)}, r"Y holds \(1e\+300\+0j\) at .* must be finite"),
        ({"Y": np.ones((20, 32, 32))}, "Y has type float64; expected complex patches"),
        ({"Y": np.ones((20, 16, 16), complex)}, r"Y has shape .* expected \(20, 32, 32\)"),
        ({"bad_pixels": np.zeros((16, 16), bool)}, r"bad_pixels has shape \(16, 16\) for patterns of \(32, 32\)"),
        ({"bad_pixels": np.zeros(32, bool)}, r"bad_pixels has shape \(32,\); expected \(N, N\)"),
        ({"bad_pixels": np.ones((32, 32), bool)}, "marks every pixel as bad"),
        ({"_metadata": json.dumps({"measurement": "photons"})}, "measurement in _metadata = 'photons' is neither"),
    ],
)
def test_every_bad_input_has_its_own_error(scan_file, changes, words):
    with pytest.raises(DataError, match=words):
        RawData.from_file(scan_file(**changes))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            np.ones((2, 80, 80)),
            r"objectGuess has shape \(2, 80, 80\); expected \(H, W\).* It is left out.* Reshape it\.",
        ),
        (np.full((80, 80), np.nan), "objectGuess holds nan .* left out"),
        (np.full((80, 80), 1e300), r"objectGuess holds 1e\+300 at .* must be finite"),
        (np.full((80, 80), "x"), "objectGuess has type <U1"),
    ],
)
def test_an_object_that_cannot_be_used_stops_nobody_who_does_not_need_it(scan_file, values, words):
    path = scan_file(objectGuess=values)
    with pytest.warns(ScanWarning, match=words) as caught:
        assert RawData.from_file(path).objectGuess is None
    assert len(caught) == 1
    assert str(path) in str(caught[0].message)


def test_an_object_of_one_layer_is_a_plane(scan_file, members):
    raw = RawData.from_file(scan_file(objectGuess=members["objectGuess"][np.newaxis]))
    np.testing.assert_array_equal(raw.objectGuess, members["objectGuess"])


def test_errors_name_the_file(scan_file):
    with pytest.raises(DataError, match=r"scan\.npz"):
        RawData.from_file(scan_file(ycoords=np.ones(19)))


def test_missing_file_is_a_file_not_found_error(tmp_path):
    with pytest.raises(DataFileNotFoundError, match="does not exist"):
        RawData.from_file(tmp_path / "gone.npz")


def test_object_arrays_handed_over_directly_are_refused(members):
    objects = np.array([None] * 20, dtype=object)
    with pytest.raises(DataError, match="xcoords is an array of Python objects"):
        RawData.from_arrays(objects, members["ycoords"], members["diffraction"], measurement=None)


def test_round_trip_through_a_file(scan_file, tmp_path, members):
    n = len(members["xcoords"])
    raw = RawData.from_file(scan_file(Y=np.ones((n, 32, 32), np.complex64), bad_pixels=np.eye(32, dtype=bool)))
    raw.metadata["nphotons"] = 1e5
    raw.to_file(tmp_path / "new" / "written.npz")
    again = RawData.from_file(tmp_path / "new" / "written.npz")
    for name in ("xcoords", "ycoords", "diff3d", "probeGuess", "scan_index", "objectGuess", "Y", "bad_pixels"):
        np.testing.assert_array_equal(getattr(again, name), getattr(raw, name))
        assert getattr(again, name).dtype == getattr(raw, name).dtype
    assert again.xcoords_start is None
    assert again.measured_as_counts
    assert again.metadata["nphotons"] == 1e5


def test_legacy_constructor_takes_amplitudes(members):
    raw = RawData.from_coords_without_pc(
        members["xcoords"], members["ycoords"], members["diffraction"], members["probeGuess"], None
    )
    np.testing.assert_array_equal(raw.diff3d, members["diffraction"])


def test_subsample_is_seeded_and_in_scan_order(scan_file):
    raw = RawData.from_file(scan_file())
    first, again, other = raw.subsample(8, 1), raw.subsample(8, 1), raw.subsample(8, 2)
    np.testing.assert_array_equal(first.xcoords, again.xcoords)
    assert not np.array_equal(first.xcoords, other.xcoords)
    rows = np.searchsorted(np.sort(raw.xcoords), first.xcoords)
    order = [int(np.flatnonzero(raw.xcoords == x)[0]) for x in first.xcoords]
    assert order == sorted(order)
    assert len(set(rows)) == 8
    assert raw.subsample(20, 0) is raw
    assert raw.subsample(100, 0) is raw
    with pytest.raises(ConfigError, match="n_subsample = 0 must be a whole number above 0"):
        raw.subsample(0, 0)


def test_select_keeps_everything_together(scan_file):
    raw = RawData.from_file(scan_file())
    chosen = raw.select(np.array([5, 2]))
    np.testing.assert_array_equal(chosen.diff3d, raw.diff3d[[5, 2]])
    np.testing.assert_array_equal(chosen.ycoords, raw.ycoords[[5, 2]])
    assert raw.select(raw.xcoords > 40).n_patterns == (raw.xcoords > 40).sum()
    with pytest.raises(DataError, match="The scan has 20 points"):
        raw.select(np.array([20]))
    with pytest.raises(DataError, match="None of the 20 scan points was selected"):
        raw.select(np.zeros(20, bool))


def test_measured_scan(shared_folder):
    raw = RawData.from_file(shared_folder / "data" / "siemens_star.npz")
    assert raw.measured_as_counts
    assert raw.mean_photons == pytest.approx(4.6e5, rel=0.01)
    assert raw.probeGuess.shape == (3, 128, 128)
