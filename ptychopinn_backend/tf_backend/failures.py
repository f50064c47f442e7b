"""What TensorFlow reports by classes of its own, though it is the machine that failed."""

from __future__ import annotations

from ptychopinn_backend.errors import InsufficientMemoryError, PtychoPINNError
from ptychopinn_backend.tf_backend.framework import tf


def explanation(error: Exception) -> PtychoPINNError | None:
    """Explain an error.

    Args:
        error: whatever was raised.

    Returns:
        Want of memory on the device or the host; None for any other error.
    """
    if isinstance(error, tf.errors.ResourceExhaustedError):
        return InsufficientMemoryError(str(error.message).partition("\n")[0][:200])
    return None
