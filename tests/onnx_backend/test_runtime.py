"""Execution providers, threads and options of ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest

from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.errors import ConfigError, InsufficientMemoryError, UnsupportedOptionError
from ptychopinn_backend.onnx_backend import runtime
from ptychopinn_backend.seam.failures import explained_failures
from tests.contract.builders import backend_for, source_for

CUDA, TENSORRT, CPU = "CUDAExecutionProvider", "TensorrtExecutionProvider", "CPUExecutionProvider"


@pytest.mark.parametrize(("accelerator", "provider"), [("cuda", CUDA), ("gpu", CUDA), ("tensorrt", TENSORRT)])
def test_a_provider_that_is_not_there_is_refused_by_name(
    accelerator: str, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])
    with pytest.raises(
        ConfigError, match=f"accelerator = '{accelerator}' needs the {provider}.*has {CPU}.*onnxruntime-gpu"
    ):
        backend_for("onnx", source_for({}), accelerator=accelerator)


@pytest.mark.parametrize(
    ("accelerator", "expected"),
    [("auto", [CUDA, CPU]), ("cpu", [CPU]), ("gpu", [CUDA, CPU]), ("tensorrt", [TENSORRT, CUDA, CPU])],
)
def test_providers_stand_in_the_order_they_are_tried(
    accelerator: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [TENSORRT, CUDA, CPU])
    assert runtime.providers_for(ExecutionConfig(accelerator=accelerator)) == expected


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_gpu_that_does_not_start_leaves_the_work_to_the_cpu(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As with onnxruntime-gpu on a computer without a GPU."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(runtime, "_told", set())
    source = source_for({})
    patches = next(backend_for("onnx", source, accelerator="auto").predict(source, 2))
    assert np.isfinite(patches).all()
    assert f"The {CUDA} of ONNX Runtime does not start on this computer. The CPU computes." in caplog.text
    with pytest.raises(ConfigError, match=f"{CUDA} .*does not start on this computer. Set accelerator to 'cpu'"):
        next(backend_for("onnx", source, accelerator="cuda").predict(source, 2))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"accelerator": "mps"}, "accelerator = 'mps' is not offered by the onnx backend"),
        ({"precision": "bf16-mixed"}, "precision = 'bf16-mixed' is not offered by the onnx backend. Set precision to"),
    ],
)
def test_options_it_lacks_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UnsupportedOptionError, match=words):
        backend_for("onnx", source_for({}), **options)


@pytest.mark.parametrize("backend", ["tensorflow", "pytorch"])
def test_tensorrt_is_its_own(backend: str) -> None:
    with pytest.raises(
        UnsupportedOptionError, match=f"'tensorrt' is not offered by the {backend} backend.*onnx backend"
    ):
        backend_for(backend, source_for({}), accelerator="tensorrt")


def test_the_number_of_threads_is_that_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(runtime, "_threads", [])
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    source = source_for({})

    def threads() -> int:
        backend = backend_for("onnx", source)
        next(backend.predict(source, 2))
        return int(backend._session.get_session_options().intra_op_num_threads)

    seen.append(threads())
    type(backend_for("onnx", source)).use_threads(2)
    seen.append(threads())
    assert seen == [3, 2]


def test_the_same_bits_every_time() -> None:
    source = source_for({"gridsize": 2})
    backend = backend_for("onnx", source, gridsize=2)
    first, second = (np.concatenate(list(backend.predict(source, 5))) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_want_of_memory_is_told_as_such() -> None:
    with (
        pytest.raises(InsufficientMemoryError, match="Failed to allocate memory"),
        explained_failures(runtime.explanation),
    ):
        raise RuntimeError(
            "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested buffer"
        )
    with pytest.raises(RuntimeError, match="something else"), explained_failures(runtime.explanation):
        raise RuntimeError("something else")
