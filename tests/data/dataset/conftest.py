"""Three small scans as files: counts in NPZ, compressed amplitudes with bad pixels, and Ptychodus' HDF5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ptychopinn_backend.config import ModelConfig

N = 32


def scan_members(seed: int, points: int) -> dict[str, Any]:
    """Return the arrays of a scan file: photon counts, positions, a probe of two modes and the object."""
    rng = np.random.default_rng(seed)
    return {
        "diffraction": rng.poisson(3.0, (points, N, N)).astype(np.uint16),
        "xcoords": rng.uniform(20, 76, points),
        "ycoords": rng.uniform(20, 60, points),
        "probeGuess": (rng.uniform(0.5, 1, (2, N, N)) * np.exp(1j * seed)).astype(np.complex64),
        "objectGuess": (rng.uniform(0.5, 1, (80, 96)) * np.exp(1j * rng.uniform(-1, 1, (80, 96)))).astype(np.complex64),
    }


def write_training_hdf5(path: Path, members: dict[str, Any]) -> None:
    """Write a scan as Ptychodus does, positions counted from pixel centres."""
    with h5py.File(path, "w") as file:
        file.create_dataset("patterns", data=members["diffraction"], compression="lzf")
        file.create_dataset("bad_pixels", data=np.zeros((N, N), bool), compression="lzf")
        file.create_dataset("probe", data=members["probeGuess"], compression="lzf")
        file.create_dataset("object", data=members["objectGuess"], compression="lzf")
        file.create_dataset("probe_position_x_px", data=members["xcoords"] - 0.5, compression="lzf")
        file.create_dataset("probe_position_y_px", data=members["ycoords"] - 0.5, compression="lzf")
        for name in ("object_pixel_width_m", "object_pixel_height_m", "detector_object_distance_m"):
            file.create_dataset(name, data=1e-8)
        file.create_dataset("photon_energy_eV", data=8000.0)


@pytest.fixture
def model() -> ModelConfig:
    """Groups of four patterns of 32 x 32 pixels."""
    return ModelConfig(N=N, gridsize=2, n_filters_scale=1)


@pytest.fixture
def scans(tmp_path: Path) -> list[Path]:
    """The three files, in a folder of their own."""
    folder = tmp_path / "scans"
    folder.mkdir()
    np.savez(folder / "a_counts.npz", **scan_members(1, 40))
    amplitudes = scan_members(2, 30)
    amplitudes["diffraction"] = np.sqrt(amplitudes["diffraction"]).astype(np.float32)
    amplitudes["bad_pixels"] = np.zeros((N, N), bool)
    amplitudes["bad_pixels"][3, 4] = True
    amplitudes["diffraction"][:, 3, 4] = np.nan
    amplitudes["scan_index"] = np.arange(30) % 2
    amplitudes["xcoords_start"] = amplitudes["xcoords"] + 0.25
    amplitudes["ycoords_start"] = amplitudes["ycoords"] - 0.25
    np.savez_compressed(folder / "b_amplitudes.npz", **amplitudes)
    write_training_hdf5(folder / "c_ptychodus.h5", scan_members(3, 25))
    return sorted(folder.iterdir())
