"""Same weights, same patterns: network output, consistent patches and predicted amplitude agree to 1e-5."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.config.generators import CNN_OPTIONS
from tests.parity.comparison import Comparison
from tests.parity.pairs import build_pair

# float32 rounds at 6e-8; sums over some thousand products in seven to nine convolutions leave two digits of reserve.
TOLERANCE = 1e-5

SIZES: dict[str, dict[str, Any]] = {
    f"N {N}, gridsize {gridsize}": {"N": N, "gridsize": gridsize} for N in (64, 128) for gridsize in (1, 2, 3)
}
SWITCHES: dict[str, dict[str, Any]] = {
    ", ".join(
        name
        for name, value in zip(("object_big", "probe_big", "pad_object", "probe_mask"), values, strict=True)
        if value
    )
    or "all off": {
        "gridsize": 2,
        "object_big": values[0],
        "probe_big": values[1],
        "pad_object": values[2],
        "probe_mask": values[3],
    }
    for values in product((True, False), repeat=4)
}
OTHERS: dict[str, dict[str, Any]] = {
    "smoothing": {"gridsize": 2, "gaussian_smoothing_sigma": 0.7},
    "hard mask of another diameter": {"probe_mask": True, "probe_mask_sigma": 0.0, "probe_mask_diameter": 20.0},
    "swish": {"amp_activation": "swish"},
    "softplus": {"amp_activation": "softplus"},
    "relu": {"amp_activation": "relu"},
    "trainable probe": {"probe_trainable": True},
    "supervised": {"model_type": "supervised", "gridsize": 2},
    "N 256": {"N": 256},
    "attention": {"gridsize": 2, **dict.fromkeys(CNN_OPTIONS[1:], True)},
    "attention of the encoder, no overlap": {"cbam_encoder": True, "eca_decoder": True, "object_big": False},
    "another border": {"gridsize": 2, "border_maps": 7, "border_width": 5},
    "one decoder": {"gridsize": 2, "shared_decoder": True},
    "real and imaginary part": {"gridsize": 2, "cnn_output_mode": "real_imag"},
    "real and imaginary part of a whole patch": {"cnn_output_mode": "real_imag", "pad_object": False},
    "back-projection": {"architecture": "backprojection_unet", "gridsize": 2},
}
CASES = {**SIZES, **SWITCHES, **OTHERS}


@cache
def outputs(case: str) -> Comparison:
    options = CASES[case]
    pair = build_pair(options, n_groups=2 if options.get("N", 32) > 64 else 3)
    batch = pair.source.batch(np.arange(pair.source.n_groups))
    found, expected = (vars(backend.forward(batch, pair.source)) for backend in (pair.tensorflow, pair.pytorch))
    return Comparison(found, expected, TOLERANCE)


@pytest.mark.parametrize("case", CASES)
def test_outputs_agree(case: str) -> None:
    outputs(case).check()


@pytest.mark.parametrize("case", CASES)
def test_a_nudged_output_is_noticed(case: str) -> None:
    outputs(case).check_would_fail()
