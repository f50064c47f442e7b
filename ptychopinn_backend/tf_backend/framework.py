"""TensorFlow, imported quietly: its start-up messages say nothing a user of this package can act on."""

from __future__ import annotations

import os
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

with warnings.catch_warnings():
    # TensorFlow's own import uses names that NumPy and the standard library have deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    warnings.simplefilter("ignore", FutureWarning)
    import tensorflow as tf

__all__ = ["tf"]
