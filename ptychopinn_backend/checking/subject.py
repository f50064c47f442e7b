"""The scan that is examined, with sums that several examinations share, and the outcome of an examination."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np

from ptychopinn_backend.arrays import BoolArray, Float64Array, IntArray
from ptychopinn_backend.config.scan_traits import ScanTraits, scan_traits
from ptychopinn_backend.data.findings.finding import Finding
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.scaling import count_photons, pattern_slices

_SAMPLED: Final = 64
"""Number of patterns, spread over the scan, that are examined one by one."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A scan in memory; every sum is calculated only once."""

    raw: RawData
    """The scan, as far as earlier examinations have mended it."""
    rows: IntArray
    """Number of every scan point in the file (pattern,)."""

    @cached_property
    def good(self) -> BoolArray:
        """Mask of the good pixels (N, N)."""
        bad = self.raw.bad_pixels
        return np.ones((self.raw.N, self.raw.N), np.bool_) if bad is None else ~bad

    @cached_property
    def traits(self) -> ScanTraits | None:
        """Width of the probe and step of the scan; None without a probe or a second point."""
        # Every examination that sums patterns does so by itself.
        return scan_traits(self.raw, counted=False)

    @cached_property
    def photons(self) -> Float64Array:
        """Photons of every pattern (pattern,)."""
        return count_photons(self.raw.diff3d)

    @cached_property
    def total(self) -> Float64Array:
        """Sum of the counts of all patterns (N, N), 0 at bad pixels."""
        total = np.zeros((self.raw.N, self.raw.N))
        for part in pattern_slices(self.raw.diff3d):
            amplitudes = self.raw.diff3d[part]
            total += np.einsum("pij,pij->ij", amplitudes, amplitudes, dtype=np.float64)
        return total * self.good

    @cached_property
    def mean(self) -> Float64Array:
        """Mean counts of a pattern (N, N), 0 at bad pixels."""
        return self.total / self.raw.n_patterns

    @cached_property
    def sample(self) -> Float64Array:
        """Counts of some patterns (pattern, N, N), 0 at bad pixels."""
        count = min(self.raw.n_patterns, _SAMPLED)
        chosen = np.unique(np.linspace(0, self.raw.n_patterns - 1, count).round().astype(np.int64))
        return np.square(self.raw.diff3d[chosen], dtype=np.float64) * self.good

    @cached_property
    def light_of_probe(self) -> Float64Array | None:
        """Far field of the probe (N, N), scaled to the photons of all patterns together; None without a probe."""
        probe = self.raw.probeGuess
        if probe is None:
            return None
        field = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(probe, (-2, -1))), (-2, -1))
        light = np.sum(np.abs(field) ** 2, axis=0, dtype=np.float64)
        shown = float((light * self.good).sum())
        return np.asarray(light * (self.total.sum() / shown)) if shown > 0 else None

    def with_raw(self, **changes: Any) -> Subject:
        """Return the subject with other arrays in its scan; the number of patterns must stay the same."""
        return Subject(replace(self.raw, **changes), self.rows)

    def with_bad(self, pixels: BoolArray) -> Subject:
        """Return the subject with further pixels marked as bad (N, N); the patterns become 0 there."""
        bad = pixels | ~self.good
        amplitudes = self.raw.diff3d.copy()
        amplitudes[:, pixels] = 0
        return self.with_raw(bad_pixels=bad, diff3d=amplitudes)

    def without(self, chosen: IntArray) -> Subject:
        """Return the subject without some patterns, given by their rows in its scan."""
        kept = np.setdiff1d(np.arange(self.raw.n_patterns), chosen)
        return Subject(self.raw.select(kept), self.rows[kept])


@dataclass(frozen=True, eq=False)
class Outcome:
    """Outcome of an examination."""

    findings: tuple[Finding, ...] = ()
    """Findings of the examination."""
    mended: Subject | None = None
    """The scan as --mend writes it; None if nothing is to be changed."""
    change: str = ""
    """The change in one sentence."""


NOTHING: Final = Outcome()
"""Outcome of an examination that found nothing."""


def note(name: str, part: str, evidence: str, remedy: str = "") -> Finding:
    """Return a finding that only states a fact.

    Args:
        name: kind of the finding.
        part: part of the scan that it concerns.
        evidence: the fact.
        remedy: what the user may do.

    Returns:
        The finding.
    """
    return Finding(name, part, "note", evidence, remedy)
