"""Run-time options: honoured, or refused by name."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.errors import ConfigError, UnsupportedOptionError
from ptychopinn_backend.tf_backend.devices import resolve_device, resolve_precision
from tests.contract.builders import backend_for, source_for
from tests.tf_backend.runs import fitted


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"strategy": "ddp"}, "strategy to 'auto'"),
        ({"num_nodes": 2}, "num_nodes to 1"),
        ({"devices": 2}, "devices to 1"),
        ({"accelerator": "mps"}, "accelerator to 'auto', 'cpu' or 'gpu'"),
    ],
)
def test_what_is_not_offered_is_refused_by_name(options: dict[str, Any], remedy: str) -> None:
    ((name, value),) = options.items()
    message = rf"{name} = {value!r} is not offered by the tensorflow backend. Set {remedy}.*pytorch backend"
    with pytest.raises(UnsupportedOptionError, match=message):
        backend_for("tensorflow", source_for({}), **options)


def test_xla_is_refused_where_training_must_be_reproducible() -> None:
    with pytest.raises(UnsupportedOptionError, match=r"compile_model = True and deterministic = True.*Set one of them"):
        backend_for("tensorflow", source_for({}), compile_model=True)


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused_and_auto_takes_the_cpu(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConfigError, match=r"accelerator = 'gpu' asks for a GPU, but TensorFlow sees none.*'cpu'"):
        resolve_device("gpu")
    with caplog.at_level(logging.INFO):
        assert resolve_device("auto") == "/CPU:0"
    assert "no GPU" in caplog.text


def test_all_devices_of_one_machine_are_one() -> None:
    assert backend_for("tensorflow", source_for({}), devices="auto").name == "tensorflow"


def test_lower_precision_stays_close_and_trains() -> None:
    source = source_for({"gridsize": 2}, n_groups=3)
    batch = source.batch(np.arange(3))
    full, mixed = (
        backend_for("tensorflow", source, gridsize=2, precision=precision).forward(batch, source).network_patches
        for precision in ("32-true", "bf16-mixed")
    )
    difference = np.abs(full - mixed).max() / np.abs(full).max()
    # bfloat16 keeps eight bits.
    assert 0 < difference < 0.05
    backend, result = fitted(precision="bf16-mixed", nepochs=3)
    assert result.history["loss"][-1] < result.history["loss"][0]
    assert {array.dtype for array in backend.dump_weights().values()} == {np.dtype(np.float32)}


def test_half_precision_on_the_cpu_becomes_bfloat16_and_is_refused_on_a_gpu(caplog: pytest.LogCaptureFixture) -> None:
    execution = ExecutionConfig(precision="16-mixed")
    with caplog.at_level(logging.INFO):
        assert resolve_precision(execution, "/CPU:0") == "bf16-mixed"
    assert "'16-mixed' is not available on the CPU; using 'bf16-mixed'" in caplog.text
    with pytest.raises(
        UnsupportedOptionError, match=r"precision = '16-mixed' is not offered.*'32-true' or 'bf16-mixed'"
    ):
        resolve_precision(execution, "/GPU:0")


@pytest.mark.parametrize("options", [{"num_workers": 1}, {"num_workers": 3, "prefetch_factor": 1}])
def test_loading_ahead_changes_nothing(options: dict[str, Any]) -> None:
    plain, expected = fitted(n_groups=14)
    threaded, found = fitted(n_groups=14, **options)
    assert found.history == expected.history
    for name, array in plain.dump_weights().items():
        np.testing.assert_array_equal(threaded.dump_weights()[name], array)


def test_a_third_way_of_determinism_is_said_not_to_exist(caplog: pytest.LogCaptureFixture) -> None:
    backend_for("tensorflow", source_for({}), deterministic="warn")
    assert "deterministic = 'warn'" in caplog.text


def test_progress_bar_is_shown_only_when_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    fitted(nepochs=1)
    assert capfd.readouterr().err == ""
    fitted(nepochs=1, enable_progress_bar=True)
    assert "1/1" in capfd.readouterr().err


@pytest.mark.parametrize(("given", "expected"), [(None, "3"), ("1", "1")])
def test_start_up_messages_are_silenced_unless_the_user_decides(given: str | None, expected: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    if given is not None:
        environment["TF_CPP_MIN_LOG_LEVEL"] = given
    program = "import ptychopinn_backend.tf_backend.framework, os; print(os.environ['TF_CPP_MIN_LOG_LEVEL'])"
    arguments = [sys.executable, "-W", "error", "-c", program]
    result = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == expected


@pytest.mark.parametrize(
    "options",
    [{"pin_memory": True}, {"persistent_workers": True, "num_workers": 1}],
    ids=lambda options: next(iter(options)),
)
def test_what_has_no_effect_is_named(options: dict[str, Any]) -> None:
    name = next(iter(options))
    with pytest.warns(UserWarning, match=f"{name} = True has no effect with the tensorflow backend. Leave it out."):
        backend_for("tensorflow", source_for({}), **options)
