"""The linear part of the forward model, object to far field, and its adjoint see the same inner product."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ptychopinn_backend.physics.far_field import exit_waves, far_field_intensity
from ptychopinn_backend.physics.object_patches import add_patches, extract_patches

N, ORIGIN_RC = 8, (10.3, 9.6)


def random_complex(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


def waves_of(obj: np.ndarray, probe: np.ndarray, positions: np.ndarray) -> np.ndarray:
    return exit_waves(extract_patches(obj, ORIGIN_RC, positions, N), probe)


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), points=st.integers(1, 6), modes=st.integers(1, 3))
def test_inner_products_agree(seed: int, points: int, modes: int) -> None:
    rng = np.random.default_rng(seed)
    obj, probe = random_complex(rng, 24, 22), random_complex(rng, modes, N, N)
    positions = rng.uniform(-8, 12, (points, 2))
    spectra = random_complex(rng, points, modes, N, N)
    forward = np.fft.fft2(waves_of(obj, probe, positions), norm="ortho")
    canvas = np.zeros_like(obj)
    back = np.fft.ifft2(spectra, norm="ortho")
    add_patches(canvas, np.sum(probe.conj() * back, axis=1), ORIGIN_RC, positions)
    np.testing.assert_allclose(np.vdot(forward, spectra), np.vdot(obj, canvas), rtol=1e-9, atol=1e-9)


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_gradient_of_the_intensity_is_the_adjoint(seed: int) -> None:
    """d/dt of sum(w I(O + t D)) at t = 0 is 2 Re <D, A^H(w A O)>."""
    rng = np.random.default_rng(seed)
    obj, direction, probe = random_complex(rng, 24, 22), random_complex(rng, 24, 22), random_complex(rng, 2, N, N)
    positions, weights = rng.uniform(-8, 12, (4, 2)), rng.random((4, N, N))

    def weighed(step: float) -> float:
        return float(np.sum(weights * far_field_intensity(waves_of(obj + step * direction, probe, positions))))

    spectra = np.fft.fft2(waves_of(obj, probe, positions), norm="ortho")
    back = np.fft.ifft2(np.fft.ifftshift(weights, axes=(-2, -1))[:, None] * spectra, norm="ortho")
    gradient = np.zeros_like(obj)
    add_patches(gradient, np.sum(probe.conj() * back, axis=1), ORIGIN_RC, positions)
    # Quadratic in the step, so that the central difference has rounding errors only.
    slope = (weighed(1.0) - weighed(-1.0)) / 2
    np.testing.assert_allclose(slope, 2 * np.vdot(direction, gradient).real, rtol=1e-9, atol=1e-8)
