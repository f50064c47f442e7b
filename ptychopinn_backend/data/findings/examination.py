"""The examination of a scan's patterns: what is wrong with their values, and what is done about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from ptychopinn_backend.arrays import AnyArray, BoolArray, Complex64Array, Float64Array, IntArray
from ptychopinn_backend.config.scan_traits import light_width_px
from ptychopinn_backend.data.findings.blocks import hot_blocks
from ptychopinn_backend.data.findings.brightness import (
    FEWEST_PHOTONS,
    ODD_SHARE,
    dark_patterns,
    described_patterns,
    odd_patterns,
    saturation,
    totals_of,
)
from ptychopinn_backend.data.findings.finding import Finding
from ptychopinn_backend.data.findings.levels import (
    BRIGHTER,
    Levels,
    UsualBrightness,
    brighter_than_neighbours,
    brightness_levels,
    neighbours,
)
from ptychopinn_backend.data.findings.lines import hot_lines
from ptychopinn_backend.data.findings.outliers import (
    OUT_OF_RANGE,
    Proportion,
    limit_values,
    out_of_proportion,
    stuck_pixels,
)
from ptychopinn_backend.data.findings.repair import REPEATED, REPEATED_SHARE, PatternRepair, Pieces, locate
from ptychopinn_backend.data.findings.survey import PatternSurvey
from ptychopinn_backend.data.findings.unwritten import surprise, unwritten_patterns
from ptychopinn_backend.data.findings.values import are_impossible, described_repair
from ptychopinn_backend.data.scaling import IN_CACHE_ELEMENTS

_BRIGHT: Final = 2.5
"""A pattern whose peak is this many times as high as usual may be too bright as a whole."""
_FAINT: Final = 20.0
"""A pattern whose peak is this many times lower than usual may be too dark."""
_MOST_DARK: Final = (32, 256)
"""Number of patterns that are looked at for blocks without light, in a large scan and in a small one."""
_DARK_SHARE: Final = 10**6
"""This number divided by the patterns of the scan gives the number in between, for scans of medium size."""
_DARK_ELEMENTS: Final = 2**22
"""Largest number of values in all patterns that are looked at for blocks without light."""
_UNKNOWN_WIDTH: Final = 0.25
"""Width of a probe that is not given, as a part of a pattern's side. Most probes are wider."""


@dataclass(frozen=True, eq=False)
class Examined:
    """The result of an examination."""

    repair: PatternRepair
    """What is changed or left out."""
    findings: tuple[Finding, ...]
    """What was found, and what is done about it."""
    sample: Float64Array
    """Counts of some patterns (pattern, N, N), without the wrong values."""


