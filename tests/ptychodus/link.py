"""Stands at the end of the pipe to the host, for work of the child that is done in this process."""

from __future__ import annotations

from typing import Any

from ptychopinn_backend.seam.child_process import ParentLink


class Link(ParentLink):
    """Gives a payload, and keeps what is sent."""

    def __init__(self, payload: Any) -> None:
        self._payload = payload
        self.messages: list[Any] = []

    def take(self) -> Any:
        """Return the payload."""
        return self._payload

    def put(self, message: Any) -> None:
        """Keep a message."""
        self.messages.append(message)
