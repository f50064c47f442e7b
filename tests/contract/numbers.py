"""The numbers part of the contract: forward outputs, losses and gradients against the NumPy reference.

A backend that only predicts has no gradients.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.networks.weights import LOG_SCALE, PROBE
from ptychopinn_backend.physics.forward import group_patches, loss_terms, overlap_weights, predicted_intensity
from ptychopinn_backend.physics.loss_formulas import INTENSITY_FLOOR
from ptychopinn_backend.physics.losses import loss_weights
from ptychopinn_backend.physics.placement import canvas_size
from ptychopinn_backend.seam.interface import Backend
from tests.contract.array_source import ArraySource
from tests.contract.builders import backend_for, source_for, split_options

ALL_TERMS = {
    "nll_weight": 1.0,
    "mae_weight": 0.5,
    "mse_weight": 0.4,
    "realspace_weight": 0.7,
    "realspace_mae_weight": 0.5,
    "tv_weight": 0.3,
    "mean_deviation_weight": 0.2,
}
# The reference computes in float64, a backend in float32, whose rounding (6e-8) grows through sums of products.
PATCH_TOLERANCE = 2e-6
AMPLITUDE_TOLERANCE = 1e-5
LOSS_TOLERANCE = 1e-5

OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "one pattern": ({}, {}),
    "groups of four": ({"gridsize": 2}, {}),
    "groups of nine": ({"gridsize": 3}, {}),
    "one patch for the group": ({"gridsize": 2, "object_big": False}, {}),
    "without a border": ({"gridsize": 2, "probe_big": False}, {}),
    "without a border, one patch": ({"gridsize": 2, "probe_big": False, "object_big": False}, {}),
    "whole patch": ({"gridsize": 2, "pad_object": False}, {}),
    "soft probe mask": ({"probe_mask": True}, {}),
    "hard probe mask": ({"probe_mask": True, "probe_mask_sigma": 0.0, "probe_mask_diameter": 20.0}, {}),
    "smoothing": ({"gaussian_smoothing_sigma": 0.8}, {"n_modes": 2}),
    "swish": ({"amp_activation": "swish"}, {}),
    "softplus": ({"amp_activation": "softplus"}, {}),
    "relu": ({"amp_activation": "relu"}, {}),
    "incoherent modes": ({"gridsize": 2}, {"n_modes": 3}),
    "several scans": ({"gridsize": 2}, {"n_scans": 2, "n_modes": 2, "bad_pixels": 40}),
    "bad pixels": ({}, {"bad_pixels": 60}),
    "trainable probe": ({"probe_trainable": True, "gridsize": 2}, {"n_scans": 2, "n_modes": 2}),
    "constant intensity scale": ({"intensity_scale_trainable": False}, {}),
    "larger pattern": ({"N": 64}, {"n_groups": 3}),
    "back-projection": ({"architecture": "backprojection_unet"}, {"n_modes": 2, "bad_pixels": 40}),
    "back-projection, groups of four": ({"architecture": "backprojection_unet", "gridsize": 2}, {"n_scans": 2}),
    "back-projection, groups of nine": ({"architecture": "backprojection_unet", "gridsize": 3}, {}),
}


def perturb(backend: Backend, amount: float, seed: int = 1) -> None:
    """Move every weight a little, so that biases, probe and scale are not at their special starting values."""
    rng = np.random.default_rng(seed)
    weights = backend.dump_weights()
    for name, array in weights.items():
        noise = amount * rng.normal(size=array.shape)
        if name == PROBE:
            noise = (noise + 1j * amount * rng.normal(size=array.shape)) * np.abs(array).max()
        weights[name] = (array + noise).astype(array.dtype)
    backend.load_weights(weights)


def _norm(vectors: dict[str, AnyArray]) -> float:
    return float(np.sqrt(sum(np.sum(np.abs(value) ** 2) for value in vectors.values())))


class NumbersContract:
    """Forward model and losses."""

    backend_name: ClassVar[str]

    def _setting(self, case: str, **extra: Any) -> tuple[dict[str, Any], ArraySource, Backend]:
        options, source_options = OPTIONS[case]
        source = source_for(options, **{"n_groups": 5, **source_options})
        # What stands at a bad pixel must not reach the loss.
        source.X = np.where(source.valid_pixels[source.scan_index][..., np.newaxis] == 0, 0.3, source.X)
        source.X = source.X.astype(np.float32)
        backend = backend_for(self.backend_name, source, **{**ALL_TERMS, **options, **extra})
        perturb(backend, 0.02)
        return {**options, **extra}, source, backend

    @pytest.mark.parametrize("case", OPTIONS)
    def test_outputs_and_losses_agree_with_the_numpy_reference(self, case: str) -> None:
        options, source, backend = self._setting(case)
        model, training, _ = split_options({**ALL_TERMS, **options})
        batch = source.batch(np.arange(source.n_groups)[::-1])
        result = backend.forward(batch, source)
        assert result.network_patches.shape[-1] == (model.channels if model.object_big else 1)
        canvas = canvas_size(model.N, source.max_local_offset_px)
        overlap = overlap_weights(model, source.probes)[batch.scan_index]
        outputs = result.network_patches.astype(np.complex128)
        patches = group_patches(outputs, batch.local_offsets, canvas, model, overlap)
        np.testing.assert_allclose(result.patches, patches, atol=PATCH_TOLERANCE * np.abs(patches).max())
        weights = backend.dump_weights()
        probes = weights.get(PROBE, source.probes)
        log_scale = float(weights[LOG_SCALE])
        intensity = predicted_intensity(patches, probes[batch.scan_index], log_scale, model)
        amplitude = np.sqrt(intensity)
        np.testing.assert_allclose(result.amplitude, amplitude, atol=AMPLITUDE_TOLERANCE * amplitude.max())
        expected = loss_terms(
            patches,
            batch,
            probes,
            source.valid_pixels,
            intensity_scale=backend.setup.intensity_scale,
            log_scale=log_scale,
            model=model,
            weights=loss_weights(training),
        )
        found = backend.losses(batch, source)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            # A mean deviation is a difference of amplitudes near 1, known to the float32 spacing there.
            assert found[name] == pytest.approx(value, rel=LOSS_TOLERANCE, abs=1.2e-7), name

    def test_patches_are_amplitude_times_phase_within_the_padding(self) -> None:
        source = source_for({})
        backend = backend_for(self.backend_name, source, probe_big=False)
        patches = backend.forward(source.batch(np.arange(3)), source).network_patches
        assert np.all(patches[:, :8] == 0)
        assert np.all(patches[:, :, 24:] == 0)
        centre = np.abs(patches[:, 8:24, 8:24])
        assert np.all((centre > 0) & (centre < 1))

    def test_supervised_loss_is_the_error_to_the_labels(self) -> None:
        source = source_for({})
        backend = backend_for(self.backend_name, source, model_type="supervised")
        batch = source.batch(np.arange(4))
        found = backend.losses(batch, source)
        error = np.abs(backend.forward(batch, source).patches - batch.Y)[:, 8:24, 8:24]
        assert set(found) == {"realspace_mae", "loss"}
        assert found["loss"] == pytest.approx(error.mean(), rel=LOSS_TOLERANCE)


class GradientsContract:
    """Gradients, and losses near nothing at all."""

    backend_name: ClassVar[str]

    @pytest.mark.parametrize(
        ("case", "extra"),
        [
            ("groups of four", {"probe_trainable": True, "mae_weight": 1.0, "nll_weight": 1.0}),
            ("smoothing", {**ALL_TERMS, "probe_trainable": True}),
            ("several scans", {**ALL_TERMS, "pad_object": False}),
        ],
    )
    def test_gradients_agree_with_finite_differences(self, case: str, extra: dict[str, Any]) -> None:
        options, source_options = OPTIONS[case]
        source = source_for(options, **{"n_groups": 4, **source_options})
        # A small scale keeps the loss near 1, where a difference of two float32 losses still has digits.
        backend = backend_for(self.backend_name, source, intensity_scale=8.0, **{**options, **extra})
        perturb(backend, 0.01)
        batch = source.batch(np.arange(4))
        gradients = backend.gradients(batch, source)
        weights = backend.dump_weights()
        assert gradients.keys() == weights.keys()

        def loss_along(direction: dict[str, np.ndarray], step: float) -> float:
            backend.load_weights(
                {name: (w + step * direction.get(name, 0)).astype(w.dtype) for name, w in weights.items()}
            )
            return backend.losses(batch, source)["loss"]

        size = abs(backend.losses(batch, source)["loss"])
        steepness = _norm(gradients)
        # Weights that hardly move the loss drown in rounding; the hidden layers of the border are of that kind.
        checked = [name for name in weights if name.endswith("/kernel") and "/border/conv2" in name]
        checked += [name for name in weights if "/border/" not in name and not name.endswith("/bias")]
        directions = [{name: gradients[name]} for name in checked if _norm({name: gradients[name]}) > 3e-3 * steepness]
        assert len(directions) >= 10
        for direction in [gradients, *directions]:
            slope = _norm(direction)
            unit = {name: value / slope for name, value in direction.items()}
            # The step changes the loss by 3e-4 of itself: far above rounding, and few rectifiers switch on the way.
            step = 3e-4 * size / slope
            found = (loss_along(unit, step) - loss_along(unit, -step)) / (2 * step)
            assert found == pytest.approx(slope, rel=0.03), list(direction)

    @pytest.mark.parametrize("counts_per_pixel", [0.01, 1.0])
    def test_few_counts_have_the_likelihood_of_the_reference_and_a_finite_gradient(
        self, counts_per_pixel: float
    ) -> None:
        options = {"amp_activation": "relu", "probe_big": False}
        source = source_for(options, n_groups=4, bad_pixels=40)
        scale = float(np.sqrt(counts_per_pixel / np.mean(source.X**2)))
        counts = np.random.default_rng(8).poisson((source.X * scale) ** 2)
        source.X = (np.sqrt(counts) / scale).astype(np.float32)
        backend = backend_for(self.backend_name, source, intensity_scale=scale, mse_weight=1.0, **options)
        batch = source.batch(np.arange(4))
        amplitude = backend.forward(batch, source).amplitude.astype(np.float64)
        valid = np.broadcast_to(source.valid_pixels[batch.scan_index][..., np.newaxis], amplitude.shape) > 0
        rate = amplitude**2
        terms = (rate - counts * np.log(rate + INTENSITY_FLOOR))[valid]
        assert backend.losses(batch, source)["nll"] == pytest.approx(terms.mean(), rel=1e-4)
        assert self._gradients_are_finite(backend, source)
        # A network that puts out nothing at all predicts an amplitude of zero everywhere.
        weights = backend.dump_weights()
        backend.load_weights({name: array * (name == LOG_SCALE) for name, array in weights.items()})
        assert backend.forward(batch, source).amplitude.max() < 1e-5
        dark = -counts[valid] * np.log(INTENSITY_FLOOR)
        assert backend.losses(batch, source)["nll"] == pytest.approx(dark.mean(), rel=1e-4)
        assert self._gradients_are_finite(backend, source)

    def _gradients_are_finite(self, backend: Backend, source: ArraySource) -> bool:
        gradients = backend.gradients(source.batch(np.arange(source.n_groups)), source)
        return all(np.isfinite(gradient).all() for gradient in gradients.values())

    def test_a_constant_intensity_scale_has_no_gradient(self) -> None:
        source = source_for({})
        backend = backend_for(self.backend_name, source, intensity_scale_trainable=False)
        gradients = backend.gradients(source.batch(np.arange(2)), source)
        assert set(gradients) == set(backend.dump_weights()) - {LOG_SCALE}
