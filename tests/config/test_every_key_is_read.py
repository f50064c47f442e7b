"""No key is accepted and ignored: every one is read where the engine acts on it."""

from __future__ import annotations

import ast
from dataclasses import fields
from pathlib import Path

import pytest

from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.config.inputs import InputConfig
from ptychopinn_backend.config.reading import Reading
from ptychopinn_backend.seam.arguments import UNUSED_OPTIONS

PACKAGE = Path(__file__).parents[2] / "ptychopinn_backend"
READ_ELSEWHERE = {
    # Other names of `scans` and `validation`: tests/config/test_config_file.py and tests/cli.
    "train_data_file",
    "test_data_file",
    # Only for `params.cfg`, where the bridge writes it: tests/config/test_params_bridge.py.
    "positions_provided",
    # A stage of epochs ends with the training: `nepochs` is the sum of the three.
    "stage_3_epochs",
}


def attributes_read(without: tuple[str, ...] = ()) -> set[str]:
    """Names of attributes in the package but some rooms, but for what a configuration reads of itself to check it."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0]
        if room in ("legacy", *without):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                of_itself = room == "config" and isinstance(node.value, ast.Name) and node.value.id == "self"
                if not of_itself:
                    found.add(node.attr)
    return found


@pytest.mark.parametrize("config", [ModelConfig, TrainingConfig, ExecutionConfig, InputConfig, Reading])
def test_every_key_is_read(config: type) -> None:
    names = {item.name for item in fields(config)}
    assert names - attributes_read() - READ_ELSEWHERE == set()


@pytest.mark.parametrize("backend", ["tensorflow", "pytorch"])
def test_a_backend_reads_every_option_or_says_that_it_does_not(backend: str) -> None:
    rooms = {"tensorflow": "tf_backend", "pytorch": "torch_backend", "onnx": "onnx_backend"}
    read = attributes_read(tuple(room for name, room in rooms.items() if name != backend))
    names = {item.name for item in fields(ExecutionConfig)}
    assert names - read == set(UNUSED_OPTIONS[backend])


def test_what_onnx_runtime_reads_of_the_options_of_a_prediction() -> None:
    computing = {"accelerator", "precision", "deterministic", "compile_model", "devices", "num_nodes", "strategy"}
    read = {
        node.attr
        for path in (PACKAGE / "onnx_backend").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
    }
    assert computing - read == set(UNUSED_OPTIONS["onnx"])


def test_what_is_read_elsewhere_is_so() -> None:
    assert attributes_read().isdisjoint(READ_ELSEWHERE)
