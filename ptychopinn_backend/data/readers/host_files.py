"""Files that Ptychodus itself writes: assembled patterns and data products, each as HDF5 or NPZ.

`diffraction.h5` or a patterns NPZ make one half of a scan, `product.h5` or a product NPZ the other. Positions are in
metres; Ptychodus counts the middle of an object of n pixels at index (n - 1) / 2 and pixel centres from 0, here it is
n / 2, which is the half pixel between the two conventions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.config.reading import Reading
from ptychopinn_backend.data.measurement import COUNTS
from ptychopinn_backend.data.readers.array_source import Hdf5Array, NpzArray
from ptychopinn_backend.data.readers.content import Content
from ptychopinn_backend.data.readers.far_field import probe_of_product, require_far_field
from ptychopinn_backend.data.readers.parts import Instrument, PatternPart, PositionPart
from ptychopinn_backend.data.training_hdf5 import is_hdf5
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.files.linked_hdf5 import LinkedHdf5
from ptychopinn_backend.files.npz import read_npz

_FAR_FIELD: Final = "far_field"
_POSITIONS: Final = ("probe_position_indexes", "probe_position_x_m", "probe_position_y_m")
_ARRAYS: Final = (*_POSITIONS, "probe", "object", "opr_weights")
_FURTHER_FACTS: Final = ("probe_photon_count", "exposure_time_s", "tomography_angle_deg", "tilt_angle_deg")
_FACTS: Final = ("photon_energy_eV", "probe_energy_eV", "detector_object_distance_m", _FAR_FIELD, *_FURTHER_FACTS)
_PIXEL: Final = ("pixel_width_m", "pixel_height_m")
_OF_OBJECT: Final = ("center_x_m", "center_y_m", "pixel_width_m", "pixel_height_m")


def holds_patterns(content: Content) -> bool:
    """Return whether a file is a `diffraction.h5` or a patterns NPZ."""
    if content.hdf5 is not None:
        return content.has("patterns", "indexes") and not content.has("probe_position_x_px")
    return content.has_arrays("patterns") and not content.has_arrays("xcoords")


def holds_positions(content: Content) -> bool:
    """Return whether a file is a data product."""
    return content.has(*_POSITIONS, "probe") or content.has_arrays(*_POSITIONS, "probe")


def read_patterns(path: Path, reading: Reading) -> PatternPart:
    """Read assembled patterns.

    Args:
        path: `diffraction.h5`, or an NPZ with patterns, indexes and bad_pixels.
        reading: not needed here.

    Returns:
        Counts; their numbers are those of the scan points.

    Raises:
        DataError: the file is damaged or lacks them.
    """
    width = height = None
    files: tuple[Path, ...] = (path,)
    source: Hdf5Array | NpzArray | None
    if is_hdf5(path):
        with LinkedHdf5(path) as file:
            source = Hdf5Array.find(file, "patterns")
            files = tuple(file.linked_files())
            indexes, bad = file.array("indexes"), file.array("bad_pixels")
            width = file.attribute_number("patterns", "detector_pixel_width_m")
            height = file.attribute_number("patterns", "detector_pixel_height_m")
    else:
        source = NpzArray.find(path, "patterns")
        found = read_npz(path, ("indexes", "bad_pixels"))
        indexes, bad = found.get("indexes"), found.get("bad_pixels")
    if source is None:
        raise DataError(f"{path} lacks 'patterns'. Save the patterns in Ptychodus again.")
    instrument = Instrument(detector_pixel_height_m=_positive(height), detector_pixel_width_m=_positive(width))
    return PatternPart(files, source, COUNTS, indexes, bad, instrument)


def read_positions(path: Path, reading: Reading) -> PositionPart:
    """Read a data product.

    Args:
        path: `product.h5`, or an NPZ as Ptychodus saves it.
        reading: not needed here.

    Returns:
        Positions in metres, probe, and the first layer of the object.

    Raises:
        DataError: the file is damaged or lacks them, or says what no far field on equal pixels can be.
    """
    arrays, facts = _product_of_hdf5(path) if is_hdf5(path) else _product_of_npz(path)
    for name in _POSITIONS:
        if name not in arrays:
            raise DataError(f"{path} lacks '{name}', which a product of Ptychodus has. Save the product again.")
    require_far_field(
        # Ptychodus 1.6 knows the far field only, and says nothing of it.
        far_field=bool(facts.get(_FAR_FIELD, True)),
        probe_pixel_m=_pixel_of("probe", facts),
        object_pixel_m=_pixel_of("object", facts),
        path=path,
    )
    obj = arrays.get("object")
    probe, notes = probe_of_product(arrays.get("probe"), arrays.get("opr_weights"))
    if obj is not None and obj.ndim == 3:
        if len(obj) > 1:
            notes = (f"the object has {len(obj)} layers; the first is taken.", *notes)
        obj = obj[0] if len(obj) else None
    centre = facts.get("object_center_x_m"), facts.get("object_center_y_m")
    return PositionPart(
        (path,),
        arrays["probe_position_x_m"],
        arrays["probe_position_y_m"],
        in_metres=True,
        indexes=arrays["probe_position_indexes"],
        probe=probe,
        object_guess=obj if obj is not None and 0 not in obj.shape else None,
        object_centre_m=None if centre[0] is None or centre[1] is None else (centre[0], centre[1]),
        instrument=Instrument(
            _positive(facts.get("photon_energy_eV", facts.get("probe_energy_eV"))),
            _positive(facts.get("detector_object_distance_m")),
            object_pixel_height_m=_positive(facts.get("object_pixel_height_m")),
            object_pixel_width_m=_positive(facts.get("object_pixel_width_m")),
        ),
        described={name: facts[name] for name in _FURTHER_FACTS if facts.get(name)},
        notes=notes,
    )


def _product_of_hdf5(path: Path) -> tuple[dict[str, AnyArray], dict[str, float]]:
    with LinkedHdf5(path) as file:
        arrays = {name: values for name in _ARRAYS if (values := file.array(name)) is not None}
        facts = {name: file.attribute_number("/", name) for name in _FACTS}
        for name in _OF_OBJECT:
            facts[f"object_{name}"] = file.attribute_number("object", name)
        for name in _PIXEL:
            facts[f"probe_{name}"] = file.attribute_number("probe", name)
    return arrays, {name: value for name, value in facts.items() if value is not None}


def _product_of_npz(path: Path) -> tuple[dict[str, AnyArray], dict[str, float]]:
    names = (*_FACTS, *(f"object_{name}" for name in _OF_OBJECT), *(f"probe_{name}" for name in _PIXEL))
    found = read_npz(path, (*_ARRAYS, *names))
    numbers = {name: values for name, values in found.items() if name in names and values.size == 1}
    facts = {name: float(values.reshape(-1)[0]) for name, values in numbers.items() if values.dtype.kind in "biuf"}
    return {name: found[name] for name in _ARRAYS if name in found}, facts


def _pixel_of(array: str, facts: dict[str, float]) -> tuple[float, float] | None:
    width, height = (_positive(facts.get(f"{array}_{name}")) for name in _PIXEL)
    return None if width is None or height is None else (width, height)


def _positive(value: float | None) -> float | None:
    return value if value is not None and value > 0 else None
