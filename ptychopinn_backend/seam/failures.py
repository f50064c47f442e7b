"""Failures of the machine, which every framework reports in words of its own, as errors that say what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ptychopinn_backend.errors import PtychoPINNError

Explanation = Callable[[Exception], PtychoPINNError | None]
"""Returns the error that explains what a framework raised; None where it is an error of the program like any other."""


@contextmanager
def explained_failures(explain: Explanation) -> Iterator[None]:
    """Turn failures of the machine into errors that say what to do; usable as a decorator too.

    Args:
        explain: the framework's own test of an error.

    Yields:
        Nothing.

    Raises:
        PtychoPINNError: what `explain` made of an error, with this as its cause.
    """
    try:
        yield
    except Exception as error:
        explained = explain(error)
        if explained is None:
            raise
        raise explained from error
