"""The examination of a whole scan: positions first, then its patterns in one pass, then all of it together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptychopinn_backend.arrays import BoolArray, Float64Array, IntArray
from ptychopinn_backend.data.findings.examination import Examiner
from ptychopinn_backend.data.findings.finding import Finding
from ptychopinn_backend.data.findings.orientation import points_to_follow, swapped_axes, swapped_nominal
from ptychopinn_backend.data.findings.positions import far_points, position_scale, wide_scan
from ptychopinn_backend.data.findings.probe import are_photons, lost_phase, probe_scale
from ptychopinn_backend.data.findings.repair import PatternRepair, Pieces
from ptychopinn_backend.data.findings.survey import PatternSurvey
from ptychopinn_backend.data.findings.values import impossible_values
from ptychopinn_backend.errors import DataError


@dataclass(frozen=True, eq=False)
class Verdict:
    """What an examination came to."""

    repair: PatternRepair
    """What is done about the patterns."""
    kept: IntArray
    """Scan points that stay (point,), as counted in the file."""
    bad_pixels: BoolArray | None
    """(N, N), those of the file included, True = bad; None when all are good."""
    findings: tuple[Finding, ...]
    """All that was found."""


class ScanExaminer:
    """Examines a scan whose patterns pass by once; only where something is wrong are they asked for again."""

    def __init__(self, facts: Mapping[str, Any], n_patterns: int, N: int) -> None:
        """Examine what is known without the patterns.

        Args:
            facts: fields of `RawData`, from `check_scan_facts`.
            n_patterns: scan points.
            N: pattern side in pixels.
        """
        self._facts, self._n_patterns = facts, n_patterns
        self._positions = np.stack([facts["xcoords"], facts["ycoords"]], axis=1)
        bad = facts["bad_pixels"]
        self.good: BoolArray = np.ones((N, N), np.bool_) if bad is None else ~bad
        """Pixels the file does not mark as bad (N, N)."""
        self._far, far = far_points(self._positions, facts["scan_index"], N)
        near = np.delete(np.arange(n_patterns), self._far)
        # All of a large scan are near, and need no copies.
        positions, index = (
            values[near] if len(self._far) else values for values in (self._positions, facts["scan_index"])
        )
        scale = position_scale(positions, index, N, facts.get("probeGuess"))
        found = [far, wide_scan(positions, index, N) if scale is None else scale]
        if facts.get("xcoords_start") is not None:
            nominal = np.stack([facts["xcoords_start"], facts["ycoords_start"]], axis=1)
            found.append(swapped_nominal(positions, nominal[near]))
        self._findings = [finding for finding in found if finding is not None]
        followed = near[points_to_follow(positions, index)]
        self.survey = PatternSurvey(n_patterns, N, None if bad is None else self.good, followed)
        """Must look at all patterns, in order, before anything is asked."""

    def impossible_values(self, name: str, pieces: Pieces) -> PatternRepair:
        """Decide what is done about values that are no measurement.

        Args:
            name: of the patterns in messages.
            pieces: the patterns in the unit of the file.

        Returns:
            The repair.

        Raises:
            DataError: so many values are impossible that the patterns as a whole are something else.
        """
        repair, findings = impossible_values(name, self.survey, pieces, self.good)
        self._findings += findings
        return repair

    def verdict(self, values: PatternRepair, pieces: Pieces, *, are_amplitudes: bool, are_counted: bool) -> Verdict:
        """Examine the rest.

        Args:
            values: from `impossible_values`.
            pieces: the patterns in the unit of the file.
            are_amplitudes: the patterns are amplitudes, else counts.
            are_counted: their unit is a photon.

        Returns:
            What is to be done, and all that was found.

        Raises:
            DataError: no pattern, or no pixel, is left.
        """
        probe, power = self._facts["probeGuess"], 2 if are_amplitudes else 1
        examined = Examiner(self.survey, pieces, self.good, power, probe, self._positions).examine(values)
        repair = examined.repair.without(self._far)
        findings = [*self._findings, *examined.findings]
        good = self.good & ~repair.bad_pixels
        self._require_rest(repair, good)
        followed, moments = self._followed(repair, pieces)
        findings += _there(swapped_axes(self._positions[followed], moments[:, power - 1]))
        if probe is not None:
            findings += _there(lost_phase(probe, examined.sample, good))
            is_counted = are_counted or are_photons(examined.sample)
            findings += _there(probe_scale(probe, examined.sample) if is_counted else None)
        return Verdict(repair, repair.kept(self._n_patterns), None if good.all() else ~good, tuple(findings))

    def _followed(self, repair: PatternRepair, pieces: Pieces) -> tuple[IntArray, Float64Array]:
        """Return followed patterns that stay (pattern,), and their moments (pattern, power, term) once mended."""
        stays = ~np.isin(self.survey.followed, repair.left_out)
        followed = self.survey.followed[stays]
        if not (repair.bad_pixels.any() or len(repair.replaced)):
            return followed, self.survey.moments[stays]
        kept = repair.kept(self._n_patterns)
        good = self.good & ~repair.bad_pixels
        again = PatternSurvey(len(kept), len(good), good, np.searchsorted(kept, followed))
        first = 0
        for piece in repair.applied(pieces()):
            again.look(piece, first)
            first += len(piece)
        return followed, again.moments

    def _require_rest(self, repair: PatternRepair, good: BoolArray) -> None:
        if len(repair.left_out) == self._n_patterns:
            raise DataError(
                f"None of the {self._n_patterns} patterns can be used: {'; '.join(map(str, self._findings))} "
                "Check the patterns."
            )
        if not good.any():
            raise DataError("Every pixel is bad, by the file's own mask or by its values. Check the patterns.")


def _there(finding: Finding | None) -> list[Finding]:
    return [] if finding is None else [finding]
