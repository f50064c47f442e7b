"""Scans that can be used though something is wrong with them; each is named in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .workshop import Case, scan_with

CONVERT = ("convert", "scan.npz", "-o", "new.npz", "--quiet")
INFER = ("infer", "model", "scan.npz", "-o", "out", "--quiet")
EVALUATE = ("evaluate", "result/reconstruction.npz", "scan.npz", "--json")


def _amplitudes(change: Callable[[Any], None]) -> Callable[[Any], Any]:
    """Return a change of the stored amplitudes, made in place on a copy."""

    def changed(old: Any) -> Any:
        new = np.array(old)
        change(new)
        return new

    return changed


def _gap(patterns: Any) -> None:
    patterns[:, 14:16] = np.sqrt(2.0**32 - 1)


def _bright(patterns: Any) -> None:
    patterns[7] *= 100


def _one_pixel(patterns: Any) -> None:
    patterns[5, 2, 3] = np.sqrt(4e9)


def _not_a_number(patterns: Any) -> None:
    patterns[3, 4, 5] = np.nan


def _empty(patterns: Any) -> None:
    patterns[[0, 1, 20]] = 0


def _attenuated(patterns: Any) -> None:
    patterns[::2] *= 5


def _half_written(patterns: Any) -> None:
    patterns[[3, 4], :16] = 0


def _clipped(patterns: Any) -> None:
    np.minimum(patterns, np.quantile(patterns, 0.99), out=patterns)


def _one_far(old: Any) -> Any:
    return np.where(np.arange(len(old)) == 4, 1e5, old)


def _ten_times(old: Any) -> Any:
    return old * 10


def _warned(situation: str, words: tuple[str, ...], expected: str, **changes: Any) -> Case:
    return Case(situation, words, expected, scan_with(**changes), exit_code=0)


CASES = (
    _warned("Rows of the detector hold 2\\*\\*32 - 1", INFER, "64 detector pixels", diffraction=_amplitudes(_gap)),
    _warned("One pixel of one pattern is hot", EVALUATE, "1 detector pixel", diffraction=_amplitudes(_one_pixel)),
    _warned("A pattern holds NaN", CONVERT, "NaN, infinity or negative", diffraction=_amplitudes(_not_a_number)),
    _warned("A pattern is far too bright", CONVERT, "Pattern 7 is at least", diffraction=_amplitudes(_bright)),
    _warned("Patterns without a photon", INFER, "0, 1 and 20 are without", diffraction=_amplitudes(_empty)),
    _warned("The exposure changes", CONVERT, "2 levels of brightness", diffraction=_amplitudes(_attenuated)),
    _warned("Patterns are half written", CONVERT, "3 and 4 are 0 in a", diffraction=_amplitudes(_half_written)),
    _warned("Pixels are saturated", CONVERT, "saturated", diffraction=_amplitudes(_clipped)),
    _warned("One position lies far away", CONVERT, "Position 4 lies far", xcoords=_one_far, ycoords=_one_far),
    _warned("The positions are in another unit", CONVERT, "nothing overlaps", xcoords=_ten_times, ycoords=_ten_times),
    _warned("The phase of the probe is lost", CONVERT, "probe is real", probeGuess=np.abs),
    _warned("The probe has another scale", CONVERT, "The probe holds", probeGuess=lambda old: old * 100),
    _warned("The object is a stack", CONVERT, "one object plane", objectGuess=np.ones((2, 40, 40))),
    _warned("The metadata are no JSON", CONVERT, "not JSON text", _metadata="{broken"),
    _warned(
        "The patterns are neither counts nor amplitudes",
        CONVERT,
        "neither",
        _metadata=None,
        diffraction=lambda old: old * 0.77,
    ),
)
