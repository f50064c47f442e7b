"""Canonical weights: names with '/', kernels as (height, width, in, out); which belong to a model."""

from __future__ import annotations

from collections.abc import Mapping

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.errors import UnfitWeightsError, nearest_name

LOG_SCALE = "physics/log_scale"
"""Name of the logarithm of the intensity scale, a float32 scalar."""
PROBE = "physics/probe"
"""Name of a trainable probe, complex64 (scan, mode, N, N)."""


def is_kernel(name: str) -> bool:
    """Return whether a canonical name is that of a kernel, which weight decay acts on."""
    return name.rpartition("/")[2].partition("_")[0] == "kernel"


def onnx_layout(array: AnyArray) -> AnyArray:
    """Return a view of weights as ONNX has them: kernels (out, in, height, width) instead of the canonical layout."""
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array


def from_onnx_layout(array: AnyArray) -> AnyArray:
    """Return a view of weights in the canonical layout; undoes `onnx_layout`."""
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array


def check_weights(weights: Mapping[str, AnyArray], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Raise unless `weights` has exactly the expected names and shapes.

    Args:
        weights: canonical name -> array.
        expected: canonical name -> shape.

    Raises:
        UnfitWeightsError: a name is missing or unknown, or a shape differs.
    """
    for name in expected:
        if name not in weights:
            raise UnfitWeightsError(
                f"The weights lack '{name}'. They belong to another model configuration or are incomplete; "
                "use the configuration stored in the same archive."
            )
    for name, array in weights.items():
        if name not in expected:
            raise UnfitWeightsError(
                f"The weights hold '{name}', which this model does not have.{nearest_name(name, expected)} "
                "Use the configuration stored in the same archive."
            )
        if tuple(array.shape) != tuple(expected[name]):
            raise UnfitWeightsError(
                f"Weight '{name}' has shape {tuple(array.shape)}; this model needs {tuple(expected[name])}. "
                "Use the configuration stored in the same archive."
            )
