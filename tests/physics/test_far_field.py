"""Far field: recorded amplitudes, Parseval, modes, centring and smoothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.physics.far_field import exit_waves, far_field_intensity, smoothing_kernel


def _complex(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


def test_amplitude_is_the_recorded_one(golden: Path) -> None:
    recorded = np.load(golden / "physics.npz")
    waves = exit_waves(recorded["object_patches"], recorded["probe_normalized"][np.newaxis])
    amplitude = np.sqrt(far_field_intensity(waves))
    expected = recorded["amplitude_pad_and_diffract_nopad"]
    np.testing.assert_allclose(amplitude, expected, atol=1e-5 * expected.max())


def test_no_light_is_lost() -> None:
    rng = np.random.default_rng(0)
    waves = _complex(rng, 5, 3, 16, 16)
    np.testing.assert_allclose(
        far_field_intensity(waves).sum(axis=(-2, -1)), np.sum(np.abs(waves) ** 2, axis=(-3, -2, -1))
    )


def test_a_plane_wave_lands_in_the_centre() -> None:
    intensity = far_field_intensity(np.ones((1, 16, 16), np.complex128))
    assert np.unravel_index(np.argmax(intensity), (16, 16)) == (8, 8)
    assert intensity[8, 8] == pytest.approx(256)


def test_modes_add_as_intensities() -> None:
    rng = np.random.default_rng(1)
    patches, probe = _complex(rng, 2, 16, 16), _complex(rng, 3, 16, 16)
    together = far_field_intensity(exit_waves(patches, probe))
    apart = sum(far_field_intensity(exit_waves(patches, probe[[mode]])) for mode in range(3))
    np.testing.assert_allclose(together, apart)


def test_smoothing_spreads_one_pixel_over_its_neighbours_only() -> None:
    patch = np.zeros((1, 9, 9), np.complex128)
    patch[0, 4, 4] = 2j
    waves = exit_waves(patch, np.ones((1, 9, 9)), smoothing_sigma_px=0.8)
    np.testing.assert_allclose(waves[0, 0, 3:6, 3:6], 2j * smoothing_kernel(0.8))
    assert np.count_nonzero(waves) == 9
    assert smoothing_kernel(0.8).sum() == pytest.approx(1)
