"""Scans of other formats than this package's own, as small good files for the fuzzer."""

from pathlib import Path

import h5py
import numpy as np

COUNTS = np.random.default_rng(1).poisson(20, (4, 8, 8)).astype(np.uint16)
METRES = np.array([[0.0, 3e-8], [4e-8, 0.0], [8e-8, 3e-8], [1e-8, 7e-8]])


def write_cxi(path: Path) -> None:
    """Energy, distance and pixel of 1.2 nm, 1 m and 15 nm."""
    with h5py.File(path, "w") as file:
        file["cxi_version"] = 160
        detector = file.create_group("entry_1/instrument_1/detector_1")
        detector["data"], detector["distance"], detector["mask"] = COUNTS, 1.0, np.zeros((8, 8), np.uint32)
        detector["basis_vectors"] = np.array([[0, -1e-2, 0], [-1e-2, 0, 0]])
        file["entry_1/instrument_1/source_1/energy"] = 1.6e-16
        file["entry_1/sample_1/geometry_1/translation"] = np.pad(METRES, ((0, 0), (0, 1)))
        file["entry_1/data_1/data"] = h5py.SoftLink("/entry_1/instrument_1/detector_1/data")
        file["entry_1/image_1/data"] = np.ones((2, 8, 8), np.complex64)


def write_ptyd(path: Path) -> None:
    """Two chunks."""
    with h5py.File(path, "w") as file:
        file["meta/energy"], file["meta/distance"], file["meta/psize"] = 1.0, 1.0, [1e-2, 1e-2]
        for number in range(2):
            rows = slice(2 * number, 2 * number + 2)
            chunk = file.create_group(f"chunks/{number}")
            chunk["data"], chunk["positions"], chunk["weights"] = COUNTS[rows], METRES[rows], np.ones((2, 8, 8))


def write_product(path: Path) -> None:
    """A product, with its patterns beside it."""
    with h5py.File(path.with_name("diffraction.h5"), "w") as file:
        file["patterns"], file["indexes"], file["bad_pixels"] = COUNTS, np.arange(4), np.zeros((8, 8), bool)
    with h5py.File(path, "w") as file:
        file.attrs.update(photon_energy_eV=1000.0, detector_object_distance_m=1.0)
        file["probe_position_indexes"] = np.arange(4)
        file["probe_position_x_m"], file["probe_position_y_m"] = METRES.T
        file["probe"] = np.ones((1, 2, 8, 8), np.complex128)
        file["object"] = np.ones((1, 20, 20), np.complex128)
        file["object"].attrs.update(pixel_width_m=1.5e-8, pixel_height_m=1.5e-8, center_x_m=0.0, center_y_m=0.0)
