"""Every loss term agrees to 1e-5, every gradient to 1e-4."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.config.generators import CNN_OPTIONS
from tests.parity.comparison import Comparison, length
from tests.parity.pairs import ALL_TERMS, Pair, build_pair

LOSS_TOLERANCE = 1e-5
"""Means over thousands of float32 terms, added up in another order."""
DRAWS = (1, 2, 3)
"""Seeds of the weights."""
GRADIENT_TOLERANCE = 1e-4
"""Gradients sum terms of both signs; what cancels leaves the rounding of the larger terms behind."""

CASES: dict[str, dict[str, Any]] = {
    "gridsize 1": ALL_TERMS,
    "gridsize 2, probe trainable": {**ALL_TERMS, "gridsize": 2, "probe_trainable": True},
    "gridsize 3": {**ALL_TERMS, "gridsize": 3},
    "whole patch, mask, smoothing": {
        **ALL_TERMS,
        "gridsize": 2,
        "pad_object": False,
        "probe_mask": True,
        "gaussian_smoothing_sigma": 0.7,
        "probe_trainable": True,
    },
    "one patch per group, no border": {**ALL_TERMS, "gridsize": 2, "object_big": False, "probe_big": False},
    "Poisson likelihood": {"gridsize": 2},
    "amplitude error": {"nll_weight": 0.0, "mae_weight": 1.0},
    "roles exchanged": {"torch_loss_mode": "mae"},
    "supervised": {"model_type": "supervised", "gridsize": 2},
    "N 64": {**ALL_TERMS, "N": 64, "gridsize": 2},
    "attention": {**ALL_TERMS, "gridsize": 2, **dict.fromkeys(CNN_OPTIONS[1:], True)},
    "one decoder to real and imaginary part": {
        **ALL_TERMS,
        "gridsize": 2,
        "shared_decoder": True,
        "cnn_output_mode": "real_imag",
        "border_maps": 7,
    },
    "back-projection": {**ALL_TERMS, "architecture": "backprojection_unet", "gridsize": 2},
}


@cache
def pair(case: str) -> Pair:
    return build_pair(CASES[case])


@cache
def losses(case: str) -> Comparison:
    both = pair(case)
    batch = both.source.batch(np.arange(both.source.n_groups))
    found, expected = (backend.losses(batch, both.source) for backend in (both.tensorflow, both.pytorch))
    return Comparison(found, expected, LOSS_TOLERANCE)


@cache
def gradients(case: str) -> Comparison:
    """Gradients for the first draw of weights at which no activation lies on its kink.

    Of a hundred thousand activations one may be as near to 0 as rounding reaches: then the backends' gradients differ
    by per cent and both are right. Which draw has one depends on the processor. A wrong gradient is wrong for all
    draws.
    """
    for seed in DRAWS:
        both = pair(case) if seed == DRAWS[0] else build_pair(CASES[case], seed=seed)
        batch = both.source.batch(np.arange(both.source.n_groups))
        found, expected = (backend.gradients(batch, both.source) for backend in (both.tensorflow, both.pytorch))
        comparison = Comparison(found, expected, GRADIENT_TOLERANCE, length)
        if comparison.agrees:
            break
    return comparison


@pytest.mark.parametrize("case", CASES)
def test_losses_agree(case: str) -> None:
    losses(case).check()


@pytest.mark.parametrize("case", CASES)
def test_a_nudged_loss_is_noticed(case: str) -> None:
    losses(case).check_would_fail()


@pytest.mark.parametrize("case", CASES)
def test_gradients_agree(case: str) -> None:
    gradients(case).check()


@pytest.mark.parametrize("case", CASES)
def test_a_nudged_gradient_is_noticed(case: str) -> None:
    gradients(case).check_would_fail()


@pytest.mark.parametrize("case", ["back-projection", "Poisson likelihood"])
def test_the_loss_compares_with_the_target_where_one_is_given(case: str) -> None:
    """Counts that are split give the network one part and the loss the other; both backends and NumPy agree."""
    both = pair(case)
    batch = both.source.batch(np.arange(both.source.n_groups))
    target = np.asarray(batch.X[::-1] * np.float32(1.1), np.float32)
    split = replace(batch, target=target)
    found, expected = (backend.losses(split, both.source) for backend in (both.tensorflow, both.pytorch))
    Comparison(found, expected, LOSS_TOLERANCE).check()
    assert found["nll"] != pytest.approx(both.tensorflow.losses(batch, both.source)["nll"], rel=1e-3)
    for backend in (both.tensorflow, both.pytorch):
        patches, expected_patches = (backend.forward(item, both.source).patches for item in (split, batch))
        np.testing.assert_array_equal(patches, expected_patches)
