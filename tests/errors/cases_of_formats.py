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


def _two_patterns() -> None:
    Path("A_diffraction.h5").write_bytes(Path("diffraction.h5").read_bytes())
    Path("diffraction.h5").rename("B_diffraction.h5")
    Path("product.h5").rename("B_product.h5")


def _four_rows() -> None:
    layout = h5py.VirtualLayout((25, 32, 32), np.int64)
    for row in range(4):
        layout[5 * row : 5 * row + 5] = h5py.VirtualSource("frames.h5", "frames", (5, 5, 32, 32))[row]
    with h5py.File("scan.nxs", "a") as file:
        del file["entry_1/data_1/data"]
        file["entry_1"].create_virtual_dataset("data_1/data", layout)


CASES = (
    Case(
        "The positions of another scan beside the patterns",
        ("convert", "A_diffraction.h5", *OUT),
        r"B_product\.h5, belongs to B_diffraction\.h5",
        _written("ptychodus-files", _two_patterns),
    ),
    Case(
        "Positions stated for a file that has its own",
        ("convert", "scan.npz", "--positions", "product.h5", *OUT),
        "has its positions beside its patterns",
        _written("ptychodus-files"),
    ),
    Case(
        "Frames of a virtual data set without a file",
        ("convert", "scan.nxs", *OUT),
        "5 frames that no file is mapped to",
        _written("nxcxi", _four_rows),
    ),
    Case(
        "A product whose probe has other pixels than its object",
        ("convert", "scan.cxi", *OUT),
        "The probe has pixels of",
        lambda: writers.write_of_ptychodus(writers.make_scan(), Path(), 1.1 * writers.PIXEL_M),
    ),
    Case("A scan written over itself", ("check", "scan.npz", "--mend", "scan.npz"), "is the scan itself"),
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
