"""One small scan, and every format written by its published layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ptychopinn_backend.data.simulation import SimulatedScan, SimulationConfig, simulate

ENERGY_EV = 9000.0
WAVELENGTH_M = 1.239841984332e-6 / ENERGY_EV
DISTANCE_M = 1.9
DETECTOR_M = 75e-6
N = 32
PIXEL_M = WAVELENGTH_M * DISTANCE_M / (N * DETECTOR_M)
JOULE = 1.602176634e-19


def make_scan() -> SimulatedScan:
    """25 patterns of 32 x 32 counts, two modes, some bad pixels."""
    return simulate(SimulationConfig(size=N, patterns=25, photons=1e5, modes=2, bad_pixel_fraction=0.01), 3)


def metres(scan: SimulatedScan) -> tuple[Any, Any]:
    """Positions with an origin of their own."""
    return tuple(scan.positions_xy.T * PIXEL_M + [[3e-6], [-2e-6]])


def write_npz(scan: SimulatedScan, folder: Path) -> Path:
    x, y = scan.positions_xy.T
    np.savez(folder / "scan.npz", xcoords=x, ycoords=y, diffraction=scan.counts, bad_pixels=scan.bad_pixels)
    return folder / "scan.npz"


def write_ptychodus_training(scan: SimulatedScan, folder: Path) -> Path:
    with h5py.File(folder / "train.h5", "w") as file:
        file["patterns"], file["bad_pixels"], file["probe"] = scan.counts, scan.bad_pixels, scan.probe
        file["probe_position_x_px"], file["probe_position_y_px"] = scan.positions_xy.T - 0.5
    return folder / "train.h5"


def write_ptychodus_pair(scan: SimulatedScan, folder: Path) -> Path:
    """Patterns and positions numbered from 7, positions in another order."""
    indexes = np.arange(len(scan.counts)) + 7
    with h5py.File(folder / "diffraction.h5", "w") as file:
        patterns = file.create_dataset("patterns", data=scan.counts, compression="lzf")
        patterns.attrs["detector_pixel_width_m"] = patterns.attrs["detector_pixel_height_m"] = DETECTOR_M
        file["indexes"], file["bad_pixels"] = indexes, scan.bad_pixels
    order = np.random.default_rng(1).permutation(len(indexes))
    x, y = metres(scan)
    with h5py.File(folder / "product.h5", "w") as file:
        file.attrs.update(photon_energy_eV=ENERGY_EV, detector_object_distance_m=DISTANCE_M, probe_photon_count=1e5)
        file["probe_position_indexes"], file["probe_position_x_m"], file["probe_position_y_m"] = (
            indexes[order],
            x[order],
            y[order],
        )
        file["probe"] = scan.probe[np.newaxis]
        file["object"] = scan.object[np.newaxis]
        height, width = scan.object.shape
        file["object"].attrs.update(pixel_width_m=PIXEL_M, pixel_height_m=PIXEL_M)
        file["object"].attrs.update(center_x_m=3e-6 + PIXEL_M * width / 2, center_y_m=-2e-6 + PIXEL_M * height / 2)
    return folder / "diffraction.h5"


def write_cxi(scan: SimulatedScan, folder: Path) -> Path:
    """CXI 1.6: the translation is that of the sample; rows of the detector run along -y, columns along -x."""
    x, y = metres(scan)
    with h5py.File(folder / "scan.cxi", "w") as file:
        file["cxi_version"] = 160
        entry = file.create_group("entry_1")
        detector = entry.create_group("instrument_1/detector_1")
        detector.create_dataset("data", data=scan.counts, compression="gzip")
        detector["distance"], detector["mask"] = DISTANCE_M, np.where(scan.bad_pixels, 1, 0).astype(np.uint32)
        detector["basis_vectors"] = np.array([[0, -DETECTOR_M, 0], [-DETECTOR_M, 0, 0]])
        entry["instrument_1/source_1/energy"] = ENERGY_EV * JOULE
        entry["sample_1/geometry_1/translation"] = np.stack([x, y, 0 * x], axis=1)
        entry["data_1/data"] = h5py.SoftLink("/entry_1/instrument_1/detector_1/data")
        entry["data_1/translation"] = h5py.SoftLink("/entry_1/sample_1/geometry_1/translation")
        entry["image_1/data"] = scan.probe
    return folder / "scan.cxi"


def write_of_ptychodus(scan: SimulatedScan, folder: Path, pixel_m: float = PIXEL_M) -> Path:
    """CXI as Ptychodus saves a product, in one file with its patterns: two sets of two modes, weighed by position."""
    path = write_cxi(scan, folder)
    height, width = scan.object.shape
    with h5py.File(path, "a") as file:
        entry = file["entry_1"]
        del entry["image_1/data"]
        entry["image_1/data"] = np.stack([scan.probe, 1j * scan.probe])
        entry["image_2/data"] = scan.object[np.newaxis]
        extras = entry.create_group("ptychodus")
        extras["probe_position_indexes"] = np.arange(25)
        extras["opr_weights"] = np.stack([np.ones(25), np.linspace(0, 1, 25)], axis=1)
        for side in ("width", "height"):
            extras[f"probe_pixel_{side}_m"], extras[f"object_pixel_{side}_m"] = pixel_m, PIXEL_M
        extras["object_center_x_m"] = 3e-6 + PIXEL_M * width / 2
        extras["object_center_y_m"] = -2e-6 + PIXEL_M * height / 2
    return path


def write_nxcxi(scan: SimulatedScan, folder: Path) -> Path:
    """NXcxi_ptycho of a raster scan: patterns of four axes in a file of their own, behind a virtual data set."""
    x, y = metres(scan)
    with h5py.File(folder / "frames.h5", "w") as file:
        file["frames"] = scan.counts.reshape(5, 5, N, N)
    layout = h5py.VirtualLayout((25, N, N), scan.counts.dtype)
    for row in range(5):
        layout[5 * row : 5 * row + 5] = h5py.VirtualSource("frames.h5", "frames", (5, 5, N, N))[row]
    with h5py.File(folder / "scan.nxs", "w") as file:
        entry = file.create_group("entry_1")
        entry["definition"] = "NXcxi_ptycho"
        entry["instrument_1/source_1/energy"] = 3.0 * 1e9 * JOULE  # of the machine
        entry["instrument_1/beam_1/energy"] = ENERGY_EV / 1000
        entry["instrument_1/beam_1/energy"].attrs["units"] = "keV"
        detector = entry.create_group("instrument_1/detector_1")
        detector["data"] = h5py.ExternalLink("frames.h5", "/frames")
        for name, value in {"x_pixel_size": 75, "y_pixel_size": 75}.items():
            detector[name] = value
            detector[name].attrs["units"] = "um"
        detector["distance"], detector["mask"] = DISTANCE_M, scan.bad_pixels.astype(np.uint8)
        detector["translation"] = np.stack([x, y, 0 * x], axis=1) * 1e6
        detector["translation"].attrs["units"] = "micron"
        entry.create_virtual_dataset("data_1/data", layout)
        entry["data_1/translation"] = h5py.SoftLink("/entry_1/instrument_1/detector_1/translation")
        entry["sample_1/geometry_1/translation"] = h5py.SoftLink("/entry_1/data_1/translation")
    return folder / "scan.nxs"


def write_ptyd(scan: SimulatedScan, folder: Path) -> Path:
    """PtyPy's layout: chunks of ten frames, the second in a file of its own (`save='link'`)."""
    x, y = metres(scan)
    with h5py.File(folder / "scan.ptyd", "w") as file:
        meta = {"energy": ENERGY_EV / 1000, "distance": DISTANCE_M, "psize": [DETECTOR_M] * 2, "shape": [N, N]}
        for name, value in {**meta, "num_frames": 25, "version": "0.1"}.items():
            file[f"meta/{name}"] = value
        file["info/weight2d"] = (~scan.bad_pixels).astype(float)
        for number, start in enumerate((0, 10, 20)):
            rows = slice(start, start + 10)
            place: Any = file.create_group(f"chunks/{number}") if number != 1 else h5py.File(folder / "part001", "w")
            place["data"], place["indices"] = scan.counts[rows], np.arange(25)[rows]
            place["positions"], place["weights"] = np.stack([y, x], axis=1)[rows], np.zeros(0)
            if number == 1:
                place.close()
                file["chunks/1"] = h5py.ExternalLink("part001", "/")
    return folder / "scan.ptyd"


