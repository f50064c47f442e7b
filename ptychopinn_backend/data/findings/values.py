"""Values that are no measurement at all: NaN, infinity, and the negative numbers that mark dead pixels."""

from __future__ import annotations

from typing import Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray, BoolArray
from ptychopinn_backend.data.findings.finding import Finding, numbered
from ptychopinn_backend.data.findings.repair import PatternRepair, Pieces, locate
from ptychopinn_backend.data.findings.survey import PatternSurvey
from ptychopinn_backend.errors import DataError

LARGEST: Final = float(np.finfo(np.float32).max)
"""What single precision cannot hold would become infinite later."""
_MOST_MARKED: Final = 0.5
"""Part of the pixels, or of the patterns, that may be wrong."""
_MARKS: Final = 16
"""More different negative values than this are noise around zero and no marks."""


def impossible_values(
    name: str, survey: PatternSurvey, pieces: Pieces, good_pixels: BoolArray
) -> tuple[PatternRepair, list[Finding]]:
    """Find values that are not finite or negative, and decide what is done about them.

    Args:
        name: of the patterns in messages.
        survey: of the patterns.
        pieces: the patterns, in the unit of the file.
        good_pixels: (N, N), False where the file marks a bad pixel.

    Returns:
        The repair, and a finding for what it does.

    Raises:
        DataError: so many values are impossible that the patterns as a whole are something else; names the first.
    """
    nothing = PatternRepair.nothing(len(good_pixels))
    with np.errstate(invalid="ignore"):
        concerned = ~((survey.lowest >= 0) & (survey.highest <= LARGEST))
    if not concerned.any():
        return nothing, []
    repair = locate(pieces, concerned, are_impossible, ~good_pixels)
    too_many = (repair.bad_pixels.sum() > _MOST_MARKED * good_pixels.sum()) or (
        len(repair.left_out) > _MOST_MARKED * len(concerned)
    )
    if too_many or is_noise(pieces, concerned, good_pixels):
        raise _refusal(name, pieces, concerned, good_pixels)
    return repair, described_repair(repair, "impossible-values", "NaN, infinity or negative numbers")


def are_impossible(patterns: AnyArray) -> BoolArray:
    """Return which values are not finite, beyond single precision or negative.

    Args:
        patterns: real numbers of any shape.

    Returns:
        The same shape.
    """
    if patterns.dtype.kind == "u":
        return np.zeros(patterns.shape, np.bool_)
    # Half precision cannot hold the limit, which then is infinity: no value of that type lies above it.
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(~((patterns >= 0) & (patterns <= LARGEST)))


def described_repair(repair: PatternRepair, name: str, what: str) -> list[Finding]:
    """Return what a repair does as findings.

    Args:
        repair: what is done.
        name: kind of finding.
        what: what the values are, after 'hold'.

    Returns:
        One finding for pixels, one for patterns, one for single values; those there are.
    """
    found = []
    remedy = "Mark such pixels in bad_pixels, or repair the file, to decide it yourself."
    count = int(repair.bad_pixels.sum())
    if count:
        pixels = (
            f"{count} detector pixel{'s' if count > 1 else ''} ({place_of(repair.bad_pixels)}) hold{'s' * (count == 1)}"
        )
        done = "it is" if count == 1 else "they are"
        evidence = f"{pixels} {what}; {done} taken as bad."
        found.append(Finding(name, "detector", "warning", evidence, remedy, pixels=repair.bad_pixels))
    if len(repair.left_out):
        one = len(repair.left_out) == 1
        evidence = (
            f"{numbered('pattern', repair.left_out).capitalize()} hold{'s' * one} {what} in many pixels; "
            f"{'it is' if one else 'they are'} left out."
        )
        found.append(Finding(name, "patterns", "warning", evidence, remedy, points=repair.left_out))
    if len(repair.replaced):
        points = np.unique(repair.replaced[:, 0])
        evidence = (
            f"{len(repair.replaced)} single values in {numbered('pattern', points)} are {what}; each is replaced by "
            "the median of the values around it."
        )
        found.append(Finding(name, "patterns", "warning", evidence, remedy, points=points))
    return found


def place_of(pixels: BoolArray) -> str:
    """Return where pixels (N, N) lie, for example 'rows 14 to 15, column 3'."""
    rows, columns = (np.flatnonzero(pixels.any(axis=axis)) for axis in (1, 0))
    return f"{_span('row', rows)}, {_span('column', columns)}"


def _span(name: str, numbers: AnyArray) -> str:
    if len(numbers) == 1:
        return f"{name} {numbers[0]}"
    whole = numbers[-1] - numbers[0] + 1 == len(numbers)
    return (
        f"{name}s {numbers[0]} to {numbers[-1]}"
        if whole
        else f"{len(numbers)} {name}s from {numbers[0]} to {numbers[-1]}"
    )


def is_noise(pieces: Pieces, concerned: BoolArray, good_pixels: BoolArray) -> bool:
    """Return whether negative values are scattered around zero, as a subtracted background leaves them.

    Args:
        pieces: the patterns.
        concerned: in which ones to look (pattern,).
        good_pixels: (N, N), False where the file marks a bad pixel.

    Returns:
        False where they are a few numbers, which then mark something.
    """
    seen: set[float] = set()
    first = 0
    for piece in pieces():
        patterns = piece[concerned[first : first + len(piece)]]
        first += len(piece)
        if piece.dtype.kind != "u" and len(patterns):
            values = patterns[:, good_pixels]
            with np.errstate(invalid="ignore"):
                negative = np.unique(values[(values < 0) & (values >= -LARGEST)])
            seen.update(negative[: _MARKS + 1].tolist())
        if len(seen) > _MARKS:
            return True
    return False


def _refusal(name: str, pieces: Pieces, concerned: BoolArray, good_pixels: BoolArray) -> DataError:
    first = 0
    for piece in pieces():
        wrong = are_impossible(piece) & good_pixels & concerned[first : first + len(piece), np.newaxis, np.newaxis]
        if wrong.any():
            pattern, row, column = (int(i) for i in np.argwhere(wrong)[0])
            value = piece[pattern, row, column]
            with np.errstate(invalid="ignore"):
                is_negative, words = bool(value < 0), str(value)
            rule = "not negative" if is_negative and np.isfinite(value) else "finite (no NaN, no infinity)"
            remedy = (
                "Set what a subtracted background left below 0 to 0, or mark the pixels in bad_pixels."
                if rule == "not negative"
                else "Repair it, or mark the pixel in bad_pixels."
            )
            return DataError(
                f"{name} holds {words} in pattern {first + pattern} at row {row}, column {column}; patterns must be "
                f"{rule}. {remedy}"
            )
        first += len(piece)
    raise AssertionError("a survey found what is not there")
