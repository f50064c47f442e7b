"""A reconstruction and its files: NPZ for Python, product HDF5 for Ptychodus."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from ptychopinn_backend.arrays import (
    AnyArray,
    Complex64Array,
    Float32Array,
    Float64Array,
    require_shape,
)
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.files.atomic_file import atomic_file
from ptychopinn_backend.files.npz import read_npz, write_npz

_KINDS: Final = {
    "object": "fciu",
    "origin_rc": "fiu",
    "probe": "fciu",
    "weight": "fiu",
    "amplitude_uncertainty": "fiu",
    "phase_uncertainty": "fiu",
    "backend": "U",
    "positions_xy": "fiu",
    "pattern_counts": "fiu",
    "info": "U",
}
"""Kinds of NumPy type that each array of a file may have."""
_REQUIRED_KEYS: Final = ("object", "origin_rc", "probe")
_PLANES: Final = ("weight", "amplitude_uncertainty", "phase_uncertainty")
"""Fields with the shape of the object."""


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """An object with its probe: counts = sum over modes |unitary FFT(probe * patch)|^2."""

    object: Complex64Array
    """Object (row, column)."""
    origin_rc: tuple[float, float]
    """Place of scan coordinate (0, 0) in `object` (row, column), pixels."""
    probe: Complex64Array
    """Probe (mode, N, N); the zero frequency of the far field is at the array centre."""
    weight: Float32Array | None = None
    """Amount of light or number of patches on every pixel of the object (row, column); None if unknown."""
    backend: str = ""
    """Backend that made the reconstruction; empty if unknown."""
    positions_xy: Float64Array | None = None
    """Scan positions (pattern, 2), axis 1 = (x, y), pixels."""
    info: dict[str, Any] = field(default_factory=dict)
    """Further facts about the reconstruction, as JSON values."""
    pattern_counts: Float64Array | None = None
    """Counts of every pattern of the reconstruction (pattern,), which identify the patterns; None if unknown."""
    amplitude_uncertainty: Float32Array | None = None
    """Standard deviation of |object| (row, column), in the units of the object; None if unknown."""
    phase_uncertainty: Float32Array | None = None
    """Standard deviation of the object's phase (row, column), radians; None if unknown."""

    def __post_init__(self) -> None:
        """Check shapes and values.

        Raises:
            DataError: an array has the wrong rank or shape, or is not finite.
        """
        N = self.probe.shape[-1]
        require_shape("object", self.object, (None, None), "(row, column)")
        require_shape("probe", self.probe, (None, N, N), "(mode, N, N)")
        for name, plane in self._planes().items():
            require_shape(name, plane, self.object.shape, "(row, column) of the object")
        if self.positions_xy is not None:
            require_shape("positions_xy", self.positions_xy, (None, 2), "(pattern, 2)")
        if self.pattern_counts is not None:
            n_patterns = None if self.positions_xy is None else len(self.positions_xy)
            require_shape("pattern_counts", self.pattern_counts, (n_patterns,), "(pattern,)")
        for name in ("object", "probe", "origin_rc", *_PLANES, "positions_xy", "pattern_counts"):
            values = getattr(self, name)
            if values is not None and not np.isfinite(values).all():
                raise DataError(
                    f"{name} holds NaN or infinity; a reconstruction must be finite. Check how it was made."
                )

    def _planes(self) -> dict[str, Float32Array]:
        """Return those fields with the shape of the object that are known."""
        return {name: plane for name in _PLANES if (plane := getattr(self, name)) is not None}

    def without_edge(self, width_px: int) -> Reconstruction:
        """Return the reconstruction without the pixels at the edges of its object.

        Args:
            width_px: number of pixels to cut from each edge.

        Returns:
            The reconstruction in a smaller array, at the same place of the scan.

        Raises:
            DataError: nothing would be left.
        """
        height, width = self.object.shape
        if not 0 <= width_px < min(height, width) / 2:
            raise DataError(
                f"window = {width_px} leaves nothing of an object of {height} x {width} pixels. "
                f"Choose at most {(min(height, width) - 1) // 2}."
            )
        kept = np.s_[width_px : height - width_px, width_px : width - width_px]
        row, column = self.origin_rc
        planes: dict[str, Any] = {name: plane[kept] for name, plane in self._planes().items()}
        return replace(self, object=self.object[kept], origin_rc=(row - width_px, column - width_px), **planes)

    def save_npz(self, path: str | Path) -> None:
        """Write the NPZ file atomically.

        Args:
            path: file to write; its folder must exist.

        Raises:
            OSError: the folder cannot be written.
        """
        members: dict[str, Any] = {
            "object": self.object.astype(np.complex64),
            "origin_rc": np.asarray(self.origin_rc, np.float64),
            "probe": self.probe.astype(np.complex64),
            "backend": np.array(self.backend),
            "info": np.array(json.dumps(self.info)),
        }
        members |= {name: plane.astype(np.float32) for name, plane in self._planes().items()}
        if self.positions_xy is not None:
            members["positions_xy"] = self.positions_xy.astype(np.float64)
        if self.pattern_counts is not None:
            members["pattern_counts"] = self.pattern_counts.astype(np.float64)
        write_npz(Path(path), members)

    @classmethod
    def load_npz(cls, path: str | Path) -> Reconstruction:
        """Read an NPZ file with at least `object`, `origin_rc` and `probe`; nothing is unpickled.

        Args:
            path: file to read.

        Returns:
            The reconstruction.

        Raises:
            DataFileNotFoundError: the file does not exist.
            DataError: the file is not an NPZ file, a key is missing, or a value breaks the rules.
        """
        path = Path(path)
        members = read_npz(path, _KINDS)
        missing = [key for key in _REQUIRED_KEYS if key not in members]
        if missing:
            raise DataError(
                f"{path} has no '{missing[0]}'; a reconstruction holds {', '.join(_REQUIRED_KEYS)}. "
                "Give the reconstruction.npz that 'ptychopinn infer' writes."
            )
        try:
            return _from_members(members)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error

    def save_hdf5(
        self,
        path: str | Path,
        scale: PhysicalScale | None = None,
        name: str = "reconstruction",
        losses: Sequence[float] = (),
    ) -> None:
        """Write the product file that Ptychodus opens, atomically.

        Ptychodus places a scan position at index (N - 1) / 2 of its N x N patch. This package places it at index N / 2.
        The centre of the object in the file corrects the difference.

        Args:
            path: file to write; its folder must exist.
            scale: pixel size, energy and distance; None writes the defaults of `PhysicalScale`, with a remark in the
                file.
            name: name of the product.
            losses: training loss of every epoch.

        Raises:
            OSError: the folder cannot be written.
        """
        import h5py

        comments = f"PtychoPINN {self.backend}".strip()
        if scale is None:
            scale = PhysicalScale()
            comments += ". Pixel size, photon energy and distance are unknown; the values here only stand in for them."
        image = io.BytesIO()
        with h5py.File(image, "w") as product:
            product.attrs.update(_product_attributes(self, scale, name, comments))
            _write_product_arrays(product, self, scale)
            product["loss_epochs"] = np.arange(1, len(losses) + 1)
            product["loss_values"] = np.asarray(losses, np.float64)
        with atomic_file(path) as stream:
            stream.write(image.getbuffer())


