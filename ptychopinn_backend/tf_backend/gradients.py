"""Gradients given by hand, where TensorFlow has none or a slow one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ptychopinn_backend.tf_backend.framework import tf


def with_adjoint(apply: Callable[[Any], Any], adjoint: Callable[[Any], Any], values: Any) -> Any:
    """Apply a linear map whose gradient is its adjoint.

    Args:
        apply: the map.
        adjoint: its adjoint.
        values: what it is applied to.

    Returns:
        `apply(values)`.
    """
    return tf.custom_gradient(lambda given: (apply(given), adjoint))(values)
