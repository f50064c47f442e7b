"""Errors keep their words on the way to another process."""

from __future__ import annotations

from multiprocessing.reduction import ForkingPickler

import pytest

from ptychopinn_backend.errors import (
    ArchiveNotFoundError,
    ConfigError,
    InsufficientMemoryError,
    OutputError,
    PtychoPINNError,
    WorkerDiedError,
    lack_of_memory,
    sentence_of,
)


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("a = 1 breaks a rule. Use 2."),
        ArchiveNotFoundError("no archive there. Train one."),
        OutputError("'x' could not be written. Free space."),
        InsufficientMemoryError("2 GB asked for"),
        WorkerDiedError("killed"),
    ],
)
def test_an_error_crosses_a_process_boundary_unchanged(error: PtychoPINNError) -> None:
    there = ForkingPickler.loads(ForkingPickler.dumps(error))
    assert type(there) is type(error)
    assert str(there) == str(error)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ConfigError("two\nlines"), "two lines"),
        (FileNotFoundError(2, "No such file", "a.npz"), "'a.npz': No such file. Check the path, and that"),
        (MemoryError(), "Not enough memory: none is left. Lower batch_size"),
        (
            OSError(12, "Cannot allocate memory", "modules"),
            "Not enough memory: [Errno 12] Cannot allocate memory: 'mod",
        ),
    ],
)
def test_failures_of_the_machine_become_sentences(error: Exception, sentence: str) -> None:
    assert sentence_of(error).startswith(sentence)


@pytest.mark.parametrize(
    ("error", "is_lack"),
    [
        (MemoryError(), True),
        (OSError(12, "Cannot allocate memory", "modules"), True),
        (FileNotFoundError(2, "No such file", "a.npz"), False),
        (InsufficientMemoryError("2 GB asked for"), False),
        (None, False),
    ],
    ids=("python", "system", "another of the system", "explained already", "none"),
)
def test_lack_of_memory_is_one_kind_of_error_whoever_says_so(error: Exception | None, is_lack: bool) -> None:
    assert isinstance(lack_of_memory(error), InsufficientMemoryError) is is_lack
