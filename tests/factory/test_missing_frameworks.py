"""A framework that is not installed: a clear error, no silent fallback, and the other backend goes on working."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.factory.interpreters import environment_without, run

TENSORFLOW = ("tensorflow", "keras")
PYTORCH = ("torch", "lightning", "pytorch_lightning")
CASES = [
    ("tensorflow", TENSORFLOW, "TensorFlow", "tensorflow", "pytorch"),
    ("pytorch", PYTORCH, "PyTorch", "torch", "tensorflow"),
]


@pytest.fixture(scope="module", params=CASES, ids=["without TensorFlow", "without PyTorch"])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What happens where one framework cannot be imported."""
    missing, prefixes, title, package, other = request.param
    paths = environment_without(tmp_path_factory.mktemp("environment"), *prefixes)
    program = f"""
report = {{"installed": installed_backends(), "resolved": resolve_backend({missing!r}),
    "of an archive": resolve_backend(archive={missing!r}), "default": resolve_backend()}}
try:
    build({missing!r})
except Exception as error:
    report["error"] = str(error)
    report["classes"] = [kind.__name__ for kind in type(error).__mro__]
report["other"] = build({other!r}).name
report["loaded"] = loaded(*{prefixes!r})
print(json.dumps(report))
"""
    return {"missing": missing, "title": title, "package": package, "expected other": other, **run(program, paths)}


def test_the_error_names_backend_package_and_pip_line(found: dict[str, object]) -> None:
    assert found["error"] == (
        f"{found['title']} backend selected, but the package '{found['package']}' is not installed. "
        f"Install it with: pip install 'ptychopinn-backend[{found['package']}]', or select another backend."
    )


def test_the_error_is_a_runtime_error_of_ours(found: dict[str, object]) -> None:
    assert {"BackendUnavailableError", "PtychoPINNError", "RuntimeError"} <= set(found["classes"])  # type: ignore[call-overload]


def test_choosing_does_not_fall_back(found: dict[str, object]) -> None:
    assert found["resolved"] == found["missing"]
    assert found["installed"] == {str(found["missing"]): False, str(found["expected other"]): True, "onnx": True}


def test_for_an_archive_of_it_onnx_runtime_takes_over(found: dict[str, object]) -> None:
    assert found["of an archive"] == "onnx"


def test_where_nobody_names_one_it_is_the_one_that_is_installed(found: dict[str, object]) -> None:
    assert found["default"] == found["expected other"]


def test_the_other_backend_works(found: dict[str, object]) -> None:
    assert found["other"] == found["expected other"]
    assert found["loaded"] == []


def test_lightning_alone_can_be_missing(tmp_path: Path) -> None:
    paths = environment_without(tmp_path, "lightning", "pytorch_lightning")
    program = """
from ptychopinn_backend.errors import BackendUnavailableError
try:
    build("pytorch")
except BackendUnavailableError as error:
    print(json.dumps([str(error), installed_backends()["pytorch"]]))
"""
    message, installed = run(program, paths)
    assert "PyTorch backend selected, but the package 'lightning' is not installed" in message
    assert installed is False


def test_another_missing_package_is_not_blamed_on_the_framework(tmp_path: Path) -> None:
    paths = environment_without(tmp_path, "flatbuffers")
    program = """
try:
    build("tensorflow")
except ModuleNotFoundError as error:
    print(json.dumps(error.name))
"""
    assert run(program, paths) == "flatbuffers"
