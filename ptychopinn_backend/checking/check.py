"""The whole examination of a scan: read, looked at from all sides in turn, mended on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from ptychopinn_backend.checking import beam, counts, detector, frames, places
from ptychopinn_backend.checking.planning import Planned, planned
from ptychopinn_backend.checking.reading import AsRead, read_to_check
from ptychopinn_backend.checking.subject import NOTHING, Outcome, Subject, note
from ptychopinn_backend.checking.turning import orientation
from ptychopinn_backend.config.reading import Reading
from ptychopinn_backend.data.findings.finding import Finding
from ptychopinn_backend.runs.orientation import OrientationSearch, points_to_try, r_from_vacuum

ODD: Final = 1
UNUSABLE: Final = 2
_ORDER: Final = ("error", "warning", "note")
_MOVING: Final = ("corner", "off-centre")
"""Findings after which pixels are no longer those of the file."""
_FEW_SATURATED: Final = 0.02
"""Part of the pixels that are marked for saturation; more are the pattern itself."""

STEPS: Final[tuple[Callable[[Subject], Outcome], ...]] = (
    detector.corner,
    detector.off_centre,
    detector.unlit,
    counts.gain,
    counts.dispersion,
    frames.repeated_patterns,
    places.duplicates,
    places.collinear,
    places.thin_overlap,
    places.jumps,
    beam.size_and_modes,
    beam.wrapped,
    beam.pixel_size,
)
"""In this order: each sees the scan as those before mended it."""


class MaskEffect(NamedTuple):
    """What the proposed mask does to patterns that lie close together."""

    r_before: float
    """R-factor after a few data-consistency steps from vacuum, with the mask of the file ..."""
    r_after: float
    """... and with the one that is proposed."""
    hidden: float
    """Part of the pixels that it hides."""


@dataclass(frozen=True, eq=False)
class ScanCheck:
    """What is known of a scan."""

    path: Path
    """As it was named."""
    as_read: AsRead
    """What reading it came to."""
    findings: tuple[Finding, ...]
    """All that was found, the worst first."""
    mended: Subject | None = None
    """The scan as --mend writes it; None where it cannot be read."""
    changes: tuple[str, ...] = ()
    """What is different in it, a sentence each."""
    search: OrientationSearch | None = None
    """All ways the positions may run, where they were compared."""
    mask: MaskEffect | None = None
    """What the proposed mask does, where one is proposed."""
    plan: Planned | None = None
    """What a training will need."""

    @property
    def exit_code(self) -> int:
        """0: nothing is odd; 1: there are warnings; 2: the scan cannot be used as it is."""
        found = {item.severity for item in self.findings}
        return UNUSABLE if "error" in found else ODD if "warning" in found else 0


def check_scan_file(
    path: Path, reading: Reading, *, with_orientation: bool = True, memory_bytes: float | None = None
) -> ScanCheck:
    """Look at a scan; nothing is written.

    Args:
        path: scan of any format.
        reading: what the user states.
        with_orientation: try the ways positions may run, which takes seconds.
        memory_bytes: that it may take; of a scan that needs more the first patterns are looked at. None is a part of
            the machine's.

    Returns:
        All that was found.
    """
    read = read_to_check(path, reading, memory_bytes)
    if read.subject is None:
        return ScanCheck(path, read, _sorted(read.findings))
    findings, changes, subject = [_facts(read.subject), *read.findings], [*read.changes], read.subject

    def take(outcome: Outcome) -> None:
        nonlocal subject
        findings.extend(outcome.findings)
        if outcome.mended is not None:
            subject = outcome.mended
            changes.append(outcome.change)

    take(_marked(subject, read.findings))
    for step in STEPS:
        take(step(subject))
    search = None
    if with_orientation:
        outcome, search = orientation(subject, reading)
        take(outcome)
    # An object is laid under positions that run as it does.
    take(places.beyond_object(subject))
    is_moved = any(item.name in _MOVING for item in findings)
    mask = None if is_moved else _effect_of_mask(read, subject)
    if mask is not None:
        findings.append(_described(mask))
    plan = planned(subject, read.share)
    findings += [note(name, "plan", words) for name, words in plan.lines.items()]
    return ScanCheck(path, read, _sorted(findings), subject, tuple(changes), search, mask, plan)


def _facts(subject: Subject) -> Finding:
    raw = subject.raw
    kind = "counts" if raw.measured_as_counts else "amplitudes"
    bad = 0 if raw.bad_pixels is None else int(raw.bad_pixels.sum())
    width, height = np.ptp(raw.positions_xy, axis=0)
    objects = len(np.unique(raw.scan_index))
    evidence = (
        f"{raw.n_patterns} patterns of {raw.N} x {raw.N} pixels, read as {kind}; {bad} bad pixels; positions span "
        f"{width:.1f} x {height:.1f} px; {objects} object{'s' if objects > 1 else ''}."
    )
    return note("scan", "patterns", evidence)


def _effect_of_mask(read: AsRead, subject: Subject) -> MaskEffect | None:
    """Compare the mask of the file with the one proposed, before, on the patterns as they are in the file."""
    first = read.subject
    if first is None or subject.raw.probeGuess is None:
        return None
    given = np.ones_like(first.good) if read.good_of_file is None else read.good_of_file
    points = points_to_try(subject.raw)
    if not (given & ~subject.good).any() or len(points) < 2:
        return None
    positions, probe = subject.raw.positions_xy[points], subject.raw.probeGuess
    before = read.amplitudes_of_file(subject.rows[points], given)
    r_before = float(r_from_vacuum(positions, probe, before, given).mean())
    r_after = float(r_from_vacuum(positions, probe, subject.raw.diff3d[points], subject.good).mean())
    return MaskEffect(r_before, r_after, float((given & ~subject.good).mean()))


def _marked(subject: Subject, findings: Sequence[Finding]) -> Outcome:
    """Mark pixels that saturate, where they are few."""
    pixels = [item.pixels for item in findings if item.name == "saturation" and item.pixels is not None]
    few = [found for found in pixels if found.sum() <= _FEW_SATURATED * found.size]
    if not few:
        return NOTHING
    count = int(few[0].sum())
    return Outcome((), subject.with_bad(few[0]), f"{count} pixels that saturate now and then were marked as bad.")


def _described(mask: MaskEffect) -> Finding:
    evidence = (
        f"The proposed mask hides {mask.hidden:.2%} of the pixels more than the file does; a few data-consistency "
        f"steps from vacuum then explain the counts to R {mask.r_after:.3f} instead of {mask.r_before:.3f}."
    )
    return note("mask", "detector", evidence)


def _sorted(findings: list[Finding] | tuple[Finding, ...]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda item: _ORDER.index(item.severity)))
