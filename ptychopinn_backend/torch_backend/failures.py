"""What PyTorch reports as a RuntimeError like any other, though it is the machine that failed."""

from __future__ import annotations

import torch
from torch import distributed

from ptychopinn_backend.errors import InsufficientMemoryError, ProcessLostError, PtychoPINNError, WorkerDiedError

_LOST_PEER = ("closed by peer", "reset by peer", "gloo/transport", "Broken pipe")
"""Words of the library that joins processes on a CPU, which raises RuntimeError."""


def explanation(error: Exception) -> PtychoPINNError | None:
    """Explain an error.

    Args:
        error: whatever was raised.

    Returns:
        Want of memory, the end of a process that loads batches, or the end of another process of the same training;
        None for any other error.
    """
    text = str(error)
    if isinstance(error, torch.OutOfMemoryError):
        return InsufficientMemoryError(text.partition(". ")[0])
    if isinstance(error, ConnectionError):
        # A worker hands over its batches through a socket, and may die while it does.
        return WorkerDiedError(error.strerror or text)
    if not isinstance(error, RuntimeError):
        return None
    if "can't allocate memory" in text:
        return InsufficientMemoryError(text.partition("allocate memory: ")[2].partition(". ")[0] or text)
    if text.startswith("DataLoader worker"):
        return WorkerDiedError(text)
    if isinstance(error, distributed.DistError) or any(words in text for words in _LOST_PEER):
        return ProcessLostError(
            "Another process of this training ended, or could not be reached. Its own words say why; then go on "
            "from the last checkpoint."
        )
    return None
