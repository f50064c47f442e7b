"""Probe normalisation, masks and the default guess against recorded numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.physics.probe import (
    as_mode_stack,
    default_probe,
    hard_mask,
    normalise_probe,
    normalised_for,
    probe_mask,
)


@pytest.mark.parametrize("probe_scale", [4, 10])
def test_normalised_probe_is_the_recorded_one(probe_scale: int, golden: Path) -> None:
    recorded = np.load(golden / "probe.npz")
    found = normalise_probe(recorded["in_probeGuess"], probe_scale)
    np.testing.assert_allclose(found[0], recorded[f"set_probe_guess_probe_scale{probe_scale}"], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("N", [64, 128])
def test_hard_mask_is_the_recorded_one(N: int, golden: Path) -> None:
    np.testing.assert_array_equal(hard_mask(N), np.load(golden / "probe.npz")[f"probe_mask_real_N{N}"])


@pytest.mark.parametrize("scale", [0.7, 0.5])
def test_default_probe_is_the_recorded_one(scale: float, golden: Path) -> None:
    recorded = np.load(golden / "probe.npz")[f"default_probe_scale{scale}"]
    np.testing.assert_allclose(default_probe(64, scale), recorded, atol=1e-6)


def test_all_modes_share_the_factor_of_the_first() -> None:
    first = default_probe(32).astype(np.complex64)
    modes = np.stack([first, 0.3j * first])
    found = normalise_probe(modes, 4.0)
    np.testing.assert_allclose(found[1], 0.3j * found[0], rtol=1e-6)
    assert np.mean(np.abs(found[0]) * hard_mask(32)) == pytest.approx(0.25, rel=1e-6)


def test_the_generator_decides_the_normalisation() -> None:
    probe = np.stack([default_probe(32), 0.5 * default_probe(32)])
    np.testing.assert_array_equal(normalised_for(ModelConfig(N=32), probe), normalise_probe(probe, 4.0))
    power = normalised_for(ModelConfig(N=32, architecture="backprojection_unet"), probe)
    assert np.sum(np.abs(power) ** 2) == pytest.approx(16**2, rel=1e-5)


def test_mask_has_a_soft_edge_and_the_given_diameter() -> None:
    hard = probe_mask(32, diameter_px=10.0)
    assert set(np.unique(hard)) == {0.0, 1.0}
    assert hard[16].sum() == 10
    soft = probe_mask(32, diameter_px=10.0, sigma_px=1.0)
    assert 0 < soft[16, 10] < 1
    np.testing.assert_array_equal(probe_mask(32), hard_mask(32).astype(np.float32))


@pytest.mark.parametrize(
    ("probe", "words"),
    [
        (np.ones((4, 5)), r"shape \(4, 5\)"),
        (np.ones((2, 2, 4, 4)), r"expected \(N, N\) or \(mode, N, N\)"),
        (np.full((8, 8), np.nan), "not finite"),
        (np.zeros((8, 8)), "zero everywhere"),
    ],
)
def test_malformed_probes_are_refused(probe: np.ndarray, words: str) -> None:
    with pytest.raises(DataError, match=words):
        as_mode_stack(probe)


def test_a_probe_without_light_in_the_middle_is_refused() -> None:
    corner = np.zeros((16, 16), np.complex64)
    corner[0, 0] = 1
    with pytest.raises(DataError, match="no light within N/4"):
        normalise_probe(corner, 4.0)
