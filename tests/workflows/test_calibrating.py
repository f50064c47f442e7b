"""Calibration as a step of a run: taken where held-out patterns ask for it, kept for later, left alone otherwise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.calibration import CalibrationOptions, calibrate
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.model_api import PtychoModel
from ptychopinn_backend.runs.calibrating import calibrated_for_training, reconstruct_calibrated, worth_taking
from ptychopinn_backend.runs.scan_input import scan_input


@pytest.fixture(scope="module")
def exact() -> RawData:
    return simulate_scan(SimulationConfig(size=32, patterns=64, photons=1e5, probe="zone_plate"), seed=4)


@pytest.fixture(scope="module")
def displaced(exact: RawData) -> RawData:
    """Positions off by 1.5 px, which the patterns contradict."""
    errors = np.random.default_rng(0).normal(0, 1.5, (2, exact.n_patterns))
    return replace(exact, xcoords=exact.xcoords + errors[0], ycoords=exact.ycoords + errors[1])


def position_error_px(scan: RawData, exact: RawData) -> float:
    apart = scan.positions_xy - exact.positions_xy
    return float(np.std(apart - apart.mean(axis=0)))


def test_positions_that_the_patterns_contradict_are_refined(
    exact: RawData, displaced: RawData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refined = calibrated_for_training(displaced, "auto", tmp_path)
    assert position_error_px(refined, exact) < 0.6 * position_error_px(displaced, exact)
    assert "Probe and positions were refined: The held-out patterns are better explained: R-free" in caplog.text
    (kept,) = tmp_path.glob("calibration-*.npz")
    assert kept.stat().st_size < 200_000


def test_what_was_found_is_used_for_the_same_scan_only(exact: RawData, displaced: RawData, tmp_path: Path) -> None:
    refined = calibrated_for_training(displaced, "auto", tmp_path)
    model = PtychoModel(N=32, gridsize=1, architecture="backprojection_unet", n_filters_scale=1, backend="pytorch")
    model.train(exact, nepochs=1)
    assert model.trained is not None
    here = reconstruct_calibrated(model.trained, displaced, "auto", tmp_path, polish_steps=0)
    np.testing.assert_array_equal(here.positions_xy, refined.positions_xy)
    never = reconstruct_calibrated(model.trained, displaced, "never", tmp_path, polish_steps=0)
    np.testing.assert_array_equal(never.positions_xy, displaced.positions_xy)


def test_an_exact_scan_stays_as_it_is(exact: RawData, tmp_path: Path) -> None:
    assert calibrated_for_training(exact, "auto", tmp_path) is exact
    assert not list(tmp_path.iterdir())


def test_never_changes_nothing(displaced: RawData) -> None:
    assert calibrated_for_training(displaced, "never", None) is displaced


def test_few_patterns_are_not_calibrated(displaced: RawData) -> None:
    few = displaced.select(np.arange(10))
    assert calibrated_for_training(few, "auto", None) is few


def test_trainings_take_scans_as_they_are_unless_asked(displaced: RawData) -> None:
    assert scan_input([displaced]).sizes[0].positions_xy is not None
    np.testing.assert_array_equal(scan_input([displaced]).sizes[0].positions_xy, displaced.positions_xy)


def test_another_choice_is_refused(exact: RawData) -> None:
    with pytest.raises(ConfigError, match=r"calibrate = 'maybe' is not one of 'auto', 'never', 'always'"):
        calibrated_for_training(exact, "maybe", None)


def test_one_pattern_of_three_is_no_evidence(displaced: RawData) -> None:
    found = calibrate(displaced, CalibrationOptions(strengths=False, most_sweeps=8))
    assert found.before is not None
    assert worth_taking(found)[0]
    # Three patterns of a scan of few positions: one gains much, the others nothing.
    before = replace(found.before, each=(1.289, 2.217, 1.317), deviance=1.608)
    after = replace(found.after, each=(1.26, 1.814, 1.277), deviance=1.45)
    taken, reason = worth_taking(replace(found, before=before, after=after))
    assert not taken
    assert "3 patterns differ too much to tell (chance 0.1" in reason
