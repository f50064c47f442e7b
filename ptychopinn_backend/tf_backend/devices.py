"""Where and how exactly TensorFlow computes; options it does not offer are refused by name."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Final

from ptychopinn_backend.config.execution import CPU_PRECISION_NOTE, ExecutionConfig
from ptychopinn_backend.errors import ConfigError, UnsupportedOptionError
from ptychopinn_backend.seam.processor import multiplies_bfloat16
from ptychopinn_backend.tf_backend.framework import tf

logger = logging.getLogger(__name__)


_BFLOAT16_CAPABILITY: Final = (8, 0)
"""Compute capability from which on NVIDIA's GPUs have units for bfloat16."""


def refuse_unsupported(execution: ExecutionConfig) -> None:
    """Raise for run-time options this backend does not offer.

    Args:
        execution: the options.

    Raises:
        UnsupportedOptionError: names the option, and what to choose instead.
    """
    refused = {
        "strategy": (execution.strategy != "auto", "'auto'"),
        "num_nodes": (execution.num_nodes > 1, "1"),
        "devices": (execution.devices not in (1, "auto"), "1"),
        "accelerator": (execution.accelerator in ("mps", "tensorrt"), "'auto', 'cpu' or 'gpu'"),
    }
    for name, (is_refused, remedy) in refused.items():
        if is_refused:
            raise _not_offered(execution, name, remedy)
    if execution.compile_model and execution.deterministic is True:
        raise UnsupportedOptionError(
            "compile_model = True and deterministic = True do not go together on the tensorflow backend: XLA has "
            "no reproducible gradient of max pooling. Set one of them to False, or use the pytorch backend."
        )


def _not_offered(execution: ExecutionConfig, name: str, remedy: str) -> UnsupportedOptionError:
    value = getattr(execution, name)
    other = "the onnx backend to predict" if value == "tensorrt" else "the pytorch backend"
    return UnsupportedOptionError(
        f"{name} = {value!r} is not offered by the tensorflow backend. Set {name} to {remedy} or use {other}."
    )


def resolve_precision(execution: ExecutionConfig, device: str) -> str:
    """Return the precision in force; on a CPU 16-mixed becomes bf16-mixed, as on the other backend.

    Args:
        execution: the options.
        device: TensorFlow name of the device.

    Returns:
        '32-true' or 'bf16-mixed'.

    Raises:
        UnsupportedOptionError: 16-mixed on a GPU, which needs loss scaling.
    """
    if execution.precision != "16-mixed":
        return execution.precision
    if "GPU" in device:
        raise _not_offered(execution, "precision", "'32-true' or 'bf16-mixed', which needs no loss scaling,")
    logger.info(CPU_PRECISION_NOTE)
    return "bf16-mixed"


def resolve_device(accelerator: str) -> str:
    """Return the TensorFlow name of the device to compute on.

    GPU memory is then taken as needed: TensorFlow's default takes all of it and starves other processes.

    Args:
        accelerator: auto, cpu, gpu or cuda.

    Returns:
        '/CPU:0' or '/GPU:0'.

    Raises:
        ConfigError: a GPU is asked for and none is visible.
    """
    if accelerator == "cpu":
        return "/CPU:0"
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        if accelerator != "auto":
            raise ConfigError(
                f"accelerator = '{accelerator}' asks for a GPU, but TensorFlow sees none. "
                "Set accelerator to 'auto' or 'cpu', or install 'tensorflow[and-cuda]' and check the driver."
            )
        logger.info("TensorFlow sees no GPU; computing on the CPU.")
        return "/CPU:0"
    for gpu in gpus:
        with suppress(RuntimeError):  # the process has used the GPU already; its choice stands
            tf.config.experimental.set_memory_growth(gpu, True)
    return "/GPU:0"


def gains_by_bfloat16(execution: ExecutionConfig) -> bool:
    """Return whether a network trains faster in bfloat16.

    Args:
        execution: run-time options.

    Returns:
        True on a processor with units for it, and on a GPU of compute capability 8.0 or more.
    """
    if resolve_device(execution.accelerator) == "/CPU:0":
        return multiplies_bfloat16()
    gpus = tf.config.list_physical_devices("GPU")
    details = tf.config.experimental.get_device_details(gpus[0])
    return tuple(details.get("compute_capability", (0, 0))) >= _BFLOAT16_CAPABILITY


def device_names() -> tuple[str, ...]:
    """Return what the GPUs this process sees are called, by their numbers."""
    details = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    return tuple(str(found.get("device_name", "GPU")) for found in details)


def set_determinism(deterministic: bool | str) -> None:
    """Make TensorFlow use bit-reproducible algorithms when `deterministic` is True.

    The switch is TensorFlow's own and concerns the whole process; it is never switched off again here, because other
    code may rely on it. TensorFlow knows no middle way, so 'warn' leaves it as it is.

    Args:
        deterministic: `ExecutionConfig.deterministic`.
    """
    if deterministic is True:
        tf.config.experimental.enable_op_determinism()
    elif deterministic == "warn":
        logger.warning("deterministic = 'warn': TensorFlow only knows on and off; results may differ in the last bits.")


def compute_type(precision: str) -> tf.DType:
    """Return the number type of the network's convolutions; weights and physics stay float32."""
    return tf.bfloat16 if precision == "bf16-mixed" else tf.float32