def _without_hot_pixels(scan: SimulatedScan) -> np.ndarray:
    """Return the counts as a format without a mask has them: what is bad counts nothing."""
    return np.where(scan.bad_pixels, 0, scan.counts)


def write_fold_slice(scan: SimulatedScan, folder: Path) -> Path:
    x, y = metres(scan)
    with h5py.File(folder / "data_roi0_dp.hdf5", "w") as file:
        file.create_dataset("dp", data=_without_hot_pixels(scan), chunks=(1, N, N), compression="gzip")
    with h5py.File(folder / "data_roi0_para.hdf5", "w") as file:
        file["ppX"], file["ppY"] = x[np.newaxis], y[np.newaxis]
        file["dx"], file["lambda"], file["angle"] = [[PIXEL_M]], [[WAVELENGTH_M]], [[0.0]]
    return folder / "data_roi0_dp.hdf5"


def write_nsls2(scan: SimulatedScan, folder: Path) -> Path:
    """As the nanoprobe saves it: amplitudes with the zero frequency in the corner."""
    x, y = metres(scan)
    with h5py.File(folder / "scan_1.h5", "w") as file:
        file["diffamp"] = np.fft.fftshift(np.sqrt(_without_hot_pixels(scan)), axes=(1, 2))
        file["points"] = np.stack([x, y]) * 1e6
        file["lambda_nm"], file["z_m"], file["ccd_pixel_um"] = WAVELENGTH_M * 1e9, DISTANCE_M, DETECTOR_M * 1e6
        file["angle"] = 0.0
    return folder / "scan_1.h5"


@dataclass(frozen=True)
class Written:
    """A format as it is written in tests."""

    name: str
    """What `ptychopinn formats` calls it."""
    write: Callable[[SimulatedScan, Path], Path]
    """Returns the file to name."""
    has_bad_pixels: bool = True
    has_probe: bool = False
    is_absolute: bool = False
    """Positions refer to an object or are pixels, so that they come out as they went in."""


WRITTEN = (
    Written("npz", write_npz, is_absolute=True),
    Written("ptychodus-training", write_ptychodus_training, has_probe=True, is_absolute=True),
    Written("ptychodus-files", write_ptychodus_pair, has_probe=True, is_absolute=True),
    Written("cxi", write_cxi, has_probe=True),
    Written("nxcxi", write_nxcxi),
    Written("ptyd", write_ptyd),
    Written("fold_slice", write_fold_slice, has_bad_pixels=False),
    Written("nsls2", write_nsls2, has_bad_pixels=False),
)
