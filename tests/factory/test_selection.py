"""Which backend is chosen, who decides, and what an unknown name is told."""

from __future__ import annotations

import logging

import pytest

from ptychopinn_backend.errors import ConfigError, UnsupportedOptionError
from ptychopinn_backend.factory import (
    DEFAULT_BACKEND,
    ENVIRONMENT_VARIABLE,
    backend_class,
    create_backend,
    installed_backends,
    resolve_backend,
)
from ptychopinn_backend.seam.interface import BackendSetup
from tests.contract.builders import INTENSITY_SCALE, source_for, split_options


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)


@pytest.mark.parametrize(
    ("explicit", "environment", "setting", "archive", "expected"),
    [
        ("pytorch", "tensorflow", "tensorflow", "tensorflow", "pytorch"),
        ("tensorflow", "pytorch", "pytorch", "pytorch", "tensorflow"),
        (None, "pytorch", "tensorflow", "tensorflow", "pytorch"),
        (None, None, "pytorch", "tensorflow", "pytorch"),
        (None, None, None, "pytorch", "pytorch"),
        (None, None, None, None, "tensorflow"),
    ],
)
def test_precedence_is_argument_environment_setting_archive_default(
    explicit: str | None,
    environment: str | None,
    setting: str | None,
    archive: str | None,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if environment is not None:
        monkeypatch.setenv(ENVIRONMENT_VARIABLE, environment)
    assert resolve_backend(explicit, setting, archive) == expected


def test_names_are_read_leniently(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_backend(" PyTorch ") == "pytorch"
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "TensorFlow")
    assert resolve_backend(setting="pytorch") == "tensorflow"


@pytest.mark.parametrize("nothing", ["", None])
def test_an_empty_value_decides_nothing(nothing: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "")
    assert resolve_backend(nothing, nothing, "pytorch") == "pytorch"
    assert DEFAULT_BACKEND == "tensorflow"


@pytest.mark.parametrize(
    ("arguments", "environment", "origin"),
    [
        ({"explicit": "pytroch"}, None, "the argument"),
        ({"setting": "pytorch"}, "pytroch", f"the environment variable {ENVIRONMENT_VARIABLE}"),
        ({"setting": "pytroch"}, None, "the setting"),
        ({"archive": "pytroch"}, None, "the archive"),
    ],
)
def test_an_unknown_name_is_refused_with_origin_and_valid_names(
    arguments: dict[str, str], environment: str | None, origin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if environment is not None:
        monkeypatch.setenv(ENVIRONMENT_VARIABLE, environment)
    message = f"'pytroch' from {origin} is not one of tensorflow, pytorch, onnx. Did you mean 'pytorch'?"
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        resolve_backend(**arguments)


@pytest.mark.parametrize(
    ("arguments", "environment", "origin"),
    [({"explicit": "onnx"}, None, "the argument"), ({}, "onnx", "the environment variable")],
)
def test_the_backend_that_only_predicts_is_refused_for_training(
    arguments: dict[str, str], environment: str | None, origin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if environment is not None:
        monkeypatch.setenv(ENVIRONMENT_VARIABLE, environment)
    assert resolve_backend(**arguments) == "onnx"
    with pytest.raises(UnsupportedOptionError, match=f"'onnx' from {origin}.*only predicts.*tensorflow or pytorch"):
        resolve_backend(**arguments, to_train=True)


def test_a_name_that_does_not_decide_is_not_looked_at() -> None:
    assert resolve_backend("pytorch", setting="jax", archive="jax") == "pytorch"


def test_the_choice_and_its_origin_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="ptychopinn_backend.factory"):
        resolve_backend(setting="pytorch")
    assert "Backend pytorch, chosen by the setting." in caplog.text


def test_unknown_class_is_a_value_error_that_names_the_valid_ones() -> None:
    with pytest.raises(ValueError, match=r"Backend 'tensorlow' is not one of tensorflow, pytorch, onnx.*'tensorflow'"):
        backend_class("tensorlow")


def test_all_backends_are_installed_here() -> None:
    # A promised framework that is missing is a failure, not a reason to skip.
    assert installed_backends() == {"tensorflow": True, "pytorch": True, "onnx": True}


@pytest.mark.parametrize("name", ["tensorflow", "pytorch", "onnx"])
def test_the_backend_built_is_the_one_named(name: str) -> None:
    model, training, execution = split_options({})
    setup = BackendSetup(model, training, execution, INTENSITY_SCALE, source_for({}).probes)
    backend = create_backend(name, setup)
    assert backend.name == name
    assert backend.setup is setup
