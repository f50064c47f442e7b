"""Files that run code when they are opened as carelessly as possible."""

from __future__ import annotations

import io
import os
import pickle
from typing import Any

import numpy as np

MARKER = "payload_ran"
"""Folder that running code makes in the current one."""


class Payload:
    """Makes a folder when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (MARKER,)


def _pickled_array() -> bytes:
    image = io.BytesIO()
    np.lib.format.write_array(image, np.array([Payload()], dtype=object), allow_pickle=True)
    return image.getvalue()


PAYLOADS = {"pickle": pickle.dumps(Payload()), "array": _pickled_array()}
"""Kind -> a pickle, or an array file that holds one."""
