"""Every generator with its options gives the patches of the framework that trains it, from the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.config.generators import BUILTIN_GENERATORS, CNN_OPTION_BACKENDS
from tests.contract.builders import backend_for, source_for
from tests.contract.generators import CASES, SMALL
from tests.contract.numbers import OPTIONS, perturb

TOLERANCE = 1e-5
"""Of the largest value; sums of products in float32, added up in another order, differ by some 2e-6."""


def _patches(backend_name: str, options: dict[str, Any], **source_options: Any) -> tuple[np.ndarray, np.ndarray]:
    source = source_for(options, **{"n_groups": 5, **source_options})
    trained = backend_for(backend_name, source, **options)
    perturb(trained, 0.02)
    predicting = backend_for("onnx", source, **options)
    predicting.load_weights(trained.dump_weights())
    expected, found = (np.concatenate(list(one.predict(source, 3))) for one in (trained, predicting))
    return expected, found


@pytest.mark.parametrize("case", CASES)
def test_generators(case: str) -> None:
    expected, found = _patches("pytorch", {**SMALL, **CASES[case]})
    np.testing.assert_allclose(found, expected, atol=TOLERANCE * np.abs(expected).max())


@pytest.mark.parametrize("case", OPTIONS)
def test_options_of_patches_and_probes(case: str) -> None:
    options, source_options = OPTIONS[case]
    expected, found = _patches("pytorch", options, **source_options)
    np.testing.assert_allclose(found, expected, atol=TOLERANCE * np.abs(expected).max())


@pytest.mark.parametrize(
    "case", ["cnn, groups of four", "backprojection_unet, groups of four", "cnn with all attention"]
)
def test_tensorflow(case: str) -> None:
    expected, found = _patches("tensorflow", {**SMALL, **CASES[case]}, n_scans=2, bad_pixels=20)
    np.testing.assert_allclose(found, expected, atol=TOLERANCE * np.abs(expected).max())


def test_positions_far_apart_share_one_frame() -> None:
    # The canvas of a batch is that of its own positions; the frameworks take that of the whole source.
    expected, found = _patches("pytorch", {"gridsize": 2}, spread_px=25.0)
    np.testing.assert_allclose(found, expected, atol=TOLERANCE * np.abs(expected).max())


def test_every_generator_and_option_is_covered() -> None:
    used = {name for options in CASES.values() for name in options}
    assert {options.get("architecture", "cnn") for options in CASES.values()} >= set(BUILTIN_GENERATORS)
    assert used >= set(CNN_OPTION_BACKENDS)
