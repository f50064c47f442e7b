"""Parts of a large scan in a file come in a file again, so that no step of a run holds the scan in memory."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.calibration.estimate import Measured, vacuum
from ptychopinn_backend.calibration.refinement import Refinement
from ptychopinn_backend.calibration.search import ill_fitting
from ptychopinn_backend.data.mapped_patterns import mapped_room, selected_patterns
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate
from ptychopinn_backend.physics.likelihood import likelihood_for

MIB = 2**20
N, COPIES = 32, 100


@pytest.fixture(scope="module")
def scan() -> RawData:
    """4,000 patterns of 32 x 32 in a file: 16 MiB."""
    one = simulate(SimulationConfig(size=N, patterns=40, photons=1e5), 1).to_raw_data()
    room = mapped_room((40 * COPIES, N, N))
    for start in range(0, len(room), 40):
        room[start : start + 40] = one.diff3d
    names = ("xcoords", "ycoords", "scan_index")
    return replace(
        one,
        diff3d=room,
        xcoords_start=None,
        ycoords_start=None,
        **{name: np.tile(getattr(one, name), COPIES) for name in names},
    )


def peak_bytes(work: object) -> tuple[AnyArray, int]:
    """Return what a call gives, and the most memory it took."""
    assert callable(work)
    tracemalloc.start()
    try:
        found = work()
        return found, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_many_rows_come_in_a_file(scan: RawData, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.setdiff1d(np.arange(scan.n_patterns), [3, 17])
    monkeypatch.setattr("ptychopinn_backend.data.mapped_patterns._SMALL_BYTES", MIB)
    found, most = peak_bytes(lambda: scan.select(rows).diff3d)
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found, np.asarray(scan.diff3d)[rows])
    assert most < 0.8 * scan.diff3d.nbytes
    found[0] = 0
    assert scan.diff3d[0].any()


def test_few_rows_come_in_memory(scan: RawData) -> None:
    for patterns in (scan.diff3d, np.asarray(scan.diff3d)):
        found = selected_patterns(patterns, np.array([5, 2]))
        assert not isinstance(found, np.memmap)
        np.testing.assert_array_equal(found, patterns[[5, 2]])


def test_a_calibration_looks_at_all_patterns_in_parts(scan: RawData) -> None:
    measured = Measured.of(scan)
    assert scan.probeGuess is not None
    refinement = Refinement(
        measured,
        vacuum(measured, scan.probeGuess, 6.0),
        likelihood_for("amplitude", 10.0),
        smoothness=0.0,
        position_limit_px=4.0,
        seed=1,
    )
    rows, most = peak_bytes(lambda: ill_fitting(refinement, measured))
    assert len(rows) < len(measured.fitted)
    # All at once it was three times as much.
    assert most < 0.5 * scan.diff3d.nbytes
