"""What PyTorch reports as a RuntimeError like any other, though it is the machine that failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import distributed

from ptychopinn_backend.errors import InsufficientMemoryError, ProcessLostError, WorkerDiedError

_LOST_PEER = ("closed by peer", "reset by peer", "gloo/transport", "Broken pipe")
"""Words of the library that joins processes on a CPU, which raises RuntimeError."""


@contextmanager
def explained_failures() -> Iterator[None]:
    """Turn failures of the machine into errors that say what to do; usable as a decorator too.

    Yields:
        Nothing.

    Raises:
        InsufficientMemoryError: the device or the host has not enough memory.
        WorkerDiedError: a process that loads batches was ended from outside.
        ProcessLostError: another process of the same training ended.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise InsufficientMemoryError(str(error).partition(". ")[0]) from error
    except RuntimeError as error:
        text = str(error)
        if "can't allocate memory" in text:
            raise InsufficientMemoryError(text.partition("allocate memory: ")[2].partition(". ")[0] or text) from error
        if text.startswith("DataLoader worker"):
            raise WorkerDiedError(text) from error
        if isinstance(error, distributed.DistError) or any(words in text for words in _LOST_PEER):
            raise ProcessLostError(
                "Another process of this training ended, or could not be reached. Its own words say why; then go on "
                "from the last checkpoint."
            ) from error
        raise
