"""Calibration finds probe, positions and beam strength of simulated scans, and says whether to believe it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ptychopinn_backend.calibration import Calibration, CalibrationOptions, calibrate, calibrated_scan
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import ConfigError, DataError
from ptychopinn_backend.evaluation.scores import align_objects, compare_objects

from .scans import displaced, exact, position_errors


def phase_correlation(found: Calibration, scan: RawData) -> float:
    assert scan.objectGuess is not None
    aligned = align_objects(found.to_reconstruction(), scan.objectGuess, (0.0, 0.0), scan.positions_xy)
    return float(compare_objects(aligned)["phase_correlation"])


def test_errors_of_positions_are_found() -> None:
    scan = exact()
    moved = displaced(scan, 1.0)
    found = calibrate(moved, CalibrationOptions(modes=1))
    assert np.median(position_errors(moved.positions_xy, scan.positions_xy)) > 0.9
    assert np.median(position_errors(found.positions_xy, scan.positions_xy)) < 0.2
    assert found.believed
    assert found.before is not None
    assert found.after.r_factor < 0.8 * found.before.r_factor
    assert phase_correlation(found, scan) > 0.97


def test_turn_and_scale_of_the_whole_scan_are_found() -> None:
    scan = exact()
    angle = np.deg2rad(3.0)
    matrix = 1.03 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = scan.positions_xy.mean(axis=0)
    said = (scan.positions_xy - centre) @ np.linalg.inv(matrix).T + centre
    found = calibrate(replace(scan, xcoords=said[:, 0], ycoords=said[:, 1]), CalibrationOptions(modes=1))
    assert found.affine.scale == pytest.approx(1.03, abs=0.01)
    assert found.affine.rotation_deg == pytest.approx(3.0, abs=0.6)
    assert found.affine.shear < 0.02


def test_a_probe_out_of_focus_is_put_right() -> None:
    scan = exact()
    assert scan.probeGuess is not None
    frequency = np.fft.fftfreq(scan.N)
    kernel = np.exp(-1j * np.pi * 25.0 * (frequency[:, None] ** 2 + frequency**2))
    wrong = np.fft.ifft2(np.fft.fft2(scan.probeGuess) * kernel).astype(np.complex64)
    found = calibrate(replace(scan, probeGuess=wrong), CalibrationOptions(modes=1, positions=False))
    assert found.believed
    assert _overlap(found.probe[0], scan.probeGuess[0]) > 0.95 > _overlap(wrong[0], scan.probeGuess[0])
    assert phase_correlation(found, scan) > 0.97


def test_without_a_probe_it_begins_with_the_mean_pattern() -> None:
    scan = exact()
    found = calibrate(replace(scan, probeGuess=None), CalibrationOptions("none", modes=1, positions=False))
    assert found.before is None
    assert found.believed
    assert phase_correlation(found, scan) > 0.95


def test_modes_of_the_beam_are_told_apart() -> None:
    scan = exact(modes=2)
    assert scan.probeGuess is not None
    found = calibrate(replace(scan, probeGuess=scan.probeGuess[:1]), CalibrationOptions(modes=2, positions=False))
    first, second = (np.sum(np.abs(mode) ** 2) for mode in found.probe)
    assert abs(np.vdot(found.probe[0], found.probe[1])) < 1e-3 * first
    assert second / (first + second) == pytest.approx(1 / 3, abs=0.1)
    assert found.after.r_factor < 0.7 * found.before.r_factor  # type: ignore[union-attr]


def test_the_light_of_the_patterns_is_found() -> None:
    scan = exact()
    light = np.random.default_rng(2).uniform(0.7, 1.3, scan.n_patterns)
    uneven = replace(scan, diff3d=(scan.diff3d * np.sqrt(light)[:, None, None]).astype(np.float32))
    found = calibrate(uneven, CalibrationOptions(modes=1, positions=False))
    assert np.corrcoef(found.strengths, light)[0, 1] > 0.95
    evened = calibrated_scan(uneven, found)
    assert np.std(np.sum(evened.diff3d**2, axis=(1, 2))) < 0.7 * np.std(np.sum(uneven.diff3d**2, axis=(1, 2)))


def test_what_is_right_already_stays_right() -> None:
    scan = exact(1e5)
    found = calibrate(scan, CalibrationOptions(modes=1))
    assert np.percentile(position_errors(found.positions_xy, scan.positions_xy), 90) < 0.3
    assert phase_correlation(found, scan) > 0.95


def test_noise_is_not_believed() -> None:
    scan = exact()
    rng = np.random.default_rng(0)
    noise = replace(scan, diff3d=np.sqrt(rng.poisson(3.0, scan.diff3d.shape)).astype(np.float32))
    found = calibrate(noise, CalibrationOptions(modes=1, most_sweeps=8))
    assert not found.believed
    same = calibrated_scan(noise, found)
    np.testing.assert_array_equal(same.positions_xy, noise.positions_xy)
    assert same.probeGuess is noise.probeGuess
    assert same.metadata["calibration"]["believed"] is False


def test_held_out_patterns_have_no_part_in_object_and_probe() -> None:
    scan = exact(1e5)
    options = CalibrationOptions(modes=1, positions=False, strengths=False, likelihood="amplitude", most_sweeps=4)
    plain = calibrate(scan, options)
    spoilt = scan.diff3d.copy()
    # All alike, so that what is stopped by the judges' gain stops at the same sweep.
    spoilt[plain.held_out] *= 1 + 1e-6
    found = calibrate(replace(scan, diff3d=spoilt), options)
    np.testing.assert_array_equal(found.object, plain.object)
    np.testing.assert_array_equal(found.probe, plain.probe)


def test_a_scan_with_nominal_positions_keeps_them() -> None:
    scan = exact(1e5)
    moved = displaced(scan, 0.5)
    found = calibrate(moved, CalibrationOptions(modes=1))
    written = calibrated_scan(moved, found)
    np.testing.assert_array_equal(written.xcoords_start, moved.xcoords)
    np.testing.assert_array_equal(written.positions_xy, found.positions_xy)
    again = calibrated_scan(replace(moved, xcoords_start=scan.xcoords, ycoords_start=scan.ycoords), found)
    np.testing.assert_array_equal(again.ycoords_start, scan.ycoords)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scan_index": np.arange(121, dtype=np.int32) % 2}, "shows 2 objects"),
        ({"probeGuess": None}, "no probe"),
        ({"diff3d": np.zeros((121, 32, 32), np.float32)}, "no counts"),
    ],
)
def test_scans_that_cannot_be_calibrated(change: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=words):
        calibrate(replace(exact(), **change), CalibrationOptions())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("probe", "guess"),
        ("modes", 0),
        ("likelihood", "gauss"),
        ("most_sweeps", 0),
        ("aperture_px", 0.0),
        ("defocus_px2", np.inf),
        ("position_limit_px", -1.0),
        ("position_limit_px", 0.0),
    ],
)
def test_options_out_of_range(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=name):
        CalibrationOptions(**{name: value})  # type: ignore[arg-type]


def test_a_calibration_of_another_scan() -> None:
    scan = exact(1e5)
    found = calibrate(scan, CalibrationOptions(modes=1, most_sweeps=1, positions=False))
    with pytest.raises(DataError, match="121 positions, the scan 50"):
        calibrated_scan(scan.select(np.arange(50)), found)


def _overlap(a: np.ndarray, b: np.ndarray) -> float:  # type: ignore[type-arg]
    return float(np.abs(np.vdot(a, b)) / np.linalg.norm(a) / np.linalg.norm(b))
