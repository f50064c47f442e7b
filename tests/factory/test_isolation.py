"""Choosing one backend never imports the other; seen in fresh interpreters."""

from __future__ import annotations

import pytest

from tests.factory.interpreters import run

FRAMEWORKS = ("tensorflow", "keras", "torch", "lightning", "pytorch_lightning", "onnx", "onnxruntime")


def test_choosing_imports_no_framework() -> None:
    program = f"""
resolve_backend("pytorch"), resolve_backend(setting="tensorflow"), installed_backends()
print(json.dumps(loaded(*{FRAMEWORKS!r})))
"""
    assert run(program) == []


@pytest.mark.parametrize(
    ("name", "own", "others"),
    [
        ("tensorflow", ["tensorflow"], ("torch", "lightning", "pytorch_lightning", "onnxruntime")),
        ("pytorch", ["torch", "lightning"], ("tensorflow", "keras", "onnxruntime")),
    ],
)
def test_training_and_predicting_with_one_never_imports_the_other(name: str, own: list[str], others: object) -> None:
    program = f"""
source = source_for({{}}, n_groups=4)
backend = build({name!r})
backend.fit(source)
patches = next(backend.predict(source, 2))
print(json.dumps([loaded(*{own!r}), loaded(*{others!r}), list(patches.shape)]))
"""
    assert run(program) == [own, [], [2, 32, 32, 1]]


@pytest.mark.parametrize("order", [("tensorflow", "pytorch"), ("pytorch", "tensorflow")])
def test_both_live_in_one_process_in_either_order(order: tuple[str, str]) -> None:
    program = f"""
source = source_for({{}}, n_groups=4)
built = {{name: build(name) for name in {order!r}}}
for backend in built.values():
    backend.fit(source)
first, second = (next(backend.predict(source, 4)) for backend in built.values())
print(json.dumps(float(abs(first - second).max() / abs(first).max())))
"""
    # Eight optimiser steps of two batches each at the default learning rate, not the tolerance of the parity suite.
    assert run(program) < 1e-2
