"""The types that mypy reads for TensorFlow are those of names that TensorFlow has."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
import tensorflow as tf

STUB = Path(__file__).parents[2] / "stubs" / "tensorflow" / "__init__.pyi"
OURS = {"_Value", "_Shape", "_Axes", "_Padding", "_Result", "_GradientT", "_Function"}


def stated(nodes: list[ast.stmt], prefix: str = "") -> list[tuple[str, list[str]]]:
    """Return (dotted name, parameter names) of everything a stub states; no parameters for what is not a function."""
    found: list[tuple[str, list[str]]] = []
    for node in nodes:
        if isinstance(node, ast.FunctionDef):
            is_attribute = any(isinstance(mark, ast.Name) and mark.id == "property" for mark in node.decorator_list)
            arguments = [] if is_attribute else [*node.args.args, *node.args.kwonlyargs]
            found.append((prefix + node.name, [argument.arg for argument in arguments]))
        elif isinstance(node, ast.ClassDef):
            found += [(prefix + node.name, []), *stated(node.body, f"{prefix}{node.name}.")]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.append((prefix + node.target.id, []))
    return [(name, parameters) for name, parameters in found if name.partition(".")[0] not in OURS]


STATED = stated(ast.parse(STUB.read_text(encoding="utf-8")).body)
# What the objects have and the public classes do not show.
OF_OBJECTS = {
    "Tensor.graph",
    "Tensor.numpy",
    "Tensor.__float__",
    "Variable.handle",
    "errors.ResourceExhaustedError.message",
    "config.PhysicalDevice",
}


@pytest.mark.parametrize(("name", "parameters"), STATED, ids=[name for name, _ in STATED])
def test_tensorflow_has_the_name_with_its_parameters(name: str, parameters: list[str]) -> None:
    if name in OF_OBJECTS:
        return
    found: object = tf
    for part in name.split("."):
        found = getattr(found, part)
    if parameters and not name.partition(".")[2].startswith("__"):
        there = inspect.signature(found).parameters.values()  # type: ignore[arg-type]
        named = {parameter.name for parameter in there}
        takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in there)
        assert takes_any or set(parameters) <= named
