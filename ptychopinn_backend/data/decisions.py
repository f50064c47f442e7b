"""What a reader decided where a file leaves it open, told in one line each: the command line shows these."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final

LOGGER: Final = "ptychopinn_backend.scans"
"""Name of the logger; level INFO."""


def tell(sentences: Iterable[str], path: Path | None = None) -> None:
    """Log decisions.

    Args:
        sentences: what was decided and how to state it.
        path: the file, or None where it is known from before.
    """
    for sentence in sentences:
        logging.getLogger(LOGGER).info("%s%s", "" if path is None else f"{path}: ", sentence)
