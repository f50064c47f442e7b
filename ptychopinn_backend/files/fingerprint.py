"""What tells a file from any other: its size and the SHA-256 of its bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

LARGEST_BYTES: Final = 4 * 2**30
"""Files that are larger are told by their size and time alone: reading them again would take minutes."""


@dataclass(frozen=True)
class Fingerprint:
    """Of one file."""

    path: Path
    """Where it lay."""
    size_bytes: int
    """Its length; -1 where it cannot be read."""
    sha256: str | None
    """Of its bytes; None of a file that is large, or cannot be read."""

    @property
    def words(self) -> str:
        """Say it: '1234 bytes, SHA-256 ab12...'."""
        if self.size_bytes < 0:
            return "cannot be read"
        return f"{self.size_bytes} bytes" + (f", SHA-256 {self.sha256}" if self.sha256 else ", too large to be hashed")

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values; with its name alone, since results are passed on and say nothing of their maker."""
        return {"name": self.path.name, "size_bytes": self.size_bytes, "sha256": self.sha256}


def fingerprint(path: Path) -> Fingerprint:
    """Return the fingerprint of a file.

    Args:
        path: the file; one that is gone gives a size of -1.

    Returns:
        Size, and hash where the file is not large.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            return Fingerprint(path, size, None)
        with path.open("rb") as stream:
            return Fingerprint(path, size, hashlib.file_digest(stream, "sha256").hexdigest())
    except OSError:
        return Fingerprint(path, -1, None)
