"""The orientation of positions against patterns is found by the patterns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.runs.orientation import AS_GIVEN, ORIENTATIONS, Orientation, search_orientation


@pytest.fixture(scope="module")
def raw() -> RawData:
    return simulate_scan(SimulationConfig(size=32, patterns=64, photons=1e5), seed=2)


def turned(raw: RawData, way: Orientation) -> RawData:
    x, y = way.of(raw.positions_xy).T
    return replace(raw, xcoords=np.ascontiguousarray(x), ycoords=np.ascontiguousarray(y))


@pytest.mark.parametrize("way", ORIENTATIONS, ids=str)
def test_each_of_the_eight_is_undone(way: Orientation, raw: RawData) -> None:
    search = search_orientation(turned(raw, way), n_patterns=36)
    assert search.is_clear
    assert search.best.after(way) == AS_GIVEN
    assert search.n_patterns == 36
    assert list(search.r_factors.values()) == sorted(search.r_factors.values())
    assert search.r_factors[search.best] < 0.7 * search.r_factors[next(w for w in ORIENTATIONS if w != search.best)]


def test_combined_orientations() -> None:
    quarter = Orientation(True, True, False)
    assert quarter.after(quarter) == Orientation(False, True, True)
    assert quarter.after(quarter).after(quarter).after(quarter) == AS_GIVEN
    assert (str(quarter), str(AS_GIVEN)) == ("--swap-xy --negate-x", "as given")


def test_patterns_that_do_not_overlap_tell_nothing(raw: RawData) -> None:
    x, y = np.meshgrid(np.arange(4.0), np.arange(4.0))
    apart = replace(raw.select(np.arange(16)), xcoords=200 * x.ravel(), ycoords=200 * y.ravel())
    assert not search_orientation(apart).is_clear


def test_what_cannot_be_compared_is_said(raw: RawData) -> None:
    with pytest.raises(DataError, match="has no probe"):
        search_orientation(replace(raw, probeGuess=None))
    with pytest.raises(DataError, match="8 patterns at 8 places"):
        search_orientation(raw.select(np.arange(8)))
    with pytest.raises(DataError, match="at 1 places"):
        search_orientation(replace(raw, xcoords=0 * raw.xcoords, ycoords=0 * raw.ycoords))
