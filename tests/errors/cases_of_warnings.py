"""Scans that can be used though something is wrong with them; each is named in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.data.readers import writers

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


def _clipped(patterns: Any) -> None:
    np.minimum(patterns, np.quantile(patterns, 0.99), out=patterns)


def _moved(old: Any) -> Any:
    return np.roll(old, 3, axis=1)


def _every_second_position() -> None:
    writers.write_ptychodus_pair(writers.make_scan(), Path())
    with h5py.File("product.h5", "a") as file:
        kept = file["probe_position_indexes"][()] % 2 == 1
        for name in ("probe_position_indexes", "probe_position_x_m", "probe_position_y_m"):
            values = file[name][()][kept]
            del file[name]
            file[name] = values


def _one_far(old: Any) -> Any:
    return np.where(np.arange(len(old)) == 4, 1e5, old)


def _warned(situation: str, words: tuple[str, ...], expected: str, **changes: Any) -> Case:
    return Case(situation, words, expected, scan_with(**changes), exit_code=0)


CASES = (
    _warned("Rows of the detector hold 2\\*\\*32 - 1", INFER, "64 detector pixels", diffraction=_amplitudes(_gap)),
    _warned("One pixel of one pattern is hot", EVALUATE, "1 detector pixel", diffraction=_amplitudes(_one_pixel)),
    _warned("A pattern holds NaN", CONVERT, "NaN, infinity or negative", diffraction=_amplitudes(_not_a_number)),
    _warned("A pattern is far too bright", CONVERT, "Pattern 7 is at least", diffraction=_amplitudes(_bright)),
    _warned("Patterns without a photon", INFER, "0, 1 and 20 are without", diffraction=_amplitudes(_empty)),
    _warned("Pixels are saturated", CONVERT, "saturated", diffraction=_amplitudes(_clipped)),
    _warned("One position lies far away", CONVERT, "Position 4 lies far", xcoords=_one_far, ycoords=_one_far),
    _warned("The phase of the probe is lost", CONVERT, "probe is real", probeGuess=np.abs),
    _warned("The probe has another scale", CONVERT, "The probe holds", probeGuess=lambda old: old * 100),
    _warned("The object is a stack", CONVERT, "one object plane", objectGuess=np.ones((2, 40, 40))),
    _warned(
        "scan\\_index may number objects or points",
        CONVERT,
        "The numbers alone do not tell",
        _metadata=None,
        scan_index=np.arange(24) // 3,
    ),
    _warned("The metadata are no JSON", CONVERT, "not JSON text", _metadata="{broken"),
    Case(
        "Half of the positions are interpolated",
        ("convert", "diffraction.h5", "-o", "new.npz", "--quiet"),
        "12 of 25 patterns have a number that no position has",
        _every_second_position,
        exit_code=0,
    ),
    _warned("The patterns lie off centre", INFER, "centre of the patterns lies", diffraction=_moved),
    _warned(
        "The patterns are neither counts nor amplitudes",
        CONVERT,
        "neither",
        _metadata=None,
        diffraction=lambda old: old * 0.77,
    ),
    _warned(
        "Normalised patterns whose photons nothing tells",
        CONVERT,
        "nothing tells their photons",
        _metadata='{"measurement_domain": "normalized_amplitude"}',
    ),
)
