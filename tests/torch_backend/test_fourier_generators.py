"""What the Fourier-operator generators put out: modes, transforms, padding, precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.torch_backend.fourier_operators import INPUT_TRANSFORMS
from tests.contract.builders import backend_for, source_for
from tests.contract.numbers import perturb

ARCHITECTURES = ("fno_vanilla", "fno", "ffno", "hybrid", "hybrid_resnet")
SMALL = {"fno_width": 6, "fno_modes": 4, "fno_blocks": 2, "fno_cnn_blocks": 1}


def network_patches(moved: float = 0.0, **options: Any) -> AnyArray:
    """Return the patches of four patterns; weights are moved off their start by noise of a size."""
    chosen = {**SMALL, "architecture": "fno", **options}
    source = source_for(chosen, n_groups=4)
    backend = backend_for("pytorch", source, **chosen)
    if moved:
        perturb(backend, moved)
    return backend.forward(source.batch(np.arange(4)), source).network_patches


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_training_starts_from_vacuum(architecture: str) -> None:
    patches = network_patches(architecture=architecture)
    np.testing.assert_array_equal(patches, np.ones((4, 32, 32, 1), np.complex64))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_pattern_gets_its_own_patch(architecture: str) -> None:
    patches = network_patches(0.3, architecture=architecture)
    assert np.abs(patches[0] - patches[1]).max() > 1e-3
    assert np.abs(patches - patches.mean(axis=(1, 2), keepdims=True)).max() > 1e-3


@pytest.mark.parametrize(
    ("mode", "activation", "start"),
    [
        ("amp_phase", "sigmoid", 0.5),
        ("amp_phase", "softplus", 0.5),
        ("amp_phase_logits", "sigmoid", 0.5),
        ("amp_phase_logits", "softplus", np.log(2)),
        ("amp_phase_logits", "swish", 0.0),
        ("amp_phase_logits", "relu", 0.0),
    ],
)
def test_amplitude_starts_at_its_activation_of_zero(mode: str, activation: str, start: float) -> None:
    patches = network_patches(generator_output_mode=mode, amp_activation=activation)
    np.testing.assert_allclose(patches, start, atol=1e-6)


def test_amp_phase_is_bounded_and_logits_are_not() -> None:
    bounded = network_patches(3.0, generator_output_mode="amp_phase", amp_activation="softplus")
    free = network_patches(3.0, generator_output_mode="amp_phase_logits", amp_activation="softplus")
    assert np.abs(bounded).max() <= 1 + 1e-6
    assert np.abs(free).max() > 1
    np.testing.assert_allclose(np.angle(bounded), np.angle(free), atol=1e-3)


def test_real_imag_parts_are_the_heads() -> None:
    options = {**SMALL, "architecture": "fno_vanilla"}
    source = source_for(options, n_groups=2)
    backend = backend_for("pytorch", source, **options)
    weights = backend.dump_weights()
    weights["head/real/bias"][:], weights["head/imaginary/bias"][:] = 0.25, -0.5
    backend.load_weights(weights)
    patches = backend.forward(source.batch(np.arange(2)), source).network_patches
    np.testing.assert_array_equal(patches, np.full((2, 32, 32, 1), 0.25 - 0.5j, np.complex64))


@pytest.mark.parametrize("mode", ["real_imag", "amp_phase"])
def test_without_a_border_the_patch_is_zero_outside_the_centre(mode: str) -> None:
    options = {"generator_output_mode": mode, "architecture": "ffno", "probe_big": False}
    patches = network_patches(0.1, **options)
    outside = np.ones((32, 32), bool)
    outside[8:24, 8:24] = False
    assert np.all(patches[:, outside] == 0)
    assert np.all(patches[:, ~outside] != 0)
    whole = network_patches(0.1, **{**options, "pad_object": False})
    assert np.all(whole != 0)
    np.testing.assert_array_equal(whole[:, ~outside], patches[:, ~outside])


def transformed(name: str, patterns: AnyArray) -> AnyArray:
    found: AnyArray = INPUT_TRANSFORMS[name](torch.from_numpy(patterns)).numpy()
    return found


def test_input_transforms() -> None:
    patterns = np.random.default_rng(1).gamma(2.0, size=(3, 2, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(transformed("none", patterns), patterns)
    np.testing.assert_allclose(transformed("sqrt", patterns), np.sqrt(patterns), rtol=1e-5)
    np.testing.assert_allclose(transformed("log1p", patterns), np.log1p(patterns), rtol=1e-5)
    normalised = transformed("instancenorm", patterns)
    np.testing.assert_allclose(normalised.mean(axis=(2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(normalised.std(axis=(2, 3)), 1, atol=1e-4)
    # A pattern is normalised by itself, whatever the others of its batch are.
    np.testing.assert_allclose(transformed("instancenorm", patterns[:1]), normalised[:1], atol=1e-6)


def test_there_is_a_transform_for_every_name_of_the_configuration() -> None:
    for name in INPUT_TRANSFORMS:
        assert ModelConfig(fno_input_transform=name).fno_input_transform == name


@pytest.mark.parametrize("name", INPUT_TRANSFORMS)
def test_dark_pixels_have_a_finite_gradient(name: str) -> None:
    # The intensity scale is trained through the input too, and most pixels of a pattern are 0.
    options = {**SMALL, "architecture": "fno", "fno_input_transform": name}
    source = source_for(options, n_groups=2)
    source.X[:, :8] = 0
    backend = backend_for("pytorch", source, **options)
    perturb(backend, 0.1)
    gradients = backend.gradients(source.batch(np.arange(2)), source)
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())
    assert gradients["physics/log_scale"] != 0


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_half_precision_is_close_to_single(architecture: str) -> None:
    single, half = (
        network_patches(0.1, architecture=architecture, precision=precision) for precision in ("32-true", "bf16-mixed")
    )
    assert not np.array_equal(single, half)
    # bfloat16 keeps 8 bits.
    np.testing.assert_allclose(half, single, atol=0.05 * np.abs(single).max())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_patterns_of_a_batch_do_not_see_each_other(architecture: str) -> None:
    options = {**SMALL, "architecture": architecture, "gridsize": 2}
    source = source_for(options, n_groups=6)
    backend = backend_for("pytorch", source, **options)
    perturb(backend, 0.1)
    whole, parts = (np.concatenate(list(backend.predict(source, size))) for size in (6, 2))
    np.testing.assert_allclose(parts, whole, atol=5e-6 * np.abs(whole).max())
