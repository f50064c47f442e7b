"""The part of a check that costs next to nothing, for scans that are trained on or reconstructed anyway."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray, IntArray
from ptychopinn_backend.checking import beam, detector, frames, places
from ptychopinn_backend.checking.subject import Outcome, Subject
from ptychopinn_backend.data.counted_scan import CountedScan
from ptychopinn_backend.data.dataset import ScanDataset
from ptychopinn_backend.data.dataset.sources import ScanFile
from ptychopinn_backend.data.dataset.whole_scan import without_patterns
from ptychopinn_backend.data.findings.finding import Finding, warn_of
from ptychopinn_backend.data.raw_data import RawData

_SAMPLED: Final = 128
"""Patterns, spread over the scan, that show the detector."""
_OF_DETECTOR: Final = (detector.corner, detector.off_centre, detector.unlit)
_OF_POSITIONS: Final = (places.collinear, places.thin_overlap, places.jumps)
_OF_PROBE: Final = (beam.wrapped, beam.pixel_size)
_FIELDS: Final = ("xcoords", "ycoords", "scan_index", "probeGuess", "bad_pixels")

Step = Callable[[Subject], Outcome]


def warn_of_faults(scan: object) -> None:
    """Warn of what the cheap steps of a check find, in its words; notes are not told.

    Args:
        scan: a `RawData`, a `CountedScan`, a `ScanFile` or a `ScanDataset`. Of patterns in memory some are looked
            at, of others none.
    """
    if isinstance(scan, CountedScan):
        scan = scan.raw
    if isinstance(scan, RawData):
        warn_of(faults_of(scan), scan.files[0] if scan.files else None)
    elif isinstance(scan, ScanFile):
        none: AnyArray = np.broadcast_to(np.float32(0), (scan.n_patterns, scan.N, scan.N))
        facts = {name: scan.facts[name] for name in _FIELDS}
        warn_of(_of_positions_and_probe(RawData(diff3d=none, metadata=scan.opened.metadata, **facts)), scan.path)
    elif isinstance(scan, ScanDataset):
        for stored in scan.stored:
            warn_of(_of_positions_and_probe(without_patterns(stored)), stored.shown_path)


def faults_of(raw: RawData) -> list[Finding]:
    """Return what the cheap steps of a check find.

    Args:
        raw: a scan in memory.

    Returns:
        Warnings and errors; none for a scan without faults.
    """
    chosen: IntArray = np.unique(np.linspace(0, raw.n_patterns - 1, min(raw.n_patterns, _SAMPLED)).astype(np.int64))
    found = _findings(Subject(raw.select(chosen), chosen), (*_OF_DETECTOR, *_OF_PROBE))
    whole = Subject(raw, np.arange(raw.n_patterns))
    found += _findings(whole, (frames.repeated_middles, places.duplicates, *_OF_POSITIONS))
    if any(item.points is not None for item in raw.findings):
        counted = "Numbers count the patterns that were not left out."
        return [item if item.points is None else replace(item, remedy=f"{item.remedy} {counted}") for item in found]
    return found


def _of_positions_and_probe(raw: RawData) -> list[Finding]:
    return _findings(Subject(raw, np.arange(raw.n_patterns)), (*_OF_POSITIONS, *_OF_PROBE))


def _findings(subject: Subject, steps: Iterable[Step]) -> list[Finding]:
    found: list[Finding] = []
    for step in steps:
        outcome = step(subject)
        found += [item for item in outcome.findings if item.severity != "note"]
        subject = outcome.mended or subject
    return found
