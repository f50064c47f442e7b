"""A simulated scan, and the faults that detectors, files and people put into one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.data.simulation import SimulationConfig
from ptychopinn_backend.data.simulation.simulate import SimulatedScan, simulate

N = 32
POINTS = 100


@cache
def simulated() -> SimulatedScan:
    """Return 100 patterns of 32 x 32 pixels, none of more than 2**16 counts."""
    return simulate(SimulationConfig(size=N, patterns=POINTS, photons=3e5), 1)


def members(**changes: Any) -> dict[str, Any]:
    """Return the arrays of a scan file of counts.

    Args:
        **changes: name -> array; None leaves one out.

    Returns:
        Name -> array.
    """
    scan = simulated()
    arrays = {
        "diffraction": scan.counts,
        "xcoords": scan.positions_xy[:, 0],
        "ycoords": scan.positions_xy[:, 1],
        "probeGuess": scan.probe,
        "objectGuess": scan.object,
    }
    return {name: values for name, values in {**arrays, **changes}.items() if values is not None}


@dataclass(frozen=True)
class Fault:
    """Something wrong with patterns."""

    name: str
    """For the test."""
    dtype: str
    """Type of the numbers it is planted in."""
    plant: Callable[[AnyArray], None]
    """Changes (pattern, N, N) in place."""
    bad: Callable[[AnyArray], None] = lambda mask: None
    """Sets the pixels (N, N) that must be marked."""
    left_out: tuple[int, ...] = ()
    """Patterns that must be left out."""
    words: tuple[str, ...] = ()
    """Patterns of the messages, one each."""

    def patterns(self) -> AnyArray:
        """Return the counts with the fault, (pattern, N, N)."""
        counts = simulated().counts.astype(self.dtype)
        self.plant(counts)
        return counts

    def bad_pixels(self) -> AnyArray:
        """Return the pixels that must be marked (N, N)."""
        mask = np.zeros((N, N), bool)
        self.bad(mask)
        return mask


def put(value: float, *place: Any) -> Callable[[AnyArray], None]:
    """Return a change that puts a value at a place of (pattern, row, column)."""

    def plant(patterns: AnyArray) -> None:
        patterns[place] = value

    return plant


def mark(*place: Any) -> Callable[[AnyArray], None]:
    """Return a change that marks a place of (row, column)."""

    def set_true(mask: AnyArray) -> None:
        mask[place] = True

    return set_true


def times(factor: int, pattern: int | slice) -> Callable[[AnyArray], None]:
    """Return a change that makes one or several patterns brighter."""

    def plant(patterns: AnyArray) -> None:
        patterns[pattern] *= factor

    return plant


def noisy(mean: float, *place: Any) -> Callable[[AnyArray], None]:
    """Return a change that puts counts around a mean at a pixel in all patterns."""

    def plant(patterns: AnyArray) -> None:
        patterns[(slice(None), *place)] = np.random.default_rng(0).poisson(mean, len(patterns))

    return plant


def noise(mean: float, *place: Any) -> Callable[[AnyArray], None]:
    """Return a change that puts counts around a mean at a place of (pattern, row, column)."""

    def plant(patterns: AnyArray) -> None:
        patterns[place] = np.random.default_rng(0).poisson(mean, patterns[place].shape)

    return plant


def divided_gap(patterns: AnyArray) -> None:
    """Put a fill value that was divided by the beam current of every pattern."""
    patterns[:, 14:17] = (2**32 - 1) / np.random.default_rng(0).uniform(0.8, 1.2, (len(patterns), 1, 1))


def shut(patterns: AnyArray) -> None:
    """Take nearly all light of a pattern away."""
    patterns[12] = patterns[12] // 1000


def several(*plants: Callable[[AnyArray], None]) -> Callable[[AnyArray], None]:
    """Return a change that makes several."""

    def plant(patterns: AnyArray) -> None:
        for each in plants:
            each(patterns)

    return plant


EVERY = slice(None)
ROWS = slice(14, 16)
THICK = slice(14, 17)
CORNER = (slice(5), slice(5))
BESIDE = (slice(20, 24), slice(6, 10))
OUT_OF_PROPORTION = "64 detector pixels .rows 14 to 15, columns 0 to 31. hold values out of all proportion"
IMPOSSIBLE = "hold NaN, infinity or negative numbers; they are taken as bad"
GAPS = tuple(
    Fault(f"{value} in {dtype}", dtype, put(value, EVERY, ROWS), mark(ROWS), words=(OUT_OF_PROPORTION,))
    for dtype, value in (
        ("u2", 2**16 - 1),
        ("u4", 2**32 - 1),
        ("u8", 2**64 - 1),
        ("i4", 2**31 - 1),
        ("i8", 2**32 - 1),
        ("f4", 2**32 - 1),
        ("f8", 2**32 - 1),
        ("f8", 2**16 - 1),
    )
) + tuple(
    Fault(f"{value} in {dtype}", dtype, put(value, EVERY, ROWS), mark(ROWS), words=(IMPOSSIBLE,))
    for dtype, value in (("i4", -1), ("i8", -2), ("f4", -1), ("f4", np.nan), ("f8", np.inf))
)
FAULTS = (
    *GAPS,
    Fault("NaN in one pixel", "f4", put(np.nan, 3, 4, 5), mark(4, 5), words=("1 detector pixel .row 4, column 5",)),
    Fault("-1 in a whole pattern", "i4", put(-1, 3), left_out=(3,), words=("Pattern 3 holds NaN",)),
    Fault("one hot value", "u4", put(4e9, 37, 3, 5), mark(3, 5), words=("1 detector pixel .row 3, column 5",)),
    Fault("one hot value in the light", "f8", put(4e9, 37, 16, 16), mark(16, 16), words=("1 detector pixel",)),
    Fault("a pixel that is always hot", "u4", put(60000, EVERY, 3, 5), mark(3, 5), words=("1 detector pixel",)),
    Fault("a pixel stuck at some number", "u4", put(2000, EVERY, 3, 5), mark(3, 5), words=("1 detector pixel",)),
    Fault("a pixel that is hot and noisy", "u4", noisy(60000, 3, 5), mark(3, 5), words=("1 detector pixel",)),
    Fault("a column from the middle of the scan on", "u4", put(2**16 - 1, slice(50, None), EVERY, 20), mark(EVERY, 20)),
    Fault("a bright pattern", "u8", times(10000, 37), left_out=(37,), words=("Pattern 37 is at least 1.05e.04 times",)),
    Fault("a pattern five times as bright", "u8", times(5, 37), left_out=(37,), words=("Pattern 37 is at least",)),
    Fault(
        "patterns of 2**32 - 1", "u4", put(2**32 - 1, [3, 4, 50]), left_out=(3, 4, 50), words=("Patterns 3, 4 and 50",)
    ),
    Fault(
        "patterns without a photon",
        "u4",
        put(0, [0, 1, 50, 70, 99]),
        left_out=(0, 1, 50, 70, 99),
        words=("Patterns 0, 1, 50, 70 and 99 are without a photon; they are left out",),
    ),
    Fault("more than half without a photon", "u4", put(0, slice(60)), left_out=tuple(range(60))),
    Fault("a thick gap that counts", "u4", noise(1e5, EVERY, THICK), mark(THICK), words=("96 detector pixels",)),
    Fault("a gap divided by the beam current", "f4", divided_gap, mark(THICK), words=("96 detector pixels",)),
    Fault("columns that count", "u4", noise(1e5, EVERY, EVERY, slice(4, 9)), mark(EVERY, slice(4, 9))),
    Fault("half a gap that counts", "u4", noise(1e5, EVERY, THICK, slice(12)), mark(THICK, slice(12))),
    Fault("a corner that counts", "u4", noise(1e5, EVERY, *CORNER), mark(*CORNER), words=("25 detector pixels",)),
    Fault("a corner as bright as the light", "u4", noise(5e3, EVERY, *CORNER), mark(*CORNER)),
    Fault("a corner that counts at times", "u4", noise(1e5, slice(60, 100), *CORNER), mark(*CORNER)),
    Fault("a place that counts", "u4", noise(1e5, EVERY, *BESIDE), mark(*BESIDE)),
    Fault("a pattern behind the shutter", "u4", shut, left_out=(12,), words=("Pattern 12 is almost without light",)),
    Fault(
        "the attenuator was out",
        "u8",
        times(10000, slice(25)),
        left_out=tuple(range(25)),
        words=("25 patterns .0, 1, 2.* are at least .* times as bright as the others; they are left out",),
    ),
    Fault(
        "patterns of every brightness",
        "u8",
        several(*(times(3**k, 10 * k) for k in range(2, 9))),
        left_out=tuple(range(20, 90, 10)),
        words=("Patterns 20, 30, 40, 50, 60, 70 and 80 are at least",),
    ),
    Fault(
        "half of a pattern was never written",
        "u4",
        put(0, slice(5, 8), slice(16)),
        left_out=(5, 6, 7),
        words=("Patterns 5, 6 and 7 are 0 in a whole block where the others have light; they are left out",),
    ),
    Fault("a quarter was never written", "u4", put(0, [7, 50], slice(16, 32), slice(16)), left_out=(7, 50)),
    Fault(
        "a third of the scan is half written",
        "u4",
        put(0, slice(60, 90), EVERY, slice(16)),
        left_out=tuple(range(60, 90)),
    ),
    Fault(
        "several at once",
        "u4",
        several(put(2**32 - 1, EVERY, ROWS), times(100, 37), put(2**30, 60, 3, 3), put(0, 7)),
        several(mark(ROWS), mark(3, 3)),
        left_out=(7, 37),
        words=("65 detector pixels", "Pattern 37 is at least", "Pattern 7 is without a photon"),
    ),
)
