"""Bad scans."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.data.dataset.conftest import write_training_hdf5
from tests.data.findings import planted

from .workshop import SMALL, TRAIN, Case, cut, scan_with, text

RUN = (*TRAIN, *SMALL)


def _in_halves(old: Any) -> Any:
    return np.where(np.arange(len(old)) < 12, old, old + 1e5)


def _bomb() -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (2**20, 512, 512)})
    with zipfile.ZipFile("scan.npz") as container:
        members = {name: container.read(name) for name in container.namelist()}
    with zipfile.ZipFile("scan.npz", "w") as container:
        for name, content in (members | {"diffraction.npy": header.getvalue()}).items():
            container.writestr(name, content)


def _altered() -> None:
    scan = bytearray(Path("scan.npz").read_bytes())
    scan[1000] ^= 1
    Path("scan.npz").write_bytes(scan)


def _mostly_nan(old):  # type: ignore[no-untyped-def]
    return np.where(np.arange(32) < 20, np.nan, old)


def _second_scan() -> None:
    with np.load("scan.npz") as archive:
        arrays = {name: archive[name] for name in archive.files if name in ("xcoords", "ycoords", "_metadata")}
    np.savez("other.npz", diffraction=np.ones((24, 64, 64), np.float32), **arrays)  # type: ignore[arg-type]


def _packed_by_an_absent_filter() -> None:
    members = planted.members()
    write_training_hdf5(Path("scan.h5"), members)
    values = members["diffraction"]
    packing = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    packing.set_chunk(values.shape)
    packing.set_filter(305, h5py.h5z.FLAG_OPTIONAL)
    with h5py.File("scan.h5", "a") as file:
        del file["patterns"]
        space, kind = h5py.h5s.create_simple(values.shape), h5py.h5t.py_create(values.dtype)
        h5py.h5d.create(file.id, b"patterns", kind, space, packing).write_direct_chunk((0, 0, 0), values.tobytes())


def _never_written() -> None:
    members = planted.members()
    write_training_hdf5(Path("scan.h5"), members)
    with h5py.File("scan.h5", "a") as file:
        del file["patterns"]
        file.create_dataset("patterns", members["diffraction"].shape, np.uint16, chunks=(1, 32, 32))


def _hdf5() -> None:
    with h5py.File("scan.h5", "w") as file:
        file["something"] = np.ones(3)


CASES = (
    Case("The scan file does not exist", ("train", "absent.npz", *RUN[2:]), "absent.npz"),
    Case("The folder of scans is empty", ("train", "empty", *RUN[2:]), "empty", lambda: Path("empty").mkdir()),
    Case("The scan is a text file", RUN, "not an NPZ file", text("scan.npz", "1 2 3\n")),
    Case("The scan file is cut short", RUN, "cut short or damaged", cut("scan.npz", 50_000)),
    Case("The scan file is empty", RUN, "not an NPZ file", cut("scan.npz", 0)),
    Case("A byte of the scan is altered", RUN, "damaged.*CRC", _altered),
    Case("The scan declares more than memory holds", RUN, "its header declares", _bomb, has_foreign_words=True),
    Case("The patterns are missing", RUN, "lacks 'diffraction'", scan_with(diffraction=None)),
    Case(
        "A name is misspelt",
        RUN,
        "lacks 'xcoords'.*Did you mean 'xcoord'",
        scan_with(xcoords=None, xcoord=np.arange(24.0)),
    ),
    Case(
        "Patterns and positions differ in number",
        RUN,
        "24 patterns for 20",
        scan_with(xcoords=np.arange(20.0), ycoords=np.arange(20.0)),
    ),
    Case("The axes differ in number", RUN, "ycoords has 20 values for 24", scan_with(ycoords=np.arange(20.0))),
    Case("The patterns are not square", RUN, "must be square", scan_with(diffraction=lambda old: old[:, :, :30])),
    Case("There is one pattern without an axis for it", RUN, "three axes", scan_with(diffraction=lambda old: old[0])),
    Case("There are no patterns", RUN, "zero patterns", scan_with(diffraction=lambda old: old[:0])),
    Case("There are no positions", RUN, "zero positions", scan_with(xcoords=np.zeros(0), ycoords=np.zeros(0))),
    Case("Most of the patterns are NaN", RUN, "nan in pattern 0 at row 0", scan_with(diffraction=_mostly_nan)),
    Case("A background was subtracted", RUN, "not negative", scan_with(diffraction=lambda old: old - 0.5)),
    Case("The patterns are complex", RUN, "real numbers", scan_with(diffraction=lambda old: old.astype(complex))),
    Case(
        "The patterns are Python objects", RUN, "never unpickled", scan_with(diffraction=lambda old: old.astype(object))
    ),
    Case("A position is infinite", RUN, "must be finite", scan_with(xcoords=np.array([np.inf] * 24))),
    Case(
        "The scan lies in two halves far apart",
        ("infer", "model", "scan.npz", "-o", "out", "--quiet"),
        "lie far from the rest",
        scan_with(xcoords=_in_halves, ycoords=_in_halves),
    ),
    Case("Positions are a table", RUN, "one number per scan point", scan_with(xcoords=np.ones((24, 2)))),
    Case(
        "Nominal positions for one axis only", RUN, "needs? both axes|need both", scan_with(xcoords_start=np.ones(24))
    ),
    Case("The probe has another size", RUN, "sides must agree", scan_with(probeGuess=np.ones((64, 64), complex))),
    Case("The probe holds NaN", RUN, "not finite", scan_with(probeGuess=np.full((32, 32), np.nan))),
    Case("The probe is dark", RUN, "probe", scan_with(probeGuess=np.zeros((32, 32)))),
    Case("The probe is missing", RUN, "probe", scan_with(probeGuess=None)),
    Case("The scan index is not whole", RUN, "whole numbers", scan_with(scan_index=np.linspace(0, 1, 24))),
    Case("Every pixel is marked bad", RUN, "every pixel as bad", scan_with(bad_pixels=np.ones((32, 32), bool))),
    Case(
        "The bad-pixel mask has another size", RUN, "one flag per pixel", scan_with(bad_pixels=np.zeros((16, 16), bool))
    ),
    Case("The labels are amplitudes only", RUN, "phase is part", scan_with(Y=np.ones((24, 32, 32)))),
    Case("The labels have another shape", RUN, "expected", scan_with(Y=np.ones((24, 16, 16), complex))),
    Case(
        "The metadata name an unknown measurement",
        RUN,
        "neither 'counts' nor 'amplitudes'",
        scan_with(_metadata='{"measurement": "volts"}'),
    ),
    Case(
        "The patterns have an unusual size",
        RUN,
        "Crop them to 32 or pad them to 64: ptychopinn convert SCAN -o NEW.npz --size 32",
        scan_with(diffraction=np.ones((24, 40, 40), np.float32), probeGuess=np.ones((40, 40), complex), _metadata=None),
    ),
    Case(
        "The patterns are larger than the model's",
        ("infer", "model", "scan.npz", "-o", "out"),
        "Crop the patterns .*--size 32.* or use a model made for N = 64",
        scan_with(
            diffraction=lambda old: np.pad(old, ((0, 0), (16, 16), (16, 16))),
            probeGuess=lambda old: np.pad(old, (*[(0, 0)] * (old.ndim - 2), (16, 16), (16, 16))),
        ),
    ),
    Case(
        "Two scans have different pattern sizes",
        ("train", "scan.npz", "other.npz", *RUN[2:]),
        "N = 32|64",
        _second_scan,
    ),
    Case(
        "The scan is too small for groups of four",
        (*RUN, "--gridsize", "2"),
        "neighbours|points",
        scan_with(diffraction=lambda old: old[:3], xcoords=np.arange(3.0), ycoords=np.arange(3.0), scan_index=None),
    ),
    Case(
        "Supervised training without labels",
        (*RUN, "--set", "model_type=supervised", "--set", "realspace_weight=1", "--set", "realspace_mae_weight=1"),
        "Labels were asked for",
        scan_with(objectGuess=None),
    ),
    Case("An HDF5 file that is no training data", ("train", "scan.h5", *RUN[2:]), "scan.h5", _hdf5),
    Case(
        "An HDF5 file is packed with a filter that is not installed",
        ("train", "scan.h5", *RUN[2:]),
        "is packed with the HDF5 filter 305",
        _packed_by_an_absent_filter,
    ),
    Case(
        "No pattern of an HDF5 file was ever written",
        ("train", "scan.h5", *RUN[2:]),
        "none was ever written",
        _never_written,
    ),
    Case(
        "A damaged HDF5 file",
        ("train", "scan.h5", *RUN[2:]),
        "scan.h5 is not an HDF5 file",
        text("scan.h5", "no HDF5"),
    ),
    Case("The validation scan does not exist", (*RUN, "--validation", "absent.npz"), "absent.npz"),
    Case("The data set folder holds something else", (*RUN, "--dataset", "model"), "no part of a data set"),
    Case("The data set does not exist", ("train", "--dataset", "absent", *RUN[2:]), "absent holds no data set"),
)
