"""Spectral convolutions and batch normalisation against their formulas in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.networks.layers import (
    BatchNormalisation,
    Convolution,
    Layer,
    SpectralConvolution,
    TransposedConvolution,
)
from ptychopinn_backend.torch_backend.layers import BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM, build_layer

# Transforms of 16 x 16 numbers in float32.
TOLERANCE = 2e-6


def filled(plan: Layer, seed: int = 1) -> tuple[torch.nn.Module, dict[str, AnyArray]]:
    """Return a layer with random weights, and these in the canonical layout."""
    rng = np.random.default_rng(seed)
    weights = {name.rpartition("/")[2]: rng.normal(size=shape) for name, shape in plan.shapes.items()}
    module = build_layer(plan)
    with torch.no_grad():
        for name, array in weights.items():
            tensor = module.get_parameter("weight" if name == "kernel" else name)
            tensor.copy_(torch.from_numpy(array.transpose(3, 2, 0, 1) if array.ndim == 4 else array))
    return module, weights


def applied(module: torch.nn.Module, maps: AnyArray) -> AnyArray:
    with torch.no_grad():
        found: AnyArray = module(torch.from_numpy(maps.astype(np.float32))).numpy()
    return found


def random_maps(channels: int, side: int = 16, groups: int = 2) -> AnyArray:
    return np.random.default_rng(7).normal(size=(groups, channels, side, side))


def low_pass_product(maps: AnyArray, kernel: AnyArray, row_modes: int, column_modes: int) -> AnyArray:
    """Return the spectral convolution, by the full complex transform and its Hermitian half."""
    side = maps.shape[-1]
    spectrum = np.fft.fft2(maps)
    out = np.zeros((len(maps), kernel.shape[3], side, side), complex)
    for row in [*range(row_modes), *range(-row_modes, 0)]:
        for column in range(column_modes):
            out[:, :, row, column] = spectrum[:, :, row, column] @ kernel[row, column]
            if column > 0:
                out[:, :, -row, -column] = out[:, :, row, column].conj()
    # A real signal has a Hermitian column of zero frequency.
    zero = out[..., 0]
    mirrored = np.roll(zero[..., ::-1], 1, axis=-1).conj()
    out[..., 0] = (zero + mirrored) / 2
    return np.fft.ifft2(out).real


@pytest.mark.parametrize(("row_modes", "column_modes"), [(3, 5), (8, 8), (1, 1)])
def test_two_axes_are_mixed_frequency_by_frequency(row_modes: int, column_modes: int) -> None:
    module, weights = filled(SpectralConvolution("a", 2, 3, row_modes, column_modes))
    maps = random_maps(2)
    expected = low_pass_product(
        maps, weights["kernel_real"] + 1j * weights["kernel_imaginary"], row_modes, column_modes
    )
    np.testing.assert_allclose(applied(module, maps), expected, atol=TOLERANCE * np.abs(expected).max())


@pytest.mark.parametrize(("row_modes", "column_modes"), [(4, 0), (0, 4)])
def test_one_axis_is_mixed_and_the_other_untouched(row_modes: int, column_modes: int) -> None:
    module, weights = filled(SpectralConvolution("a", 2, 3, row_modes, column_modes))
    kernel = np.squeeze(weights["kernel_real"] + 1j * weights["kernel_imaginary"], axis=1 if row_modes else 0)
    maps = random_maps(2)
    axis = 2 if row_modes else 3
    spectrum = np.moveaxis(np.fft.rfft(maps, axis=axis), axis, 0)
    mixed = np.zeros((9, 2, 3, 16), complex)
    for mode in range(4):
        mixed[mode] = np.einsum("gil,io->gol", spectrum[mode], kernel[mode])
    expected = np.fft.irfft(np.moveaxis(mixed, 0, axis), n=16, axis=axis)
    np.testing.assert_allclose(applied(module, maps), expected, atol=TOLERANCE * np.abs(expected).max())


def test_high_frequencies_are_dropped() -> None:
    module, _ = filled(SpectralConvolution("a", 1, 1, 3, 3))
    wave = np.cos(2 * np.pi * 3 * np.arange(16) / 16)
    dropped = np.broadcast_to(wave, (1, 1, 16, 16))
    assert np.abs(applied(module, dropped)).max() < TOLERANCE
    kept = np.broadcast_to(np.cos(2 * np.pi * 2 * np.arange(16) / 16), (1, 1, 16, 16))
    assert np.abs(applied(module, kept)).max() > 0.1


def test_a_spectral_convolution_moves_with_its_input() -> None:
    module, _ = filled(SpectralConvolution("a", 2, 2, 4, 4))
    maps = random_maps(2)
    moved = np.roll(maps, (3, 5), axis=(2, 3))
    expected = np.roll(applied(module, maps), (3, 5), axis=(2, 3))
    np.testing.assert_allclose(applied(module, moved), expected, atol=1e-5)


def test_transforms_stay_in_single_precision_under_half_precision() -> None:
    module, _ = filled(SpectralConvolution("a", 2, 2, 4, 4))
    maps = torch.from_numpy(random_maps(2).astype(np.float32))
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        half = module(maps)
    assert half.dtype == torch.float32
    np.testing.assert_array_equal(half.numpy(), module(maps).detach().numpy())


def test_a_transposed_convolution_doubles_the_side() -> None:
    module, weights = filled(TransposedConvolution("a", 2, 3))
    maps = random_maps(2, side=4)
    # Every pixel spreads its kernel over 4 x 4 pixels around its place on the finer grid.
    canvas = np.zeros((2, 3, 10, 10))
    for row in range(4):
        for column in range(4):
            spread = np.einsum("gi,hwoi->gohw", maps[:, :, row, column], weights["kernel"])
            canvas[:, :, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4] += spread
    expected = canvas[:, :, 1:-1, 1:-1] + weights["bias"][:, None, None]
    np.testing.assert_allclose(applied(module, maps), expected, atol=1e-5)


def test_a_convolution_keeps_the_side() -> None:
    module, _ = filled(Convolution("a", 2, 3))
    assert applied(module, random_maps(2, side=4)).shape == (2, 3, 4, 4)


class TestBatchNormalisation:
    maps = 3 + 2 * random_maps(2)

    def normalised(self, mean: AnyArray, variance: AnyArray, weights: dict[str, AnyArray]) -> AnyArray:
        scale, shift, mean, variance = (
            np.reshape(item, (-1, 1, 1)) for item in (weights["scale"], weights["shift"], mean, variance)
        )
        return np.asarray(scale * (self.maps - mean) / np.sqrt(variance + BATCH_NORM_EPSILON) + shift)

    def built(self) -> tuple[torch.nn.Module, dict[str, AnyArray]]:
        rng = np.random.default_rng(2)
        weights = {name: rng.uniform(0.5, 2.0, 2) for name in ("scale", "shift", "mean", "variance")}
        module = build_layer(BatchNormalisation("a", 2))
        with torch.no_grad():
            for name, tensor in module.state_dict().items():
                tensor.copy_(torch.from_numpy(weights[name]))
        return module, weights

    def test_training_uses_the_batch_and_remembers_it(self) -> None:
        module, weights = self.built()
        mean, variance = self.maps.mean(axis=(0, 2, 3)), self.maps.var(axis=(0, 2, 3))
        expected = self.normalised(mean, variance, weights)
        np.testing.assert_allclose(applied(module.train(), self.maps), expected, atol=1e-5)
        pixels = self.maps[:, 0].size
        for name, newest in (("mean", mean), ("variance", variance * pixels / (pixels - 1))):
            remembered = (1 - BATCH_NORM_MOMENTUM) * weights[name] + BATCH_NORM_MOMENTUM * newest
            np.testing.assert_allclose(module.get_buffer(name).numpy(), remembered, rtol=1e-5)

    def test_inference_uses_what_is_remembered(self) -> None:
        module, weights = self.built()
        expected = self.normalised(weights["mean"], weights["variance"], weights)
        np.testing.assert_allclose(applied(module.eval(), self.maps), expected, atol=1e-5)
        assert module.get_buffer("mean").numpy() == pytest.approx(weights["mean"])

    def test_a_frozen_layer_keeps_its_statistics_in_training(self) -> None:
        module, weights = self.built()
        module.train().requires_grad_(False)
        expected = self.normalised(weights["mean"], weights["variance"], weights)
        np.testing.assert_allclose(applied(module, self.maps), expected, atol=1e-5)
        assert module.get_buffer("variance").numpy() == pytest.approx(weights["variance"])


def test_a_layer_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(TypeError, match="no module for 'nothing'"):
        build_layer("nothing")  # type: ignore[arg-type]
