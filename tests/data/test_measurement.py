from __future__ import annotations

import warnings

import numpy as np
import pytest

from ptychopinn_backend.data.measurement import decide_measurement, to_amplitudes
from ptychopinn_backend.errors import DataError

COUNTS = np.random.default_rng(3).poisson(50.0, (4, 8, 8))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_whole_numbers_above_one_are_counts(dtype):
    assert decide_measurement(COUNTS.astype(dtype), None, {}, None) == "counts"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1, 1000])
def test_square_roots_of_whole_numbers_are_amplitudes(dtype, scale):
    assert decide_measurement(np.sqrt(COUNTS * scale).astype(dtype), None, {}, None) == "amplitudes"


def test_float32_roots_stored_as_float64_are_amplitudes():
    assert decide_measurement(np.sqrt(COUNTS).astype(np.float32).astype(float), None, {}, None) == "amplitudes"


def test_zeros_and_ones_are_amplitudes_either_way():
    assert decide_measurement((COUNTS > 50).astype(np.uint16), None, {}, None) == "amplitudes"


@pytest.mark.parametrize("patterns", [COUNTS * 0.37, COUNTS * 1e4 + 0.3])
def test_other_values_are_amplitudes_with_one_warning(patterns):
    with pytest.warns(UserWarning, match="Say measurement='counts' or measurement='amplitudes'") as caught:
        assert decide_measurement(patterns, None, {}, None) == "amplitudes"
    assert len(caught) == 1


def test_argument_beats_metadata_beats_values():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decide_measurement(COUNTS, "amplitudes", {"measurement": "counts"}, None) == "amplitudes"
        assert decide_measurement(COUNTS, None, {"measurement": "amplitudes"}, None) == "amplitudes"
        assert decide_measurement(COUNTS * 0.37, None, {"measurement_domain": "count_intensity"}, None) == "counts"


def test_bad_pixels_are_not_looked_at():
    patterns = COUNTS.astype(float)
    patterns[:, 2, 3] = 0.4
    good = np.ones((8, 8), bool)
    good[2, 3] = False
    assert decide_measurement(patterns, None, {}, good) == "counts"


@pytest.mark.parametrize(("argument", "metadata"), [("photons", {}), (None, {"measurement": 3})])
def test_unknown_names(argument, metadata):
    with pytest.raises(DataError, match="is neither 'counts' nor 'amplitudes'"):
        decide_measurement(COUNTS, argument, metadata, None)


def test_float32_amplitudes_are_not_copied():
    patterns = np.sqrt(COUNTS).astype(np.float32)
    assert np.shares_memory(to_amplitudes(patterns, "amplitudes", None), patterns)


@pytest.mark.parametrize("measurement", ["counts", "amplitudes"])
def test_bad_pixels_become_zero(measurement):
    patterns = COUNTS.astype(np.float32)
    patterns[:, 1, 1] = np.nan
    good = np.ones((8, 8), bool)
    good[1, 1] = False
    amplitudes = to_amplitudes(patterns, measurement, good)
    assert (amplitudes[:, 1, 1] == 0).all()
    assert np.isnan(patterns[:, 1, 1]).all()
