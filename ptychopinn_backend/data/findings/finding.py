"""What was found out about a scan: what it is, how sure and how bad, and what to do. One form for every kind."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from ptychopinn_backend.arrays import BoolArray, IntArray
from ptychopinn_backend.errors import ScanWarning

Severity = Literal["note", "warning", "error"]
"""A note may be of use; a warning changes results or was mended; with an error the scan cannot be used as it is."""
_SHOWN: Final = 8


@dataclass(frozen=True, eq=False)
class Finding:
    """One thing found out about a scan."""

    name: str
    """Kind of finding in a word or two joined by hyphens, for example 'hot-pixels'."""
    part: str
    """What it concerns: detector, patterns, positions, orientation, probe, object, metadata."""
    severity: Severity
    """How bad it is."""
    evidence: str
    """What was seen, with numbers, and what was done about it; whole sentences."""
    remedy: str
    """What to do; a whole sentence."""
    points: IntArray | None = None
    """Scan points concerned, counted as in the file, or None."""
    pixels: BoolArray | None = None
    """Detector pixels concerned (N, N), or None."""

    def __str__(self) -> str:
        """Return evidence and remedy on one line."""
        return f"{self.evidence} {self.remedy}"


def warn_of(findings: Iterable[Finding], where: object | None = None) -> None:
    """Warn of what was found, notes apart.

    Args:
        findings: what was found.
        where: the file, named first; None for arrays.
    """
    for finding in findings:
        if finding.severity != "note":
            text = str(finding) if where is None else f"{where}: {finding}"
            warnings.warn(text, ScanWarning, stacklevel=3)


def numbered(what: str, numbers: IntArray) -> str:
    """Return a thing with its numbers, singular or plural, cut where there are many.

    Args:
        what: in the singular, for example 'pattern'.
        numbers: at least one.

    Returns:
        For example 'pattern 3', 'patterns 0, 1 and 50', '120 patterns (0, 1, 2, ...)'.
    """
    words = [str(number) for number in numbers[:_SHOWN].tolist()]
    if len(numbers) == 1:
        return f"{what} {words[0]}"
    if len(numbers) > _SHOWN:
        return f"{len(numbers)} {what}s ({', '.join(words)}, ...)"
    return f"{what}s {', '.join(words[:-1])} and {words[-1]}"
