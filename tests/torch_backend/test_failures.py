"""Failures of the machine are told from errors of the program."""

import pytest
import torch

from ptychopinn_backend.errors import InsufficientMemoryError, WorkerDiedError
from ptychopinn_backend.seam.failures import explained_failures
from ptychopinn_backend.torch_backend.failures import explanation


def test_memory_of_the_host() -> None:
    with (
        pytest.raises(InsufficientMemoryError, match=r"Not enough memory: you tried .*\. Lower batch_size"),
        explained_failures(explanation),
    ):
        torch.empty(2**50)


@pytest.mark.parametrize(
    ("raised", "expected", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), InsufficientMemoryError, "Not enough memory: CUDA out"),
        (RuntimeError("DataLoader worker (pid 3) is killed by signal: Killed. "), WorkerDiedError, "Set num_workers"),
        (ConnectionResetError(104, "Connection reset by peer"), WorkerDiedError, r"died \(Connection reset by peer\)"),
        (RuntimeError("shape mismatch"), RuntimeError, "^shape mismatch$"),
    ],
)
def test_others(raised: Exception, expected: type[Exception], words: str) -> None:
    with pytest.raises(expected, match=words), explained_failures(explanation):
        raise raised
