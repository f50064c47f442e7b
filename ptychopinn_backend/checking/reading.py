"""Reading of a scan in the same way as every command, but faults that would stop a command are found and left out."""

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
from ptychopinn_backend.data.dataset.scan_files import is_stored, read_one_scan
from ptychopinn_backend.data.dataset.sources import DESCRIPTION_NAME, MEMORY_PART
from ptychopinn_backend.data.findings.finding import Finding
from ptychopinn_backend.data.measurement import to_amplitudes
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.readers.array_source import InMemory, read_whole
from ptychopinn_backend.data.readers.door import open_scan
from ptychopinn_backend.data.readers.parts import OpenedScan
from ptychopinn_backend.data.scan_arrays import examine_scan
from ptychopinn_backend.data.scan_checks import decisions
from ptychopinn_backend.errors import DataError, sentence_of
from ptychopinn_backend.files.npz import machine_memory_bytes

_COPIES: Final = 4
"""Number of times that the amplitudes of a scan are held while it is examined and mended."""
_FEWEST: Final = 100
"""Least number of patterns that are examined, whatever their size."""
_NO_OBJECT: Final = "unusable-object"


@dataclass(frozen=True, eq=False)
class AsRead:
    """A scan, and the result of reading it."""

    findings: tuple[Finding, ...]
    """Findings while reading."""
    subject: Subject | None = None
    """The scan; None if it cannot be read at all."""
    changes: tuple[str, ...] = ()
    """Parts that were left out so that the scan could be read, one sentence each."""
    files: tuple[Path, ...] = ()
    """Files of the scan."""
    format_name: str = ""
    """Name of the format."""
    patterns: AnyArray = field(default_factory=lambda: np.zeros((0, 1, 1)))
    """Patterns as in the file (pattern, N, N)."""
    measurement: str = ""
    """Content of the patterns: 'counts', 'amplitudes' or 'normalised'."""
    good_of_file: BoolArray | None = None
    """Mask of the pixels that the file marks as good (N, N); None if it marks none."""
    share: float = 1.0
    """Part of the patterns that was read; it is below 1 if all patterns need too much memory."""

    def amplitudes_of_file(self, points: IntArray, good: BoolArray | None) -> Float32Array:
        """Return patterns without any mend as amplitudes (point, N, N); impossible values are 0.

        Args:
            points: numbers of the patterns in the file (point,).
            good: mask of the pixels that the file marks as good (N, N), or None.

        Returns:
            Amplitudes (point, N, N), 0 at the other pixels.
        """
        with np.errstate(invalid="ignore"):
            chosen = self.patterns[points]
            chosen = np.where(np.isfinite(chosen) & (chosen >= 0), chosen, 0)
        return to_amplitudes(chosen, self.measurement, good)


def read_to_check(path: Path, reading: Reading, memory_bytes: float | None = None) -> AsRead:
    """Read a scan even if something is wrong with it.

    Args:
        path: scan of any format.
        reading: what the user states about the files.
        memory_bytes: memory for the scan; None takes a part of the machine's memory.

    Returns:
        The usable part of the scan, and all findings.
    """
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            opened = _of_dataset(path, reading) if is_stored(path) else open_scan(path, reading)
            found = _read(opened, reading, memory_bytes or MEMORY_PART * machine_memory_bytes())
    except (DataError, OSError, MemoryError) as error:
        return AsRead((_refusal(error),))
    # The examination has its own findings with their severity. All other warnings are taken as they are.
    said = {str(item) for item in found.findings}
    others = [str(item.message) for item in caught if str(item.message) not in said]
    told = [Finding("reading", "patterns", "warning", *_evidence_and_remedy(text)) for text in dict.fromkeys(others)]
    notes = [Finding("reading", "metadata", "note", _sentence(text), "") for text in opened.notes]
    return replace(found, findings=(*notes, *told, *found.findings))


def _of_dataset(path: Path, reading: Reading) -> OpenedScan:
    """Open the scan of a data set, whose patterns were examined and mended when it was made."""
    raw = read_one_scan(path, reading)
    members = raw.members()
    patterns, labels = members.pop("diffraction"), members.pop("Y", None)
    return OpenedScan(
        path,
        (path / DESCRIPTION_NAME if path.is_dir() else path,),
        "data set",
        members,
        raw.described(),
        InMemory(patterns),
        None if labels is None else InMemory(labels),
    )


def _read(opened: OpenedScan, reading: Reading, memory_bytes: float) -> AsRead:
    facts = usable_facts(opened, _most_patterns(opened, memory_bytes))
    # If the last axis counts the patterns, only all of them can be read.
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
        (
            *changes,
            *(
                item.evidence
                for item in own
                if item.points is not None or item.pixels is not None or item.name == _NO_OBJECT
            ),
        ),
        opened.files,
        opened.format_name,
        by_pattern,
        measurement,
        None if bad is None else ~np.asarray(bad, np.bool_),
        facts.count / n_paired,
    )


def _most_patterns(opened: OpenedScan, memory_bytes: float) -> int:
    """Return how many patterns can be examined with this amount of memory."""
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
