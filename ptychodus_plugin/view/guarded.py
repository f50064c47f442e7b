"""PyQt5 ends the whole program where a slot raises: what goes wrong in one of ours is logged instead."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

logger = logging.getLogger("ptychopinn_backend.ptychodus")

P = ParamSpec("P")


def guarded(slot: Callable[P, None]) -> Callable[P, None]:
    """Return a slot that never raises.

    Args:
        slot: called by Qt, with exactly the arguments of its signal.

    Returns:
        The same, which logs what it raises.
    """

    @wraps(slot)
    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            slot(*args, **kwargs)
        except Exception:
            logger.exception("The window could not show what PtychoPINN tells; the task itself is not concerned.")

    return call
