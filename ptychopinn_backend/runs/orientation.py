"""Which way the axes of a scan run against those of its patterns: eight ways, told apart by the patterns themselves.

Positions may be given with x and y exchanged, and with either axis turned round. Only the right way lets patterns that
overlap agree on one object, so a part of the scan is brought from vacuum to its counts by a few data-consistency steps
in each of the eight ways, and how well the counts are then explained is compared. Where the rows of the scan run at an
angle to the axes, each of the eight is tried with that angle on the other side too: the sign of a scan's rotation is
often taken the wrong way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from typing import Final

import numpy as np

from ptychopinn_backend.arrays import BoolArray, Complex64Array, Float32Array, Float64Array, IntArray
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
SMALLEST_ANGLE_DEG: Final = 1.0
"""Rows of a scan that run at a smaller angle to the axes are taken for straight."""
_ROWS: Final = 0.9
"""How much the steps of a scan must agree on a direction, 1 for rows, to have one."""


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways."""

    swap_xy: bool
    """Columns of the positions are rows."""
    negate_x: bool
    """Columns, after that, are mirrored."""
    negate_y: bool
    """Rows, after that, are mirrored."""
    rotate_deg: float = 0.0
    """Positions are turned by this angle first, from x towards y."""

    @property
    def options(self) -> str:
        """Options that state it: '--swap-xy --negate-x', or '' for the positions as they are."""
        named = {"--swap-xy": self.swap_xy, "--negate-x": self.negate_x, "--negate-y": self.negate_y}
        turned = [f"--rotate {self.rotate_deg:.4g}"] if self.rotate_deg else []
        return " ".join([*turned, *(name for name, is_set in named.items() if is_set)])

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
        turned = positions_xy @ _rotation(self.rotate_deg) if self.rotate_deg else positions_xy
        turned = turned[:, ::-1] if self.swap_xy else turned
        return np.asarray(turned * np.where([self.negate_x, self.negate_y], -1.0, 1.0))

    def after(self, first: Orientation) -> Orientation:
        """Return the one orientation that does what `first` and then this one do."""
        square = np.array([[1.0, 2.0], [3.0, 5.0]])
        both = replace(self, rotate_deg=0.0).of(replace(first, rotate_deg=0.0).of(square))
        way = next(way for way in ORIENTATIONS if np.array_equal(way.of(square), both))
        # A mirror turns the sense of what is done after it.
        sense = -1.0 if first.swap_xy ^ first.negate_x ^ first.negate_y else 1.0
        return replace(way, rotate_deg=first.rotate_deg + sense * self.rotate_deg)


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


def scan_angle_deg(positions_xy: Float64Array) -> float:
    """Return the angle at which the rows of a scan run to the axes, from the steps between successive points.

    Args:
        positions_xy: (pattern, 2), in the order they were measured.

    Returns:
        Degrees from x towards y, above -45 and up to 45; 0 for a scan without rows, a spiral for example.
    """
    steps = np.diff(positions_xy, axis=0) @ np.array([1, 1j])
    lengths = np.abs(steps)
    usual = lengths > 0
    if usual.sum() < FEWEST:
        return 0.0
    # Long steps, from one row to the next, have other directions.
    usual &= lengths <= 2 * np.median(lengths[usual])
    # Fourth powers are the same for directions a quarter turn apart.
    turned = np.mean((steps[usual] / lengths[usual]) ** 4)
    return float(np.angle(turned, deg=True) / 4) if np.abs(turned) >= _ROWS else 0.0


def candidates(raw: RawData) -> tuple[Orientation, ...]:
    """Return the ways in which the positions of a scan may be meant: eight, or sixteen where its rows are turned."""
    angle = scan_angle_deg(raw.positions_xy)
    if abs(angle) < SMALLEST_ANGLE_DEG:
        return ORIENTATIONS
    return (*ORIENTATIONS, *(replace(way, rotate_deg=-2 * angle) for way in ORIENTATIONS))


def search_orientation(
    raw: RawData,
    n_patterns: int | None = None,
    steps: int = STEPS,
    ways: Sequence[Orientation] | None = None,
) -> OrientationSearch:
    """Try all orientations of the positions.

    Args:
        raw: a scan with a probe.
        n_patterns: patterns to look at, those nearest to the middle of the largest object; None takes 100, and fewer
            of large ones.
        steps: data-consistency steps from vacuum.
        ways: what is tried, two or more; None takes `candidates`.

    Returns:
        How well each explains the counts.

    Raises:
        DataError: the scan has no probe, too few patterns, or all of them at one place.
    """
    if raw.probeGuess is None:
        raise DataError("The scan has no probe, without which orientations cannot be compared. Add probeGuess.")
    points = points_to_try(raw, n_patterns)
    positions, amplitudes = raw.positions_xy[points], raw.diff3d[points]
    if len(points) < FEWEST or not np.ptp(positions, axis=0).max() > 0:
        raise DataError(
            f"The scan has {len(points)} patterns at {len(np.unique(positions, axis=0))} places; orientations are told "
            f"apart by {FEWEST} or more that overlap. Give a larger scan."
        )
    valid = None if raw.bad_pixels is None else ~raw.bad_pixels
    found = {
        way: r_from_vacuum(way.of(positions), raw.probeGuess, amplitudes, valid, steps)
        for way in ways or candidates(raw)
    }
    # Of two that are alike the one that changes less comes first.
    ordered = sorted(found, key=lambda way: (float(found[way].mean()), len(way.options)))
    return OrientationSearch({way: found[way] for way in ordered})


def points_to_try(raw: RawData, count: int | None = None) -> IntArray:
    """Return the scan points that are looked at, close together.

    Args:
        raw: the scan.
        count: how many; None takes 100, and fewer of large patterns.

    Returns:
        (point,) in rising order, of the largest object.
    """
    if count is None:
        count = max(FEWEST_OF_LARGE, round(PATTERNS * min(1.0, (LARGEST_SIDE / raw.N) ** 2)))
    numbers, sizes = np.unique(raw.scan_index, return_counts=True)
    members = np.flatnonzero(raw.scan_index == numbers[int(sizes.argmax())])
    distance = np.hypot(*(raw.positions_xy[members] - np.median(raw.positions_xy[members], axis=0)).T)
    return np.sort(members[np.argsort(distance, kind="stable")[:count]])


def r_from_vacuum(
    positions_xy: Float64Array,
    probe: Complex64Array,
    amplitudes: Float32Array,
    valid: BoolArray | None,
    steps: int = STEPS,
) -> Float64Array:
    """Return how well patterns are explained after a few data-consistency steps from vacuum.

    Args:
        positions_xy: (pattern, 2), object pixels.
        probe: (mode, N, N), of any scale: it is brought to the light of the patterns.
        amplitudes: (pattern, N, N).
        valid: pixels to use (N, N), or None for all.
        steps: how many.

    Returns:
        R-factor of every pattern (pattern,).
    """
    light = float(np.square(amplitudes, dtype=np.float64).sum(axis=(1, 2)).mean())
    probe = probe * np.float32(np.sqrt(light / np.square(np.abs(probe), dtype=np.float64).sum()))
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


def _rotation(angle_deg: float) -> Float64Array:
    """Return the matrix that turns rows of (x, y) from x towards y."""
    cosine, sine = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    return np.array([[cosine, sine], [-sine, cosine]])