@dataclass(frozen=True, eq=False)
class Examiner:
    """Looks for values out of all proportion. It must be known whether the patterns are counts or amplitudes."""

    survey: PatternSurvey
    """Survey of the patterns."""
    pieces: Pieces
    """The patterns in the unit of the file. They are read only if something seems to be wrong."""
    good: BoolArray
    """Mask (N, N), True for the pixels that the file marks as good."""
    power: int
    """2 if the patterns are amplitudes, else 1."""
    probe: Complex64Array | None
    """Modes of the probe (mode, N, N), or None."""
    positions_xy: Float64Array
    """Positions of the patterns (pattern, 2), axis 1 = (x, y), object pixels."""

    def examine(self, values: PatternRepair) -> Examined:
        """Examine the patterns.

        Args:
            values: the repair of impossible values, which is decided already.

        Returns:
            The repair with everything that is added to it, and all findings.
        """
        good = self.good & ~values.bad_pixels
        chosen = ~np.isin(self.survey.sample_points, values.left_out)
        raw = self.survey.sample[chosen]
        sample = _Sample(self.survey.sample_points[chosen], raw, _counts(raw, good, self.power))
        if not sample.counts.any():
            return Examined(values, (), sample.counts)
        brightness = UsualBrightness.of(sample.counts, _photon(sample.counts))
        alike = brightness.alike(sample.counts)
        usual = Proportion.of(sample.counts[alike], self.probe, good, _photon(sample.counts[alike]))
        hot, marked, usual = self._hot_in_sample(sample, alike, good, usual)
        lines = hot_lines(np.where(hot, 0, sample.counts).sum(axis=0), good & ~marked, usual.unit)
        marked = marked | lines
        good = good & ~marked
        usual_total = float(np.median(totals_of(np.where(hot | marked, 0, sample.counts))))
        asked = np.isin(np.arange(len(self.survey.highest)), values.left_out, invert=True)
        asked &= self._are_out_of_the_ordinary(usual) | marked.any()
        looked = self._looked_at(asked, good, usual, usual_total, brightness)
        cleaned = sample._replace(counts=np.where(hot | marked, 0, sample.counts))
        odd = self._odd_patterns(values.left_out, good, cleaned, looked, usual)
        left_out = np.union1d(values.left_out, odd.points)
        pixels, largest = self._hot_pixels(odd.not_alike(left_out), good, usual, seen=bool(hot.any()))
        largest = max(largest, float(sample.counts[hot].max(initial=0.0)))
        bad = pixels.bad_pixels | marked
        shown = PatternRepair(bad & ~lines, left_out[:0], pixels.replaced)
        standing = PatternRepair(lines, left_out[:0], pixels.replaced[:0])
        findings = described_repair(shown, "hot-pixels", _out_of_proportion(largest, usual))
        findings += described_repair(standing, "hot-lines", "more than their neighbours along a whole row or column")
        findings += self._described(odd, pixels.left_out, self.good & ~values.bad_pixels & ~bad)
        repair = values.joined(shown).joined(standing).without(left_out).without(pixels.left_out)
        looked.highest[repair.left_out] = 0
        kept = ~np.isin(sample.points, repair.left_out)
        is_good = self.good & ~repair.bad_pixels
        saturated = saturation(sample.raw[kept], looked.highest, is_good, self.power, usual.unit)
        findings += [] if saturated is None else [saturated]
        return Examined(repair, tuple(findings), np.where(hot | ~is_good, 0, sample.counts)[kept])

    def _hot_in_sample(
        self, sample: _Sample, alike: BoolArray, good: BoolArray, usual: Proportion
    ) -> tuple[BoolArray, BoolArray, Proportion]:
        """Return the hot values of the sample, the pixels that are hot often, and the proportion with its peak.

        Only the patterns of the usual brightness (`alike`) decide, because in the others one photon is another number.
        """
        counts, raw = sample.counts[alike], sample.raw[alike]
        stuck = stuck_pixels(counts, good, usual)
        hot = np.broadcast_to(stuck, counts.shape) | limit_values(counts, raw, good)
        blocks = hot_blocks(np.where(hot, 0, counts), self.probe, good & ~stuck, usual.unit)
        hot = hot | blocks
        usual = usual.with_peak(counts, hot)
        hot = hot | out_of_proportion(np.where(hot, 0, counts), good, usual)
        if hot.any():
            usual = usual.with_peak(counts, hot)
            hot |= out_of_proportion(np.where(hot, 0, counts), good, usual)
        often = max(REPEATED, int(REPEATED_SHARE * len(counts)))
        # In a short scan chance decides; there the places are counted like all others.
        marked = np.asarray(hot.sum(axis=0) >= often) if len(counts) >= often else stuck | blocks
        everywhere = np.broadcast_to(marked, sample.counts.shape).copy()
        everywhere[alike] = hot
        return everywhere, marked, usual

    def _are_out_of_the_ordinary(self, usual: Proportion) -> BoolArray:
        """Return True for every pattern whose peak may be wrong (pattern,)."""
        peaks = self._peaks()
        return np.asarray((peaks > _BRIGHT * usual.peak) | ((peaks < usual.peak / _FAINT) & (peaks > 0)))

    def _looked_at(
        self,
        asked: BoolArray,
        good: BoolArray,
        usual: Proportion,
        usual_total: float,
        brightness: UsualBrightness,
    ) -> _LookedAt:
        """Look at the patterns that `asked` marks (pattern,), one by one."""
        peaks = self._peaks()
        highest, totals = self.survey.highest.copy(), np.full(len(peaks), np.nan)
        for rows, patterns in self._patterns(asked):
            counts = _counts(patterns, good, self.power)
            # A peak a few times as high in a pattern that as a whole is no brighter tells nothing.
            is_odd = (totals_of(counts) > _BRIGHT * usual_total) | (peaks[rows] > OUT_OF_RANGE * usual.peak)
            chosen = np.flatnonzero((is_odd | (peaks[rows] < usual.peak)) & ~brightness.brighter(counts))
            if len(chosen):
                odd = counts[chosen]
                odd[out_of_proportion(odd, good, usual)] = 0
                counts[chosen] = odd
            highest[rows] = counts.max(axis=(1, 2)) ** (1 / self.power)
            totals[rows] = totals_of(counts)
        return _LookedAt(highest, totals)

    def _odd_patterns(
        self, left_out: IntArray, good: BoolArray, sample: _Sample, looked: _LookedAt, usual: Proportion
    ) -> _OddPatterns:
        """Return the patterns that are left out because of their brightness, or because a block was never written."""
        is_empty = looked.highest == 0
        is_empty[left_out] = False
        totals = looked.totals.copy()
        totals[sample.points] = totals_of(sample.counts)
        totals[is_empty] = np.nan
        lit = sample.points[~is_empty[sample.points]]
        usual_total = float(np.median(totals[lit])) if len(lit) else 0.0
        known = np.flatnonzero(np.isfinite(totals))
        empty = dark_patterns(totals[known], np.flatnonzero(is_empty), len(totals), usual.unit)
        bright, dark = odd_patterns(totals[known], known, usual_total, len(totals), usual.unit)
        # The sample has all levels; of the others some totals are not known yet.
        levels = brightness_levels(totals[sample.points], usual_total, usual.unit)
        if levels is not None:
            levels = brightness_levels(self._with_all(totals, good, is_empty), usual_total, usual.unit)
        if levels is not None and levels.main is not None:
            bright, dark = (np.union1d(*pair) for pair in zip((bright, dark), levels.beside_main(), strict=True))
            usual_total, levels = levels.totals[levels.main], None
        out = np.concatenate([left_out, bright, dark, empty])
        if levels is None and usual_total >= FEWEST_PHOTONS * usual.unit:
            bright = np.union1d(bright, self._bright_alone(totals, out, good, usual_total))
        unwritten = self._unwritten(np.union1d(out, bright), sample, good, usual.unit)
        return _OddPatterns(bright, dark, empty, unwritten, levels, max(usual_total, usual.unit))

    def _with_all(self, totals: Float64Array, good: BoolArray, is_empty: BoolArray) -> Float64Array:
        """Return the total counts of all patterns with light (pattern,). Totals that are NaN are computed."""
        totals = totals.copy()
        for rows, patterns in self._patterns(np.isnan(totals) & ~is_empty):
            totals[rows] = totals_of(_counts(patterns, good, self.power))
        return totals

    def _bright_alone(self, totals: Float64Array, left_out: IntArray, good: BoolArray, usual_total: float) -> IntArray:
        """Return the patterns that are far brighter than their neighbours; unknown totals (pattern,) are NaN."""
        is_out = np.isin(np.arange(len(totals)), left_out)
        points = np.flatnonzero((totals >= BRIGHTER * usual_total) & ~is_out)
        if not 0 < len(points) <= ODD_SHARE * len(totals):
            return points[:0]
        side = len(self.good)
        width = (
            _UNKNOWN_WIDTH * side
            if self.probe is None
            else light_width_px(np.sum(np.abs(self.probe) ** 2, axis=0, dtype=np.float64))
        )
        near = neighbours(self.positions_xy, points, width)
        asked = np.isnan(totals) & np.isin(np.arange(len(totals)), np.concatenate(near))
        totals = np.where(is_out, np.nan, totals)
        for rows, patterns in self._patterns(asked & ~is_out):
            totals[rows] = totals_of(_counts(patterns, good, self.power))
        return brighter_than_neighbours(totals, points, near, usual_total)

    def _unwritten(self, left_out: IntArray, sample: _Sample, good: BoolArray, unit: float) -> IntArray:
        """Return the numbers of patterns that are 0 in a block in which those of the sample have light."""
        odd = surprise(self.survey.lit)
        odd[left_out] = 0
        usual = sample.counts[~np.isin(sample.points, left_out)]
        if not len(usual):
            return left_out[:0]
        fewest, most = _MOST_DARK
        count = max(fewest, min(most, _DARK_SHARE // len(odd)))
        count = min(count, max(1, _DARK_ELEMENTS // good.size))
        asked = np.isin(np.arange(len(odd)), np.argsort(odd)[-count:]) & (odd > 0)
        found = self._unwritten_among(asked, usual, good, unit)
        if len(found):
            # Where there are some there may be many.
            asked = ~asked & (odd >= odd[found].min())
            found = np.union1d(found, self._unwritten_among(asked, usual, good, unit))
        return found

    def _unwritten_among(self, asked: BoolArray, usual: Float64Array, good: BoolArray, unit: float) -> IntArray:
        found: list[IntArray] = [np.zeros(0, np.int64)]
        for rows, patterns in self._patterns(asked):
            found.append(rows[unwritten_patterns(_counts(patterns, good, self.power), usual, unit)])
        return np.concatenate(found)

    def _hot_pixels(
        self, not_looked_at: IntArray, good: BoolArray, usual: Proportion, *, seen: bool
    ) -> tuple[PatternRepair, float]:
        """Return the repair of the hot values of the whole scan, and the largest hot value in counts."""
        concerned = self._peaks() > OUT_OF_RANGE * usual.peak
        concerned[self.survey.sample_points] |= seen
        concerned[not_looked_at] = False
        largest = 0.0

        def wrong(patterns: AnyArray) -> BoolArray:
            nonlocal largest
            counts = _counts(patterns, good, self.power)
            found = out_of_proportion(counts, good, usual) | limit_values(counts, patterns, good)
            largest = max(largest, float(counts[found].max(initial=0.0)))
            return found

        return locate(self.pieces, concerned, wrong, ~good), largest

    def _described(self, odd: _OddPatterns, hot: IntArray, good: BoolArray) -> list[Finding]:
        """Return the findings of patterns left out. Patterns in `hot` are bright because they hold many hot values."""
        bright = np.union1d(odd.bright, hot)
        concerned = np.isin(np.arange(len(self.survey.highest)), bright)
        totals = [totals_of(_counts(patterns, good, self.power)) for _, patterns in self._patterns(concerned)]
        factor = min((float(part.min()) for part in totals), default=np.inf) / odd.usual_total
        found = described_patterns(bright, odd.dark, odd.empty, odd.unwritten, factor)
        return found if odd.levels is None else [*found, odd.levels.described()]

    def _peaks(self) -> Float64Array:
        highest = self.survey.highest
        return np.where(np.isfinite(highest), highest, np.inf) ** self.power

    def _patterns(self, concerned: BoolArray) -> Iterator[tuple[IntArray, AnyArray]]:
        """Yield the numbers of the patterns concerned, and these patterns; several pieces may come together."""
        numbers = np.flatnonzero(concerned)
        waiting: list[AnyArray] = []
        first = count = 0
        for piece in self.pieces() if len(numbers) else ():
            start, stop = (int(i) for i in np.searchsorted(numbers, (first, first + len(piece))))
            if start < stop:
                waiting.append(piece[numbers[start:stop] - first])
                count += stop - start
            first += len(piece)
            if waiting and (count * self.good.size >= IN_CACHE_ELEMENTS or stop == len(numbers)):
                yield numbers[stop - count : stop], np.concatenate(waiting)
                waiting, count = [], 0
            if stop == len(numbers):
                return


class _Sample(NamedTuple):
    """Some patterns of the scan."""

    points: IntArray
    """Numbers of these patterns in the scan (pattern,)."""
    raw: AnyArray
    """Values of these patterns in the unit of the file (pattern, N, N)."""
    counts: Float64Array
    """Counts of these patterns (pattern, N, N)."""


class _LookedAt(NamedTuple):
    highest: Float64Array
    """Largest value of every pattern (pattern,), in the unit of the file, without values out of proportion."""
    totals: Float64Array
    """Total counts of the patterns looked at (pattern,), NaN for the others."""


class _OddPatterns(NamedTuple):
    bright: IntArray
    dark: IntArray
    empty: IntArray
    unwritten: IntArray
    levels: Levels | None
    """Levels of brightness if there are several and none is left out, else None."""
    usual_total: float
    """Total counts of a usual pattern."""

    @property
    def points(self) -> IntArray:
        return np.concatenate([self.bright, self.dark, self.empty, self.unwritten])

    def not_alike(self, left_out: IntArray) -> IntArray:
        """Return the patterns left out, and those of a brighter level, in which one photon counts as many."""
        return left_out if self.levels is None else np.union1d(left_out, self.levels.above(self.usual_total))


def _counts(patterns: AnyArray, good: BoolArray, power: int) -> Float64Array:
    """Return the counts of patterns (pattern, N, N), 0 at bad pixels and for impossible values."""
    counts = np.where(good & ~are_impossible(patterns), patterns, 0).astype(np.float64)
    return np.square(counts, out=counts) if power == 2 else counts


def _photon(counts: Float64Array) -> float:
    """Return the smallest number of the counts: one photon if photons are counted, less if the counts are scaled."""
    smallest = float(counts[counts > 0].min())
    return min(1.0, smallest) if smallest > 0.5 else smallest


def _out_of_proportion(largest: float, usual: Proportion) -> str:
    return f"values out of all proportion (up to {largest:.10g} counts; the peak of a pattern is {usual.peak:.4g})"
