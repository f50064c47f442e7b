"""Figures of merit on images whose answer is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.errors import DataError
from ptychopinn_backend.evaluation import metrics


def _object(side: int = 64, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    spectrum = np.fft.fft2(rng.normal(size=(2, side, side)))
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    amplitude, phase = np.fft.ifft2(spectrum * np.exp(-((radius / 0.1) ** 2))).real
    return ((1 + 0.3 * amplitude) * np.exp(2j * phase)).astype(np.complex64)


def _ramp(shape: tuple[int, int], row: float, column: float, constant: float) -> np.ndarray:
    y, x = np.indices(shape)
    return np.exp(1j * (row * y + column * x + constant))


def test_recorded_ring_correlations(golden: Path) -> None:
    """The record left out two pixels at every border, and took a plane off the phase; ring 0 is then empty."""
    recorded = np.load(golden / "frc.npz")
    truth, image = recorded["gt"][2:-2, 2:-2], recorded["rec"][2:-2, 2:-2]
    amplitude = metrics.frc(np.abs(truth), np.abs(image))
    np.testing.assert_allclose(amplitude.correlation, recorded["frc_amp_plane"], atol=1e-3)
    phases = [metrics.remove_plane(np.angle(obj)) for obj in (truth, image)]
    phase = metrics.frc(*phases)
    np.testing.assert_allclose(phase.correlation[1:], recorded["frc_phase_plane"][1:], atol=1e-3)


def test_ring_correlation_of_equal_images_is_one_up_to_the_corners() -> None:
    obj = np.random.default_rng(0).normal(size=(64, 64)) + 1j * np.abs(_object())
    curve = metrics.frc(obj, 3j * obj)
    np.testing.assert_allclose(curve.correlation, 1, atol=1e-6)
    assert len(curve.correlation) == 46
    assert curve.pixels.sum() == 64 * 64
    assert metrics.frc_resolution_px(curve) == 1.0


def test_resolution_is_the_half_period_where_common_information_ends() -> None:
    rng = np.random.default_rng(1)
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128)))
    common = np.fft.fft2(rng.normal(size=(128, 128))) * (radius < 0.2)
    images = [np.fft.ifft2(common + 0.2 * np.fft.fft2(rng.normal(size=(128, 128)))).real for _ in range(2)]
    curve = metrics.frc(*images)
    for threshold in ("half-bit", 0.5, 0.3):
        assert metrics.frc_resolution_px(curve, threshold) == pytest.approx(0.5 / 0.2, rel=0.05)
    noise = metrics.frc(rng.normal(size=(128, 128)), rng.normal(size=(128, 128)))
    assert metrics.frc_resolution_px(noise) > 20


def _curve(correlation: np.ndarray) -> metrics.FourierRingCorrelation:
    """A curve over the rings of a square of 128 pixels."""
    return replace(metrics.frc(np.ones((128, 128)), np.ones((128, 128))), correlation=correlation)


@pytest.mark.parametrize("rings", [(1,), (2,), (3,), (1, 2), (7,), (20, 21)])
def test_a_dip_of_one_or_two_rings_is_not_the_resolution(rings: tuple[int, ...]) -> None:
    falling = np.clip(1.5 - np.arange(92) / 40, 0, 1)
    expected = metrics.frc_resolution_px(_curve(falling))
    assert expected == pytest.approx(64 / 50, rel=0.03)
    dipped = falling.copy()
    dipped[list(rings)] = 0
    assert metrics.frc_resolution_px(_curve(dipped)) == pytest.approx(expected)


def test_a_lasting_fall_is_the_resolution_even_where_the_curve_rises_again() -> None:
    correlation = np.where(np.arange(92) < 20, 1.0, 0.0)
    correlation[50:60] = 1
    assert metrics.frc_resolution_px(_curve(correlation)) == pytest.approx(64 / 20, rel=0.05)
    assert metrics.frc_resolution_px(_curve(np.zeros(92))) == float("inf")


def test_ring_correlation_of_a_rectangle_uses_cycles_per_pixel() -> None:
    curve = metrics.frc(np.abs(_object())[:48], np.abs(_object())[:48])
    assert curve.side == 64
    assert curve.frequency_per_px[32] == 0.5


def test_phase_ramp_and_global_phase_are_removed() -> None:
    obj = _object()
    turned = obj * _ramp(obj.shape, 0.31, -1.7, 2.0)
    np.testing.assert_allclose(metrics.remove_phase_ramp(turned, obj), obj, atol=1e-3)
    flat = metrics.remove_phase_ramp(np.abs(obj) * _ramp(obj.shape, -0.4, 0.2, 1.0))
    np.testing.assert_allclose(np.angle(flat), 0, atol=1e-4)


def test_correlations_see_phase_and_amplitude_apart() -> None:
    a, b = _object(seed=2), _object(seed=3)
    mixed = np.abs(a) * np.exp(1j * np.angle(b))
    assert metrics.amplitude_correlation(mixed, a) == pytest.approx(1, abs=1e-6)
    assert abs(metrics.phase_correlation(mixed, a)) < 0.5
    assert metrics.phase_correlation(mixed, b) == pytest.approx(1, abs=1e-6)


def test_correlated_phases_may_cross_half_a_turn() -> None:
    phase = np.linspace(-4, 4, 400).reshape(20, 20)
    obj = np.exp(1j * phase)
    assert metrics.phase_correlation(obj * np.exp(0.01j), obj) == pytest.approx(1, abs=1e-4)


def test_psnr_ssim_and_mae() -> None:
    truth = np.abs(_object())
    assert metrics.psnr(truth, truth) == np.inf
    assert metrics.ssim(truth, truth) == pytest.approx(1)
    assert metrics.psnr(truth + 0.1, truth, data_range=1.0) == pytest.approx(20, abs=1e-3)
    assert metrics.mae(truth + 0.1j, truth) == pytest.approx(0.1)
    assert metrics.psnr(np.full((8, 8), 1.1), np.ones((8, 8))) == pytest.approx(20)


def test_poisson_floor_is_the_r_factor_of_a_perfect_model() -> None:
    rng = np.random.default_rng(5)
    model = np.sqrt(rng.gamma(2.0, 30.0, (20, 16, 16)))
    counts = rng.poisson(model**2)
    measured = metrics.r_factor(np.sqrt(counts), model)
    assert metrics.poisson_floor_r_factor(model) == pytest.approx(measured, rel=0.05)
    assert metrics.r_factor(1.2 * model, model) == pytest.approx(1 / 6)


def test_bad_pixels_do_not_count_and_batches_do_not_matter() -> None:
    model = np.ones((6, 4, 4))
    amplitudes = 1.25 * model
    amplitudes[:, 1, 2] = 1000
    valid = np.ones((4, 4), bool)
    valid[1, 2] = False
    assert metrics.r_factor(amplitudes, model, valid) == pytest.approx(0.2)
    factor = metrics.RFactorSum()
    for batch in (slice(0, 1), slice(1, 6)):
        factor.add(amplitudes[batch], model[batch], valid)
    assert factor.value == pytest.approx(0.2)


def test_messages() -> None:
    with pytest.raises(DataError, match=r"shapes \(4, 4\) and \(4, 5\) cannot be compared"):
        metrics.frc(np.ones((4, 4)), np.ones((4, 5)))
    with pytest.raises(DataError, match=r"\(4, 4\) has no structural similarity; both sides must be at least 7"):
        metrics.ssim(np.ones((4, 4)), np.ones((4, 4)))
    with pytest.raises(DataError, match=r"amplitudes sum to 0\.0; an R-factor needs some"):
        metrics.r_factor(np.zeros((1, 4, 4)), np.ones((1, 4, 4)))
