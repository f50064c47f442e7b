"""Graphs live as long as the model they belong to."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from tests.contract.builders import source_for
from tests.tf_backend.runs import fitted


def graphs() -> int:
    gc.collect()
    return sum(type(held).__name__ == "FuncGraph" for held in gc.get_objects())


@pytest.mark.parametrize(
    "options",
    [
        {"gridsize": 2},
        {"gridsize": 1, "architecture": "backprojection_unet"},
        {"gridsize": 1, "amp_activation": "swish", "probe_trainable": True},
    ],
    ids=("placement", "backprojection_unet", "swish"),
)
def test_a_model_takes_its_graphs_with_it(options: dict[str, Any]) -> None:
    before = graphs()
    backend, _ = fitted(**options)
    list(backend.predict(source_for(options, n_groups=4), 2))
    assert graphs() > before
    del backend
    assert graphs() == before
