"""How much of the error lies within the uncertainty, of errors that are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.evaluation import align_objects, evaluate
from ptychopinn_backend.evaluation.coverage import coverage
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

AMPLITUDE, PHASE_RAD = 0.02, 0.05
WITHIN = 0.03
"""Of some 4000 pixels, and for the ramp and the scale that are fitted to them."""


@pytest.fixture(scope="module")
def scan() -> RawData:
    return simulate_scan(SimulationConfig(size=32, patterns=100, photons=1e6, object="random_field"), seed=2)


def noisy(scan: RawData, times: float) -> Reconstruction:
    """Return the truth with normal errors, and an uncertainty that is `times` their standard deviation."""
    truth, probe = scan.objectGuess, scan.probeGuess
    assert truth is not None
    assert probe is not None
    rng = np.random.default_rng(0)
    amplitude = np.abs(truth) + AMPLITUDE * rng.normal(size=truth.shape)
    obj = amplitude * np.exp(1j * (np.angle(truth) + PHASE_RAD * rng.normal(size=truth.shape)))
    return Reconstruction(
        # A scale, which is taken out of the error, and a phase.
        (2 * obj * np.exp(0.7j)).astype(np.complex64),
        (0.0, 0.0),
        np.asarray(probe, np.complex64).reshape(-1, 32, 32) / 2,
        positions_xy=scan.positions_xy,
        amplitude_uncertainty=np.full(truth.shape, 2 * times * AMPLITUDE, np.float32),
        phase_uncertainty=np.full(truth.shape, times * PHASE_RAD, np.float32),
    )


@pytest.mark.parametrize(("times", "one", "two"), [(1.0, 0.683, 0.954), (0.5, 0.383, 0.683), (2.0, 0.954, 1.0)])
def test_a_normal_error_lies_within_it_at_the_rates_of_the_normal_law(
    scan: RawData, times: float, one: float, two: float
) -> None:
    assert scan.objectGuess is not None
    report = evaluate(noisy(scan, times), scan, truth=(scan.objectGuess, (0.0, 0.0)))
    for what in ("amplitude", "phase"):
        assert report[f"{what}_within_one"] == pytest.approx(one, abs=WITHIN)
        assert report[f"{what}_within_two"] == pytest.approx(two, abs=WITHIN)


def test_without_uncertainty_or_against_a_reference_nothing_is_said(scan: RawData) -> None:
    made = noisy(scan, 1.0)
    assert scan.objectGuess is not None
    target = (scan.objectGuess, (0.0, 0.0))
    unsaid = replace(made, phase_uncertainty=None)
    assert coverage(unsaid, align_objects(unsaid, *target, scan.positions_xy)) == {}
    assert "phase_within_one" not in evaluate(made, scan, reference=target)
