"""Search for the orientation of a scan's positions, judged by its patterns.

Positions may be given with x and y exchanged, and with either axis negated. These are eight orientations. Overlapping
patterns agree on one object only in the right one. The search takes a part of the scan and starts from vacuum in each
orientation. After a few data-consistency steps, it compares how well the counts are explained.

If the rows of the scan run at an angle to the axes, the search also tries each orientation with the angle on the other
side, since the sign of a scan's rotation is often wrong.
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
"""Number of patterns that are looked at; they lie close together."""
STEPS: Final = 12
LARGEST_SIDE: Final = 64
"""Largest pattern side in pixels for the full number of patterns; of larger patterns the search takes fewer."""
FEWEST_OF_LARGE: Final = 36
"""Least number of large patterns that are looked at."""
LEAST_GAIN: Final = 0.01
"""Least part of the R-factor by which the best orientation must be better than the next one."""
LEAST_SIGNIFICANCE: Final = 6.0
"""Least difference of the R-factors of the two best orientations, in standard errors over the patterns."""
FEWEST: Final = 9
"""Least number of patterns for a search."""
SMALLEST_ANGLE_DEG: Final = 1.0
"""Rows of a scan that run at a smaller angle to the axes count as straight."""
_ROWS: Final = 0.9
"""Least agreement of a scan's steps on one direction for a scan with rows; 1 is full agreement."""


@dataclass(frozen=True)
class Orientation:
    """One of the eight orientations, with a rotation before it."""

    swap_xy: bool
    """True if x and y are exchanged."""
    negate_x: bool
    """True if x is negated after that."""
    negate_y: bool
    """True if y is negated after that."""
    rotate_deg: float = 0.0
    """Angle by which the positions are turned first, from x towards y, degrees."""

    @property
    def options(self) -> str:
        """Command-line options for the orientation: '--swap-xy --negate-x', or '' for the positions as they are."""
        named = {"--swap-xy": self.swap_xy, "--negate-x": self.negate_x, "--negate-y": self.negate_y}
        turned = [f"--rotate {self.rotate_deg:.4g}"] if self.rotate_deg else []
        return " ".join([*turned, *(name for name, is_set in named.items() if is_set)])

    def __str__(self) -> str:
        """Return the command-line options, or 'as given'."""
        return self.options or "as given"

    def of(self, positions_xy: Float64Array) -> Float64Array:
        """Return positions in this orientation.

        Args:
            positions_xy: given positions (pattern, 2), axis 1 = (x, y).

        Returns:
            Positions (pattern, 2), in the same unit.
        """
        turned = positions_xy @ _rotation(self.rotate_deg) if self.rotate_deg else positions_xy
        turned = turned[:, ::-1] if self.swap_xy else turned
        return np.asarray(turned * np.where([self.negate_x, self.negate_y], -1.0, 1.0))

    def after(self, first: Orientation) -> Orientation:
        """Return the orientation that has the same effect as `first` followed by this one."""
        square = np.array([[1.0, 2.0], [3.0, 5.0]])
        both = replace(self, rotate_deg=0.0).of(replace(first, rotate_deg=0.0).of(square))
        way = next(way for way in ORIENTATIONS if np.array_equal(way.of(square), both))
        # A mirror reverses the sense of the rotations after it.
        sense = -1.0 if first.swap_xy ^ first.negate_x ^ first.negate_y else 1.0
        return replace(way, rotate_deg=first.rotate_deg + sense * self.rotate_deg)


ORIENTATIONS: Final = tuple(Orientation(*flags) for flags in product((False, True), repeat=3))
"""All eight orientations without rotation."""
AS_GIVEN: Final = ORIENTATIONS[0]


@dataclass(frozen=True)
class OrientationSearch:
    """Result of a search over orientations."""

    by_pattern: dict[Orientation, Float64Array]
    """R-factor of every pattern (pattern,) after the steps, by orientation, the best first."""

    @property
    def r_factors(self) -> dict[Orientation, float]:
        """Mean R-factor by orientation, the best first."""
        return {way: float(values.mean()) for way, values in self.by_pattern.items()}

    @property
    def n_patterns(self) -> int:
        """Number of patterns that were looked at."""
        return len(self.by_pattern[self.best])

    @property
    def best(self) -> Orientation:
        """Orientation that explains the counts best."""
        return next(iter(self.by_pattern))

    @property
    def margin(self) -> float:
        """Part by which the R-factor of the best orientation is below that of the next one."""
        first, second = list(self.r_factors.values())[:2]
        return (second - first) / second if second > 0 else 0.0

    @property
    def significance(self) -> float:
        """Mean difference between the R-factors of the two best orientations, divided by its standard error."""
        first, second = list(self.by_pattern.values())[:2]
        worse = second - first
        error = float(worse.std()) / np.sqrt(len(worse))
        return float(worse.mean()) / error if error > 0 else 0.0

    @property
    def is_clear(self) -> bool:
        """Whether the best orientation is clearly better than the others."""
        return self.margin >= LEAST_GAIN and self.significance >= LEAST_SIGNIFICANCE


def scan_angle_deg(positions_xy: Float64Array) -> float:
    """Return the angle between the rows of a scan and the axes, from the steps between successive points.

    Args:
        positions_xy: positions (pattern, 2), in the order of measurement.

    Returns:
        Degrees from x towards y, above -45 and up to 45. A scan without rows, for example a spiral, has 0.
    """
    steps = np.diff(positions_xy, axis=0) @ np.array([1, 1j])
    lengths = np.abs(steps)
    usual = lengths > 0
    if usual.sum() < FEWEST:
        return 0.0
    # Long steps lead from one row to the next and have other directions.
    usual &= lengths <= 2 * np.median(lengths[usual])
    # The fourth power is the same for directions that differ by a quarter turn.
    turned = np.mean((steps[usual] / lengths[usual]) ** 4)
    return float(np.angle(turned, deg=True) / 4) if np.abs(turned) >= _ROWS else 0.0


def candidates(raw: RawData) -> tuple[Orientation, ...]:
    """Return the possible orientations of a scan's positions: eight, or sixteen if its rows are turned."""
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
    """Try orientations of the positions of a scan.

    Args:
        raw: a scan with a probe.
        n_patterns: number of patterns to look at, those nearest to the middle of the largest object; None takes 100,
            and fewer if the patterns are large.
        steps: number of data-consistency steps from vacuum.
        ways: two or more orientations to try; None takes `candidates`.

    Returns:
        The R-factors of each orientation, the best first.

    Raises:
        DataError: the scan has no probe, too few patterns, or all patterns at one place.
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
    # If two orientations are equally good, the one with fewer changes comes first.
    ordered = sorted(found, key=lambda way: (float(found[way].mean()), len(way.options)))
    return OrientationSearch({way: found[way] for way in ordered})


def points_to_try(raw: RawData, count: int | None = None) -> IntArray:
    """Return the scan points of the search, which lie close together.

    Args:
        raw: the scan.
        count: number of points; None takes 100, and fewer if the patterns are large.

    Returns:
        Rows of the points (point,) in ascending order, all of the largest object.
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
    """Return the R-factors of patterns after a few data-consistency steps from vacuum.

    Args:
        positions_xy: positions (pattern, 2), object pixels.
        probe: probe (mode, N, N) of any scale; it is scaled to the light of the patterns.
        amplitudes: square roots of the counts (pattern, N, N).
        valid: detector pixels to use (N, N); None uses all.
        steps: number of steps.

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
