"""A classical object with a prior, stopped by held-out patterns."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ptychopinn_backend.arrays import Complex64Array
from ptychopinn_backend.calibration import classical_object
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.evaluation.scores import align_objects, compare_objects
from ptychopinn_backend.stitching.assembly import ObjectFrame
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

from .scans import exact


def phase_correlation(obj: Complex64Array, origin_rc: tuple[float, float], scan: RawData) -> float:
    assert scan.objectGuess is not None
    assert scan.probeGuess is not None
    aligned = align_objects(
        Reconstruction(obj, origin_rc, scan.probeGuess), scan.objectGuess, (0.0, 0.0), scan.positions_xy
    )
    return float(compare_objects(aligned)["phase_correlation"])


def truth(scan: RawData) -> tuple[Complex64Array, ObjectFrame]:
    assert scan.objectGuess is not None
    rows, columns = scan.objectGuess.shape
    return scan.objectGuess, ObjectFrame((rows, columns), (0.0, 0.0))


def test_many_photons_give_the_object() -> None:
    scan = exact()
    found = classical_object(scan)
    assert phase_correlation(found.object, found.origin_rc, scan) > 0.98
    assert found.info["r_free"] < 0.1


def test_few_photons_ask_for_a_prior_and_the_poisson_law() -> None:
    scan = exact(3e2)
    found, bare = classical_object(scan), classical_object(scan, likelihood="amplitude", smoothness=0.0)
    assert found.info["likelihood"] == "poisson"
    assert found.info["smoothness"] > 0
    assert found.info["log_likelihood_free"] > bare.info["log_likelihood_free"]
    better, worse = (phase_correlation(each.object, each.origin_rc, scan) for each in (found, bare))
    assert 1 - better < 0.85 * (1 - worse)


def test_a_scan_without_probe_has_no_classical_object() -> None:
    with pytest.raises(DataError, match="no probe"):
        classical_object(replace(exact(), probeGuess=None))
