"""Which way the axes of a scan run against those of its patterns: eight ways, told apart by the patterns themselves.

Positions may be given with x and y exchanged, and with either axis turned round. Only the right way lets patterns that
overlap agree on one object, so a part of the scan is brought from vacuum to its counts by a few data-consistency steps
in each of the eight ways, and how well the counts are then explained is compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Final

import numpy as np

from ptychopinn_backend.arrays import Complex64Array, Float32Array, Float64Array, IntArray
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.physics.data_consistency import FarFieldFit
from ptychopinn_backend.physics.likelihood import Likelihood
from ptychopinn_backend.physics.object_patches import extract_patches
from ptychopinn_backend.stitching.assembly import ObjectFrame
from ptychopinn_backend.stitching.polish import polish_path

PATTERNS: Final = 100
"""Patterns that are looked at, close together."""
STEPS: Final = 12
LARGEST_SIDE: Final = 64
"""Of larger patterns fewer are looked at, so that the search takes as long."""
FEWEST_OF_LARGE: Final = 36
LEAST_GAIN: Final = 0.01
"""The best way explains the counts better than the next by this part of the R-factor at least ..."""
LEAST_SIGNIFICANCE: Final = 6.0
"""... and by so many standard errors, over the patterns."""
FEWEST: Final = 9
"""Patterns it takes."""


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways."""

    swap_xy: bool
    """Columns of the positions are rows."""
    negate_x: bool
    """Columns, after that, are mirrored."""
    negate_y: bool
    """Rows, after that, are mirrored."""

    @property
    def options(self) -> str:
        """Options that state it: '--swap-xy --negate-x', or '' for the positions as they are."""
        named = {"--swap-xy": self.swap_xy, "--negate-x": self.negate_x, "--negate-y": self.negate_y}
        return " ".join(name for name, is_set in named.items() if is_set)

    def __str__(self) -> str:
        """Return its options, or 'as given'."""
        return self.options or "as given"

    def of(self, positions_xy: Float64Array) -> Float64Array:
        """Return positions that way.

        Args:
            positions_xy: (pattern, 2), axis 1 = (x, y).

        Returns:
            (pattern, 2).
        """
        turned = positions_xy[:, ::-1] if self.swap_xy else positions_xy
        return np.asarray(turned * np.where([self.negate_x, self.negate_y], -1.0, 1.0))

    def after(self, first: Orientation) -> Orientation:
        """Return the one orientation that does what `first` and then this one do."""
        square = np.array([[1.0, 2.0], [3.0, 5.0]])
        both = self.of(first.of(square))
        return next(way for way in ORIENTATIONS if np.array_equal(way.of(square), both))


ORIENTATIONS: Final = tuple(Orientation(*flags) for flags in product((False, True), repeat=3))
"""All eight."""
AS_GIVEN: Final = ORIENTATIONS[0]


@dataclass(frozen=True)
class OrientationSearch:
    """What was found."""

    by_pattern: dict[Orientation, Float64Array]
    """Orientation -> R-factor of every pattern (pattern,) after the steps, the best first."""

    @property
    def r_factors(self) -> dict[Orientation, float]:
        """Orientation -> mean R-factor, the best first."""
        return {way: float(values.mean()) for way, values in self.by_pattern.items()}

    @property
    def n_patterns(self) -> int:
        """Patterns that were looked at."""
        return len(self.by_pattern[self.best])

    @property
    def best(self) -> Orientation:
        """The way that explains the counts best."""
        return next(iter(self.by_pattern))

    @property
    def margin(self) -> float:
        """By what part of its R-factor the next way is worse than the best."""
        first, second = list(self.r_factors.values())[:2]
        return (second - first) / second if second > 0 else 0.0

    @property
    def significance(self) -> float:
        """Mean difference of the R-factors of the two best over its standard error."""
        first, second = list(self.by_pattern.values())[:2]
        worse = second - first
        error = float(worse.std()) / np.sqrt(len(worse))
        return float(worse.mean()) / error if error > 0 else 0.0

    @property
    def is_clear(self) -> bool:
        """Whether the best is told from the others."""
        return self.margin >= LEAST_GAIN and self.significance >= LEAST_SIGNIFICANCE