@dataclass(frozen=True)
class PhysicalScale:
    """Values that turn pixels into metres in a Ptychodus product; the defaults replace unknown values."""

    pixel_width_m: float = 1e-8
    """Width of an object pixel in metres."""
    pixel_height_m: float = 1e-8
    """Height of an object pixel in metres."""
    photon_energy_eV: float = 8800.0
    """Photon energy in electronvolts."""
    detector_object_distance_m: float = 2.0
    """Distance from object to detector in metres."""


def _from_members(members: Mapping[str, AnyArray]) -> Reconstruction:
    for name, array in members.items():
        if array.dtype.kind not in _KINDS[name]:
            expected = "text" if _KINDS[name] == "U" else "numbers"
            raise DataError(f"{name} has type {array.dtype}; expected {expected}. Write the file again with save_npz.")
    origin = members["origin_rc"]
    require_shape("origin_rc", origin, (2,), "(row, column)")
    positions, counts = (members.get(name) for name in ("positions_xy", "pattern_counts"))
    try:
        info = json.loads(str(members["info"])) if "info" in members else {}
    except (ValueError, RecursionError) as error:
        raise DataError(f"'info' is not JSON text ({error}). Write the file again with save_npz.") from error
    if not isinstance(info, dict):
        raise DataError(f"'info' holds {info!r}; expected an object of names and values. Write it with save_npz.")
    # A value that single precision cannot hold becomes infinite, and the reconstruction refuses infinite values.
    with np.errstate(over="ignore", invalid="ignore"):
        probe = members["probe"].astype(np.complex64)
        return Reconstruction(
            object=members["object"].astype(np.complex64),
            origin_rc=(float(origin[0]), float(origin[1])),
            probe=probe[np.newaxis] if probe.ndim == 2 else probe,
            backend=str(members["backend"]) if "backend" in members else "",
            positions_xy=None if positions is None else positions.astype(np.float64),
            pattern_counts=None if counts is None else counts.astype(np.float64),
            info=info,
            **{name: members[name].astype(np.float32) for name in _PLANES if name in members},
        )


def _product_attributes(
    reconstruction: Reconstruction, scale: PhysicalScale, name: str, comments: str
) -> dict[str, str | float]:
    return {
        "name": name,
        "comments": comments,
        "detector_object_distance_m": scale.detector_object_distance_m,
        "photon_energy_eV": scale.photon_energy_eV,
        # Ptychodus 1.6 uses this name for the energy.
        "probe_energy_eV": scale.photon_energy_eV,
        "probe_photon_count": float(np.sum(np.abs(reconstruction.probe) ** 2, dtype=np.float64)),
        "exposure_time_s": 0.0,
        "mass_attenuation_m2_per_kg": 0.0,
        "tomography_angle_deg": 0.0,
    }


def _write_product_arrays(product: Any, reconstruction: Reconstruction, scale: PhysicalScale) -> None:
    positions = np.zeros((0, 2)) if reconstruction.positions_xy is None else reconstruction.positions_xy
    product["probe_position_indexes"] = np.arange(len(positions))
    product["probe_position_x_m"] = positions[:, 0] * scale.pixel_width_m
    product["probe_position_y_m"] = positions[:, 1] * scale.pixel_height_m
    product["probe"] = reconstruction.probe[np.newaxis]
    product["object"] = reconstruction.object[np.newaxis]
    product["object_layer_spacing_m"] = np.zeros(0)
    for dataset in ("probe", "object"):
        product[dataset].attrs["pixel_width_m"] = scale.pixel_width_m
        product[dataset].attrs["pixel_height_m"] = scale.pixel_height_m
    for name in ("amplitude_uncertainty", "phase_uncertainty"):
        if (plane := getattr(reconstruction, name)) is not None:
            # Ptychodus ignores datasets that it does not know.
            product[f"object_{name}"] = plane[np.newaxis]
    rows, columns = reconstruction.object.shape
    origin_row, origin_column = reconstruction.origin_rc
    product["object"].attrs["center_x_m"] = (columns / 2 - origin_column) * scale.pixel_width_m
    product["object"].attrs["center_y_m"] = (rows / 2 - origin_row) * scale.pixel_height_m
