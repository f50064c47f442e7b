"""Compiling the network changes its speed only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.contract.builders import backend_for, source_for

pytestmark = [
    pytest.mark.slow,
    # PyTorch's compiler looks at deprecated names and at gradients of its own.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
]
# Other order of the same float32 sums.
RELATIVE = 1e-4
OPTIONS = {"nepochs": 1, "deterministic": False}


def test_xla_predicts_alike() -> None:
    source = source_for({}, n_groups=4)
    plain, compiled = (
        np.concatenate(list(backend_for("tensorflow", source, compile_model=value, **OPTIONS).predict(source, 4)))
        for value in (False, True)
    )
    assert np.linalg.norm(compiled - plain) < RELATIVE * np.linalg.norm(plain)


def test_torch_compile_trains_alike() -> None:
    source = source_for({}, n_groups=4)
    weights = []
    for value in (False, True):
        model: Any = backend_for("pytorch", source, compile_model=value, optimizer="sgd", momentum=0.0, **OPTIONS)
        before = model.dump_weights()
        model.fit(source)
        weights.append({name: array - before[name] for name, array in model.dump_weights().items()})
    plain, compiled = weights
    assert plain.keys() == compiled.keys()
    for name, step in plain.items():
        assert np.linalg.norm(compiled[name] - step) <= RELATIVE * np.linalg.norm(step), name
