"""The whole examination of a scan: it is read, examined step by step, and mended on the way."""

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
"""Findings that move the pixels, which are then no longer those of the file."""
_FEW_SATURATED: Final = 0.02
"""Largest part of the pixels that is marked for saturation; if there are more, they are the pattern itself."""

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
"""Steps in their order: each step sees the scan as the earlier steps have mended it."""


class MaskEffect(NamedTuple):
    """Effect of the proposed mask on patterns that lie close together."""

    r_before: float
    """R-factor after a few data-consistency steps from vacuum, with the mask of the file."""
    r_after: float
    """The same R-factor with the proposed mask."""
    hidden: float
    """Part of the pixels that the proposed mask hides in addition to the mask of the file."""


@dataclass(frozen=True, eq=False)
class ScanCheck:
    """Result of the examination of a scan."""

    path: Path
    """Path of the scan as it was given."""
    as_read: AsRead
    """Result of reading the scan."""
    findings: tuple[Finding, ...]
    """All findings, the worst first."""
    mended: Subject | None = None
    """The scan as --mend writes it; None if it cannot be read."""
    changes: tuple[str, ...] = ()
    """Changes in the mended scan, one sentence each."""
    search: OrientationSearch | None = None
    """Comparison of the possible orientations of the positions, if there was one."""
    mask: MaskEffect | None = None
    """Effect of the proposed mask, if a mask is proposed."""
    plan: Planned | None = None
    """Needs of a training."""

    @property
    def exit_code(self) -> int:
        """Exit code: 0 if nothing is odd, 1 if there are warnings, 2 if the scan cannot be used as it is."""
        found = {item.severity for item in self.findings}
        return UNUSABLE if "error" in found else ODD if "warning" in found else 0


def check_scan_file(
    path: Path, reading: Reading, *, with_orientation: bool = True, memory_bytes: float | None = None
) -> ScanCheck:
    """Examine a scan; nothing is written.

    Args:
        path: scan of any format.
        reading: what the user states about the files.
        with_orientation: True tries the possible orientations of the positions, which takes seconds.
        memory_bytes: memory for the examination. If the scan needs more, only its first patterns are examined. None
            takes a part of the machine's memory.

    Returns:
        The result of the examination.
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
    # The object has the orientation of the mended positions, so this step follows the search.
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
    """Compare the mask of the file with the proposed one, the former on the patterns as they are in the file."""
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
    """Mark pixels that saturate, if there are only a few."""
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
