"""Scans that can be used though something is wrong with them; each is named in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.data.dataset.conftest import write_training_hdf5
from tests.data.findings import planted
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


def _attenuated(patterns: Any) -> None:
    patterns[::2] *= 5


def _half_written(patterns: Any) -> None:
    patterns[[3, 4], :16] = 0


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


def _ten_times(old: Any) -> Any:
    return old * 10


def _warned(situation: str, words: tuple[str, ...], expected: str, **changes: Any) -> Case:
    return Case(situation, words, expected, scan_with(**changes), exit_code=0)


def _planted(**changes: Callable[[Any], Any]) -> Callable[[], None]:
    """Return a spoiler that writes another scan, of 100 patterns of counts; changes are functions of all its arrays."""

    def spoil() -> None:
        arrays = planted.members()
        np.savez("scan.npz", **(arrays | {name: change(arrays) for name, change in changes.items()}))

    return spoil


def _array(name: str, factor: float = 1.0) -> Callable[[Any], Any]:
    return lambda arrays: factor * arrays[name]


def _mirrored(name: str) -> Callable[[Any], Any]:
    return lambda arrays: arrays[name].min() + arrays[name].max() - arrays[name]


def _counts(change: Callable[[Any], None]) -> Callable[[Any], Any]:
    def changed(arrays: Any) -> Any:
        counts = arrays["diffraction"].astype(np.int64)
        change(counts)
        return counts

    return changed


def _dim(counts: Any) -> None:
    counts[7] //= 1000


def _hot_column(counts: Any) -> None:
    counts[:, :, 3] += np.random.default_rng(0).poisson(60, counts.shape[:2])


def _cube() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.uniform(20, 60, (2, 32))
    np.savez("scan.npz", diffraction=rng.poisson(5.0, (32, 32, 32)), xcoords=x, ycoords=y)


def _partly_written() -> None:
    arrays = planted.members()
    patterns = arrays["diffraction"]
    write_training_hdf5(Path("scan.h5"), arrays)
    with h5py.File("scan.h5", "a") as file:
        del file["patterns"]
        stored = file.create_dataset("patterns", patterns.shape, patterns.dtype, chunks=(1, *patterns.shape[1:]))
        for index in np.setdiff1d(np.arange(len(patterns)), (3, 4, 20)):
            stored[index] = patterns[index]


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
    Case(
        "Patterns of an HDF5 file that were never written",
        ("convert", "scan.h5", "-o", "new.npz", "--quiet"),
        "3, 4 and 20 are without",
        _partly_written,
        exit_code=0,
    ),
    Case(
        "A pattern is almost without light",
        CONVERT,
        "almost without light",
        _planted(diffraction=_counts(_dim)),
        exit_code=0,
    ),
    Case(
        "A column of the detector counts by itself",
        CONVERT,
        "along a whole row or column",
        _planted(diffraction=_counts(_hot_column)),
        exit_code=0,
    ),
    Case("Any axis of a cube may count the patterns", CONVERT, "their light does not tell", _cube, exit_code=0),
    Case(
        "x and y of the positions are exchanged",
        CONVERT,
        "fit the positions better with",
        _planted(xcoords=_array("ycoords"), ycoords=_array("xcoords")),
        exit_code=0,
    ),
    Case(
        "x and y of the positions are both negated",
        (*INFER, "--polish", "0", "--calibrate", "never"),
        "both x and y negated",
        _planted(xcoords=_mirrored("xcoords"), ycoords=_mirrored("ycoords")),
        exit_code=0,
        has_computed_numbers=True,
    ),
    Case(
        "Nominal positions with exchanged axes",
        CONVERT,
        "nominal positions",
        _planted(xcoords_start=_array("ycoords"), ycoords_start=_array("xcoords")),
        exit_code=0,
    ),
    Case(
        "The patterns overlap nowhere",
        CONVERT,
        "nothing overlaps",
        _planted(xcoords=_array("xcoords", 60.0), ycoords=_array("ycoords", 60.0)),
        exit_code=0,
    ),
    _warned(
        "Normalised patterns whose photons nothing tells",
        CONVERT,
        "nothing tells their photons",
        _metadata='{"measurement_domain": "normalized_amplitude"}',
    ),
)
