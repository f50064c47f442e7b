"""Which device and which precision a run uses."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from functools import cache

import torch

from ptychopinn_backend.config.execution import CPU_PRECISION_NOTE, ExecutionConfig
from ptychopinn_backend.errors import ConfigError, UnsupportedOptionError
from ptychopinn_backend.seam.processor import multiplies_bfloat16

logger = logging.getLogger(__name__)


def resolve_device(execution: ExecutionConfig) -> torch.device:
    """Return the device that `accelerator` means; 'auto' is a CUDA device or else the CPU.

    Args:
        execution: run-time options.

    Returns:
        The first device of its kind.

    Raises:
        ConfigError: the accelerator that was asked for is not there.
        UnsupportedOptionError: it is one of ONNX Runtime alone.
    """
    wanted = execution.accelerator
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        _say_once("accelerator = 'auto': no CUDA device found, computing on the CPU.")
        return torch.device("cpu")
    if wanted == "cpu":
        return torch.device("cpu")
    if wanted == "tensorrt":
        raise UnsupportedOptionError(
            "accelerator = 'tensorrt' is not offered by the pytorch backend. Set accelerator to 'cuda', or use the "
            "onnx backend to predict."
        )
    if wanted == "mps":
        if torch.backends.mps.is_available():
            return torch.device("mps")
    elif torch.cuda.is_available():
        return torch.device("cuda", 0)
    raise ConfigError(
        f"accelerator = '{wanted}', but PyTorch sees no such device. Set accelerator to 'auto' or 'cpu', "
        "or install a PyTorch build that supports the device."
    )


def device_names() -> tuple[str, ...]:
    """Return what the GPUs this process sees are called, by their numbers."""
    if torch.cuda.is_available():
        return tuple(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count()))
    return ("GPU of this machine (mps)",) if torch.backends.mps.is_available() else ()


def process_count(execution: ExecutionConfig) -> int:
    """Return how many processes train on this machine, one per device.

    Args:
        execution: run-time options; 'auto' devices are all CUDA devices, and one on anything else.

    Returns:
        A number above 0.

    Raises:
        ConfigError: more devices than there are, or a strategy that this kind of device or setting does not allow.
    """
    device = resolve_device(execution)
    there = torch.cuda.device_count() if device.type == "cuda" else None
    count = there or 1 if execution.devices == "auto" else int(execution.devices)
    if device.type == "mps" and count > 1:
        there = 1
    if there is not None and count > there:
        raise ConfigError(
            f"devices = {count}, but PyTorch sees {there} {device.type} device(s). Set devices to {there} or 'auto'."
        )
    if execution.strategy == "fsdp" and device.type != "cuda":
        raise ConfigError(
            f"strategy = 'fsdp' splits a model over CUDA devices, and this run computes on '{device.type}'. "
            "Set strategy to 'ddp', or accelerator to 'cuda' on a machine that has them."
        )
    if execution.strategy == "ddp_spawn" and execution.num_nodes > 1:
        raise ConfigError(
            f"strategy = 'ddp_spawn' creates its processes on one machine, and num_nodes = {execution.num_nodes}. "
            "Set strategy to 'ddp'."
        )
    return count


@cache
def _say_once(message: str) -> None:
    logger.info(message)


def resolve_precision(execution: ExecutionConfig, device: torch.device) -> str:
    """Return the precision in force; 16-mixed needs a GPU, on a CPU it becomes bf16-mixed, which has its range.

    Args:
        execution: run-time options.
        device: where the model runs.

    Returns:
        32-true, 16-mixed or bf16-mixed.
    """
    if execution.precision == "16-mixed" and device.type == "cpu":
        _say_once(CPU_PRECISION_NOTE)
        return "bf16-mixed"
    return execution.precision


def gains_by_bfloat16(execution: ExecutionConfig) -> bool:
    """Return whether a network trains faster in bfloat16.

    Args:
        execution: run-time options.

    Returns:
        True on a processor or a CUDA device with units for it; False with fsdp, which offers no mixed precision.
    """
    if execution.strategy == "fsdp":
        return False
    device = resolve_device(execution)
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and multiplies_bfloat16()


def autocast(precision: str, device: torch.device) -> AbstractContextManager[None]:
    """Return the context in which the network computes at a precision.

    Args:
        precision: see `resolve_precision`.
        device: where the model runs.

    Returns:
        A context manager.
    """
    dtype = torch.float16 if precision == "16-mixed" else torch.bfloat16
    return torch.autocast(device.type, dtype=dtype, enabled=precision != "32-true")
