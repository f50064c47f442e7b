"""TensorFlow, imported quietly: its start-up messages say nothing a user of this package can act on."""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@contextmanager
def _silent_start() -> Iterator[None]:
    """Keep back what the library writes past its own log level before its log is set up; an error shows it."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as said:
        before = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            yield
        except BaseException:
            said.seek(0)
            os.write(before, said.read())
            raise
        finally:
            os.dup2(before, 2)
            os.close(before)


with warnings.catch_warnings(), _silent_start():
    # TensorFlow's own import uses names that NumPy and the standard library have deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    warnings.simplefilter("ignore", FutureWarning)
    import tensorflow as tf

__all__ = ["tf"]
