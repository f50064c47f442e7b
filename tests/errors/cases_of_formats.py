"""Bad scans of formats other than NPZ, and options on reading that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from tests.data.readers import writers

from .workshop import Case, scan_with

OUT = ("-o", "new.npz", "-q")


def _written(name: str, change: Callable[[], object] | None = None) -> Callable[[], None]:
    write = next(written.write for written in writers.WRITTEN if written.name == name)

    def spoil() -> None:
        write(writers.make_scan(), Path())
        if change is not None:
            change()

    return spoil


def _changed(file_name: str, name: str, value: object) -> Callable[[], None]:
    def change() -> None:
        with h5py.File(file_name, "a") as file:
            del file[name]
            if value is not None:
                file[name] = value

    return change


def _two_products() -> None:
    Path("first.h5").write_bytes(Path("product.h5").read_bytes())
    Path("product.h5").rename("second.h5")


CASES = (
    Case(
        "A product without its patterns",
        ("convert", "product.h5", *OUT),
        "holds only positions, and no file beside it",
        _written("ptychodus-files", lambda: Path("diffraction.h5").unlink()),
    ),
    Case(
        "Two products beside the patterns",
        ("convert", "diffraction.h5", *OUT),
        r"first\.h5, second\.h5 beside it could each be the other",
        _written("ptychodus-files", _two_products),
    ),
    Case(
        "Patterns and positions of different scans",
        ("convert", "diffraction.h5", *OUT),
        "no pattern has a position",
        _written("ptychodus-files", _changed("diffraction.h5", "indexes", np.arange(25) + 1000)),
    ),
    Case(
        "Positions in metres without an energy",
        ("convert", "scan.cxi", *OUT),
        "does not say the photon energy",
        _written("cxi", _changed("scan.cxi", "entry_1/instrument_1/source_1/energy", None)),
    ),
    Case(
        "Positions in metres under the name of pixels",
        ("convert", "scan.npz", *OUT),
        "does not say the photon energy and distance",
        scan_with(xcoords=np.linspace(0, 1e-6, 24), ycoords=np.linspace(0, 2e-6, 24)),
    ),
    Case(
        "A pixel size in another unit",
        ("convert", "scan.cxi", "--pixel-size", "1e-16", *OUT),
        "positions span",
        _written("cxi"),
    ),
    Case(
        "A pixel size below 0",
        ("convert", "data_roi0_dp.hdf5", "--pixel-size", "-1", *OUT),
        "pixel_size_m = -1",
        _written("fold_slice"),
    ),
    Case(
        "Translations of the wrong shape",
        ("convert", "scan.cxi", *OUT),
        r"has shape \(25,\); expected \(pattern, 3\)",
        _written("cxi", _changed("scan.cxi", "entry_1/sample_1/geometry_1/translation", np.arange(25.0))),
    ),
    Case(
        "A virtual data set whose file is gone",
        ("convert", "scan.nxs", *OUT),
        "that file is gone: HDF5 would read zeros",
        _written("nxcxi", lambda: Path("frames.h5").unlink()),
    ),
    Case(
        "A scan that was stopped before the end its master file states",
        ("convert", "scan.nxs", *OUT),
        "takes more than is there",
        _written("nxcxi", _changed("frames.h5", "frames", np.zeros((3, 5, 32, 32), np.uint16))),
    ),
    Case(
        "A chunk without its frames",
        ("convert", "scan.ptyd", *OUT),
        "lacks 'chunks/2/data'",
        _written("ptyd", _changed("scan.ptyd", "chunks/2/data", None)),
    ),
    Case(
        "A chunk file that is gone",
        ("convert", "scan.ptyd", *OUT),
        "lies in part001, which is gone",
        _written("ptyd", lambda: Path("part001").unlink()),
    ),
    Case("An unknown reader", ("convert", "scan.npz", "--reader", "cxy", *OUT), "reader = 'cxy'.*Did you mean 'cxi'"),
    Case(
        "A reader that another package would bring",
        ("convert", "scan.npz", "--reader", "abc:d", *OUT),
        "provides 'abc'",
    ),
    Case(
        "A folder of several scans where one is expected",
        ("evaluate", "result/reconstruction.npz", "scans"),
        "is a folder of 2 scans",
        lambda: [
            Path("scans").mkdir(),
            *(Path(f"scans/{n}.npz").write_bytes(Path("scan.npz").read_bytes()) for n in "ab"),
        ],
    ),
)
