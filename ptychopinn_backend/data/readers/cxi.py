"""CXI files, and NXcxi_ptycho, the NeXus definition that is compatible with them.

Layouts: the CXI file format (cxidb.org), version 1.6, and the NeXus definition NXcxi_ptycho. `translation` moves the
sample, in metres, in the coordinate system of CXI; seen in it, columns of a detector run along -x and rows along -y
unless `basis_vectors` says otherwise. A pattern's place on the object is therefore minus the translation, taken along
those directions. What Ptychodus adds below `entry_1/ptychodus` is read as well; its patterns and its product lie in two
files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from ptychopinn_backend.arrays import BoolArray, Float64Array
from ptychopinn_backend.config.reading import Reading
from ptychopinn_backend.data.measurement import COUNTS
from ptychopinn_backend.data.readers.array_source import ArraySource, Centred, Hdf5Array
from ptychopinn_backend.data.readers.content import Content
from ptychopinn_backend.data.readers.far_field import probe_of_product, require_far_field
from ptychopinn_backend.data.readers.parts import Instrument, PatternPart, PositionPart
from ptychopinn_backend.data.readers.units import energy_of_wavelength, in_electronvolts, in_metres
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.files.linked_hdf5 import LinkedHdf5

_DETECTOR: Final = "entry_1/instrument_1/detector_1"
_SOURCE: Final = "entry_1/instrument_1/source_1"
_BEAM: Final = "entry_1/instrument_1/beam_1"
_DATA: Final = ("entry_1/data_1/data", f"{_DETECTOR}/data")
_TRANSLATION: Final = (
    "entry_1/sample_1/geometry_1/translation",
    "entry_1/data_1/translation",
    f"{_DETECTOR}/translation",
)
_PTYCHODUS: Final = "entry_1/ptychodus"
_DEFINITIONS: Final = ("NXcxi_ptycho", "NXptycho")
_HAS_SIGNAL: Final = 0x1000
"""The flag of the mask that marks a good pixel with signal."""


def is_nxcxi(content: Content) -> bool:
    """Return whether a file says that it follows NXcxi_ptycho."""
    return content.hdf5 is not None and content.hdf5.text("entry_1/definition") in _DEFINITIONS


def holds_patterns(content: Content) -> bool:
    """Return whether a file holds patterns as CXI does."""
    return any(content.has(name) for name in _DATA)


def holds_positions(content: Content) -> bool:
    """Return whether a file holds positions as CXI or NXcxi_ptycho does."""
    transformed = is_nxcxi(content) and content.has(*(f"entry_1/sample_1/transformations/{axis}" for axis in "xy"))
    return transformed or any(content.has(name) for name in _TRANSLATION)


def read_patterns(path: Path, reading: Reading) -> PatternPart:
    """Read patterns.

    Args:
        path: the file.
        reading: not needed here.

    Returns:
        Counts, unless the user states otherwise.

    Raises:
        DataError: the file is damaged or lacks them.
    """
    with LinkedHdf5(path) as file:
        name = next((name for name in _DATA if file.has(name)), _DATA[0])
        source: ArraySource | None = Hdf5Array.find(file, name)
        if source is None:
            raise DataError(f"{path} lacks '{_DATA[0]}', the patterns of a CXI file. Write them there.")
        notes = []
        if file.attribute_number(name, "is_fft_shifted") or (file.number("entry_1/data_1/is_fft_shifted") or (0,))[0]:
            source = Centred(source)
            notes.append("the file says that patterns have their zero frequency in the corner; it is moved.")
        bad = _bad_pixels(file, notes)
        files = tuple(file.linked_files())
        return PatternPart(files, source, COUNTS, None, bad, _instrument(file), tuple(notes))


def read_positions(path: Path, reading: Reading) -> PositionPart:
    """Read positions, and what the file has of probe and object.

    Args:
        path: the file.
        reading: not needed here.

    Returns:
        Positions in metres.

    Raises:
        DataError: the file is damaged or lacks them, or is a product of Ptychodus whose probe and object have other
            pixels.
    """
    with LinkedHdf5(path) as file:
        translation = _translation(file)
        row, column = _directions(file)
        from_ptychodus = file.has(_PTYCHODUS)
        probe, obj = file.array("entry_1/image_1/data"), file.array("entry_1/image_2/data") if from_ptychodus else None
        if probe is None or probe.dtype.kind != "c":
            probe = file.array(f"{_SOURCE}/illumination")
        centre = [file.number(f"{_PTYCHODUS}/object_center_{axis}_m") for axis in "xy"]
        indexes = file.array(f"{_PTYCHODUS}/probe_position_indexes")
        instrument = _instrument(file)
        weights = file.array(f"{_PTYCHODUS}/opr_weights")
        pixels = [_pixel_of(file, "probe"), _pixel_of(file, "object")]
    require_far_field(far_field=True, probe_pixel_m=pixels[0], object_pixel_m=pixels[1], path=path)
    notes = ["a place on the object is minus the CXI translation; --negate-x, --negate-y and --swap-xy state another."]
    probe = probe if probe is not None and probe.dtype.kind == "c" else None
    if from_ptychodus:
        probe, told = probe_of_product(probe, weights)
        notes += told
    x, y = -translation @ column, -translation @ row
    known = None
    if centre[0] is not None and centre[1] is not None:
        middle = -np.array([centre[0][0], centre[1][0], 0.0])
        known = (float(middle @ column), float(middle @ row))
    return PositionPart(
        (path,),
        x,
        y,
        in_metres=True,
        indexes=indexes,
        probe=probe,
        object_guess=obj[0] if obj is not None and obj.ndim == 3 and len(obj) else obj,
        object_centre_m=known,
        instrument=instrument,
        notes=tuple(notes),
    )


def _translation(file: LinkedHdf5) -> Float64Array:
    """Return (pattern, 3), axis 1 = (x, y, z), metres."""
    name = next((name for name in _TRANSLATION if file.has(name)), None)
    if name is None:
        motors = []
        for axis in "xy":
            values = file.array(f"entry_1/sample_1/transformations/{axis}")
            if values is None:
                raise DataError(
                    f"{file.path} lacks '{_TRANSLATION[0]}', the positions of a CXI file. Write them there."
                )
            motors.append(values.reshape(-1) * _scale(file, f"entry_1/sample_1/transformations/{axis}"))
        return np.stack([*motors, np.zeros_like(motors[0])], axis=1)
    values = file.array(name)
    if values is not None and values.ndim == 2 and values.shape[1] not in (2, 3) and values.shape[0] in (2, 3):
        values = values.T
    if values is None or values.ndim != 2 or values.shape[1] not in (2, 3) or values.dtype.kind not in "iuf":
        shape = None if values is None else values.shape
        raise DataError(f"'{name}' in {file.path} has shape {shape}; expected (pattern, 3), metres. Write it anew.")
    metres = values.astype(np.float64) * _scale(file, name)
    return np.pad(metres, ((0, 0), (0, 3 - metres.shape[1])))


def _scale(file: LinkedHdf5, name: str) -> float:
    unit = file.attribute_text(name, "units") or "m"
    factor = in_metres((1.0, unit))
    if factor is None:
        raise DataError(f"'{name}' in {file.path} is in {unit!r}, which is no length. Write it in metres.")
    return factor


def _directions(file: LinkedHdf5) -> tuple[Float64Array, Float64Array]:
    """Return unit vectors (x, y, z) along which rows and columns of the detector run."""
    basis = file.array(f"{_DETECTOR}/basis_vectors")
    if basis is None or basis.size != 6 or basis.dtype.kind not in "iuf":
        return np.array([0.0, -1.0, 0.0]), np.array([-1.0, 0.0, 0.0])
    vectors = basis.T if basis.shape == (3, 2) else basis.reshape(2, 3)
    vectors = vectors.astype(np.float64) * [1, 1, 0]  # the scan lies across the beam
    lengths = np.linalg.norm(vectors, axis=1)
    if not (lengths > 0).all():
        raise DataError(f"'{_DETECTOR}/basis_vectors' in {file.path} has a vector of no length. Write it anew.")
    return vectors[0] / lengths[0], vectors[1] / lengths[1]


def _instrument(file: LinkedHdf5) -> Instrument:
    height, width = (in_metres(file.number(f"{_DETECTOR}/{axis}_pixel_size", "m")) for axis in "yx")
    basis = file.array(f"{_DETECTOR}/basis_vectors")
    if basis is not None and basis.size == 6 and basis.dtype.kind in "iuf":
        lengths = np.linalg.norm(basis.T if basis.shape == (3, 2) else basis.reshape(2, 3), axis=1)
        height, width = height or float(lengths[0]), width or float(lengths[1])
    object_height, object_width = (
        in_metres(file.number(f"{_PTYCHODUS}/object_pixel_{side}_m", "m")) for side in ("height", "width")
    )
    return Instrument(
        _photon_energy(file),
        in_metres(file.number(f"{_DETECTOR}/distance", "m")),
        height or width,
        width or height,
        object_height,
        object_width,
    )


def _pixel_of(file: LinkedHdf5, array: str) -> tuple[float, float] | None:
    """Return width and height of a pixel of the probe or of the object, as Ptychodus adds them, in metres."""
    width, height = (
        in_metres(file.number(f"{_PTYCHODUS}/{array}_pixel_{side}_m", "m")) for side in ("width", "height")
    )
    return (width, height) if width and height and width > 0 and height > 0 else None


def _photon_energy(file: LinkedHdf5) -> float | None:
    """Return eV. In NXcxi_ptycho `source_1/energy` is that of the machine, and the photons' lies in `beam_1`."""
    names = [f"{_BEAM}/incident_beam_energy", f"{_BEAM}/energy"]
    if file.text("entry_1/definition") not in _DEFINITIONS:
        names.append(f"{_SOURCE}/energy")
    for name in names:
        energy = in_electronvolts(file.number(name, "J"))
        if energy is not None and energy > 0:
            return energy
    return energy_of_wavelength(in_metres(file.number(f"{_SOURCE}/wavelength", "m")))


def _bad_pixels(file: LinkedHdf5, notes: list[str]) -> BoolArray | None:
    name = f"{_DETECTOR}/mask"
    found, flags = file.dataset(name), file.frame(name)
    if found is None or flags is None:
        return None
    if found.size != flags.size:
        notes.append("the mask differs from pattern to pattern; that of the first is used for all.")
    return np.asarray((flags != 0) & (flags != _HAS_SIGNAL))
