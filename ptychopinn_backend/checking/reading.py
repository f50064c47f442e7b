"""A scan read as every command reads it, but for faults that would stop a command: they are told, and left out."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray, BoolArray, Float32Array, IntArray
from ptychopinn_backend.checking.facts import background, pattern_count, usable_facts
from ptychopinn_backend.checking.subject import Subject
from ptychopinn_backend.config.reading import Reading
from ptychopinn_backend.data.dataset.sources import MEMORY_PART
from ptychopinn_backend.data.findings.finding import Finding
from ptychopinn_backend.data.measurement import to_amplitudes
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.readers.array_source import read_whole
from ptychopinn_backend.data.readers.door import open_scan
from ptychopinn_backend.data.readers.parts import OpenedScan
from ptychopinn_backend.data.scan_arrays import examine_scan
from ptychopinn_backend.data.scan_checks import decisions
from ptychopinn_backend.errors import DataError, sentence_of
from ptychopinn_backend.files.npz import machine_memory_bytes

_COPIES: Final = 4
"""Times the amplitudes of a scan are held while it is looked at and mended."""
_FEWEST: Final = 100
"""Patterns that are looked at however large they are."""


@dataclass(frozen=True, eq=False)
class AsRead:
    """A scan, and what reading it came to."""

    findings: tuple[Finding, ...]
    """What was found on the way."""
    subject: Subject | None = None
    """The scan; None where it cannot be read at all."""
    changes: tuple[str, ...] = ()
    """What was left out to be able to read it, a sentence each."""
    files: tuple[Path, ...] = ()
    """What it was read from."""
    format_name: str = ""
    """What it was read as."""
    patterns: AnyArray = field(default_factory=lambda: np.zeros((0, 1, 1)))
    """As in the file (pattern, N, N)."""
    measurement: str = ""
    """What they are."""
    good_of_file: BoolArray | None = None
    """Pixels that the file marks as good (N, N); None where it marks none."""
    share: float = 1.0
    """Part of the patterns that was read: less than all where they need too much memory."""

    def amplitudes_of_file(self, points: IntArray, good: BoolArray | None) -> Float32Array:
        """Return patterns as they would be without any mend, as amplitudes (point, N, N); impossible values are 0.

        Args:
            points: as counted in the file.
            good: pixels that the file marks as good (N, N), or None.

        Returns:
            0 at the other pixels.
        """
        with np.errstate(invalid="ignore"):
            chosen = self.patterns[points]
            chosen = np.where(np.isfinite(chosen) & (chosen >= 0), chosen, 0)
        return to_amplitudes(chosen, self.measurement, good)


def read_to_check(path: Path, reading: Reading, memory_bytes: float | None = None) -> AsRead:
    """Read a scan, whatever is wrong with it.

    Args:
        path: scan of any format.
        reading: what the user states.
        memory_bytes: that it may take; None is a part of the machine's.

    Returns:
        The scan as far as it can be used, and all that was found.
    """
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            opened = open_scan(path, reading)
            found = _read(opened, reading, memory_bytes or MEMORY_PART * machine_memory_bytes())
    except (DataError, OSError, MemoryError) as error:
        return AsRead((_refusal(error),))
    # What the examination itself found is there with its severity; all others speak for themselves.
    said = {str(item) for item in found.findings}
    others = [str(item.message) for item in caught if str(item.message) not in said]
    told = [Finding("reading", "patterns", "warning", *_evidence_and_remedy(text)) for text in dict.fromkeys(others)]
    notes = [Finding("reading", "metadata", "note", _sentence(text), "") for text in opened.notes]
    return replace(found, findings=(*notes, *told, *found.findings))


def _read(opened: OpenedScan, reading: Reading, memory_bytes: float) -> AsRead:
    facts = usable_facts(opened, _most_patterns(opened, memory_bytes))
    # Where the last axis counts the patterns nothing less than all of them can be read.
    is_cut = facts.count < pattern_count(opened) == opened.patterns.shape[0]
    whole = read_whole(opened.patterns, opened.path, facts.count if is_cut else None)
    metadata = opened.pattern_first()
    bad = facts.members.get("bad_pixels")
    findings, changes = list(facts.findings), list(facts.changes)
    taken = facts.count < pattern_count(opened)
    if taken and not is_cut:
        whole = whole[..., : facts.count]
    n_paired = min(pattern_count(opened), len(np.atleast_1d(opened.members["xcoords"])))
    if facts.count < n_paired:
        findings.append(_part(facts.count, n_paired, memory_bytes))
    if whole.ndim == 3:
        below, whole = background(
            whole, ~np.asarray(bad, np.bool_) if bad is not None and bad.shape == whole.shape[1:] else None
        )
        if below is not None:
            findings.append(below)
            changes.append("Counts below 0 were set to 0.")
    arrays: dict[str, Any] = {**facts.members, "diffraction": whole}
    if opened.labels is not None and not taken:
        arrays["Y"] = read_whole(opened.labels, opened.path)
    try:
        fields, kept, measurement = examine_scan(arrays, reading.measurement, metadata)
    except DataError as error:
        return AsRead((*findings, _refusal(error, opened)), files=opened.files, format_name=opened.format_name)
    raw = RawData(**{**fields, "metadata": dict(opened.metadata)})
    notes = [Finding("reading", "metadata", "note", _sentence(text), "") for text in decisions(arrays, fields)]
    own = opened.findings_in_its_words(raw.findings)
    subject = Subject(replace(raw, findings=()), kept)
    if len(facts.unplaced):
        subject = subject.without(np.flatnonzero(np.isin(kept, facts.unplaced)))
    by_pattern = whole if whole.shape[1:] == raw.diff3d.shape[1:] else np.moveaxis(whole, -1, 0)
    return AsRead(
        (*findings, *notes, *own),
        subject,
        (*changes, *(item.evidence for item in own if item.points is not None or item.pixels is not None)),
        opened.files,
        opened.format_name,
        by_pattern,
        measurement,
        None if bad is None else ~np.asarray(bad, np.bool_),
        facts.count / n_paired,
    )


def _most_patterns(opened: OpenedScan, memory_bytes: float) -> int:
    """Return how many patterns can be looked at with so much memory."""
    values = math.prod(opened.patterns.shape) / max(1, pattern_count(opened))
    itemsize = opened.patterns.dtype.itemsize + _COPIES * np.dtype(np.float32).itemsize
    return max(_FEWEST, int(memory_bytes / (values * itemsize)))


def _part(count: int, n_patterns: int, memory_bytes: float) -> Finding:
    evidence = (
        f"The first {count} of {n_patterns} patterns were looked at: all of them need more than the "
        f"{memory_bytes / 2**30:.3g} GiB of memory that a check takes."
    )
    return Finding("part", "patterns", "note", evidence, "What a training says while it reads the scan concerns all.")


def _refusal(error: Exception, opened: OpenedScan | None = None) -> Finding:
    words = sentence_of(error) if opened is None else opened.in_its_words(sentence_of(error))
    return Finding("unusable", "scan", "error", *_evidence_and_remedy(words))


def _evidence_and_remedy(text: str) -> tuple[str, str]:
    """Split a message at its last sentence, which is the remedy."""
    evidence, stop, remedy = text.rstrip().rpartition(". ")
    return (f"{evidence}.", remedy) if stop else (text, "")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