def search_orientation(raw: RawData, n_patterns: int | None = None, steps: int = STEPS) -> OrientationSearch:
    """Try all eight orientations of the positions.

    Args:
        raw: a scan with a probe.
        n_patterns: patterns to look at, those nearest to the middle of the largest object; None takes 100, and fewer
            of large ones.
        steps: data-consistency steps from vacuum.

    Returns:
        How well each explains the counts.

    Raises:
        DataError: the scan has no probe, too few patterns, or all of them at one place.
    """
    if raw.probeGuess is None:
        raise DataError("The scan has no probe, without which orientations cannot be compared. Add probeGuess.")
    if n_patterns is None:
        n_patterns = max(FEWEST_OF_LARGE, round(PATTERNS * min(1.0, (LARGEST_SIDE / raw.N) ** 2)))
    points = _close_together(raw, n_patterns)
    positions, amplitudes = raw.positions_xy[points], raw.diff3d[points]
    if len(points) < FEWEST or not np.ptp(positions, axis=0).max() > 0:
        raise DataError(
            f"The scan has {len(points)} patterns at {len(np.unique(positions, axis=0))} places; orientations are told "
            f"apart by {FEWEST} or more that overlap. Give a larger scan."
        )
    light = float(np.square(amplitudes, dtype=np.float64).sum(axis=(1, 2)).mean())
    probe = raw.probeGuess * np.float32(np.sqrt(light / np.square(np.abs(raw.probeGuess), dtype=np.float64).sum()))
    valid = None if raw.bad_pixels is None else ~raw.bad_pixels
    found = {way: _r_factors(way.of(positions), probe, amplitudes, valid, steps) for way in ORIENTATIONS}
    # Of two that are alike the one that changes less comes first.
    ordered = sorted(found, key=lambda way: (float(found[way].mean()), len(way.options)))
    return OrientationSearch({way: found[way] for way in ordered})


def _close_together(raw: RawData, count: int) -> IntArray:
    numbers, sizes = np.unique(raw.scan_index, return_counts=True)
    members = np.flatnonzero(raw.scan_index == numbers[int(sizes.argmax())])
    distance = np.hypot(*(raw.positions_xy[members] - np.median(raw.positions_xy[members], axis=0)).T)
    return np.sort(members[np.argsort(distance, kind="stable")[:count]])


def _r_factors(
    positions_xy: Float64Array,
    probe: Complex64Array,
    amplitudes: Float32Array,
    valid: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] | None,
    steps: int,
) -> Float64Array:
    N = probe.shape[-1]
    frame = ObjectFrame.covering(positions_xy, N)
    vacuum = np.ones(frame.shape, np.complex64)
    path = polish_path(vacuum, frame, probe, positions_xy, amplitudes, valid)
    obj = next(islice(path, steps, None))
    fit = FarFieldFit(len(probe), N, Likelihood(), valid)
    good = np.ones((N, N), np.float32) if valid is None else valid.astype(np.float32)
    found = np.empty(len(positions_xy), np.float64)
    for start in range(0, len(positions_xy), fit.batch_size):
        some = slice(start, start + fit.batch_size)
        patches = extract_patches(obj, frame.origin_rc, positions_xy[some], N)
        difference = np.abs(amplitudes[some] - np.sqrt(fit.intensity(patches, probe))) * good
        light = np.maximum((amplitudes[some] * good).sum(axis=(1, 2)), np.finfo(np.float32).tiny)
        found[some] = difference.sum(axis=(1, 2)) / light
    return found


def table_of(search: OrientationSearch) -> list[str]:
    """Return the search as lines of text, the best orientation first."""
    names: Sequence[str] = [str(way) for way in search.r_factors]
    width = max(len(name) for name in names)
    return [f"{name:<{width}}  R {value:.3f}" for name, value in zip(names, search.r_factors.values(), strict=True)]
