"""What TensorFlow reports by classes of its own, though it is the machine that failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ptychopinn_backend.errors import InsufficientMemoryError
from ptychopinn_backend.tf_backend.framework import tf


@contextmanager
def explained_failures() -> Iterator[None]:
    """Turn failures of the machine into errors that say what to do; usable as a decorator too.

    Yields:
        Nothing.

    Raises:
        InsufficientMemoryError: the device or the host has not enough memory.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise InsufficientMemoryError(str(error.message).partition("\n")[0][:200]) from error
