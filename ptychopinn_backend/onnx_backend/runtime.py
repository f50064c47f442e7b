"""ONNX Runtime: execution providers, threads, and what its failures mean."""

from __future__ import annotations

import logging
import os
from typing import Final

import onnxruntime

from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.errors import ConfigError, InsufficientMemoryError, PtychoPINNError, UnsupportedOptionError

logger = logging.getLogger(__name__)

_CPU: Final = "CPUExecutionProvider"
_PROVIDERS: Final = {
    "cpu": _CPU,
    "gpu": "CUDAExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
"""accelerator -> execution provider."""
_OUT_OF_MEMORY: Final = ("Failed to allocate memory", "bad_alloc", "out of memory", "bad allocation")
_OPENMP_THREADS: Final = "OMP_NUM_THREADS"
_ERRORS_ONLY: Final = 3
_REMEDY: Final = (
    "Set accelerator to 'cpu', or check the driver and the libraries that it needs "
    "(https://onnxruntime.ai/docs/execution-providers)."
)
_told: set[str] = set()
"""Providers of which it was said that the CPU computes in their place."""
_threads: list[int] = []
"""Threads of sessions made from now on; empty leaves the choice to the user's environment, then to ONNX Runtime."""


def use_threads(count: int) -> None:
    """Compute with `count` threads on the CPU from now on."""
    _threads[:] = [count]


def providers_for(execution: ExecutionConfig) -> list[str]:
    """Return the execution providers an accelerator means, the first that can do an operation does it.

    Args:
        execution: run-time options.

    Returns:
        Names of ONNX Runtime.

    Raises:
        ConfigError: the provider is not part of this installation.
        UnsupportedOptionError: an option that ONNX Runtime does not have.
    """
    _refuse_unsupported(execution)
    available = onnxruntime.get_available_providers()
    if execution.accelerator == "auto":
        cuda = _PROVIDERS["cuda"]
        return [cuda, _CPU] if cuda in available else [_CPU]
    wanted = _PROVIDERS[execution.accelerator]
    if wanted not in available:
        raise ConfigError(
            f"accelerator = '{execution.accelerator}' needs the {wanted}, which this ONNX Runtime lacks (it has "
            f"{', '.join(available)}). Set accelerator to 'auto' or 'cpu', or install onnxruntime-gpu in place of "
            "onnxruntime."
        )
    behind = [_PROVIDERS["cuda"]] if execution.accelerator == "tensorrt" and _PROVIDERS["cuda"] in available else []
    return list(dict.fromkeys([wanted, *behind, _CPU]))


def _refuse_unsupported(execution: ExecutionConfig) -> None:
    refused = {
        "accelerator": (execution.accelerator == "mps", "'auto', 'cpu', 'cuda' or 'tensorrt'"),
        "precision": (execution.precision != "32-true", "'32-true'"),
    }
    for name, (is_refused, remedy) in refused.items():
        if is_refused:
            raise UnsupportedOptionError(
                f"{name} = {getattr(execution, name)!r} is not offered by the onnx backend. "
                f"Set {name} to {remedy} or use the pytorch backend."
            )


def open_session(
    model: bytes, providers: list[str], *, deterministic: bool = True, may_fall_back: bool = False
) -> onnxruntime.InferenceSession:
    """Return a model ready to compute.

    Args:
        model: serialised; its weights lie in it.
        providers: see `providers_for`.
        deterministic: the same bits in every run, also on a GPU.
        may_fall_back: where the first provider does not start, the CPU computes, and a warning says so.

    Returns:
        The session.

    Raises:
        ConfigError: the first provider is there but does not start, for want of a driver or a library.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.use_deterministic_compute = deterministic
    threads = _chosen_threads()
    if threads is not None:
        options.intra_op_num_threads = threads
    # A thread that waits in a loop takes the core from another program.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model, options, providers=providers)
    if session.get_providers()[0] != providers[0]:
        if not may_fall_back:
            raise ConfigError(f"{_does_not_start(providers[0])} {_REMEDY}")
        if providers[0] not in _told:
            _told.add(providers[0])
            logger.warning("%s The CPU computes. %s", _does_not_start(providers[0]), _REMEDY)
    return session


def _does_not_start(provider: str) -> str:
    return f"The {provider} of ONNX Runtime does not start on this computer."


def _chosen_threads() -> int | None:
    if _threads:
        return _threads[0]
    chosen = os.environ.get(_OPENMP_THREADS, "")
    return int(chosen) if chosen.isdigit() and int(chosen) > 0 else None


def explanation(error: Exception) -> PtychoPINNError | None:
    """Explain an error.

    Args:
        error: whatever was raised; ONNX Runtime has a class for each status, all plain exceptions.

    Returns:
        Want of memory on the device or the host; None for any other error.
    """
    if any(words in str(error) for words in _OUT_OF_MEMORY):
        return InsufficientMemoryError(str(error).partition("\n")[0][:200])
    return None
