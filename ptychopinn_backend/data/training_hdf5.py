"""Training data as Ptychodus writes them to HDF5 (`*.h5`, `*.hdf5`): one flat group of datasets.

Patterns are photon counts. Positions are in pixels of the object array, counted from pixel centres; here a position is
counted from the array's corner, which is half a pixel more.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.data.findings.layout import PATTERN_AXIS_KEY
from ptychopinn_backend.data.measurement import COUNTS
from ptychopinn_backend.data.scaling import pattern_slices
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.files.npz import METADATA_KEY, require_file, require_fits_memory
from ptychopinn_backend.files.untrusted_hdf5 import open_hdf5, packing_limit, why_unreadable

CENTRE_SHIFT_PX: Final = 0.5
"""What is added to positions of the file."""

PATTERNS: Final = "patterns"
_REQUIRED: Final = {
    PATTERNS: "diffraction",
    "probe_position_x_px": "xcoords",
    "probe_position_y_px": "ycoords",
}
_OPTIONAL: Final = {"probe": "probeGuess", "object": "objectGuess", "bad_pixels": "bad_pixels"}
NAMES_IN_HDF5: Final[Mapping[str, str]] = MappingProxyType(
    {ours: theirs for theirs, ours in {**_REQUIRED, **_OPTIONAL}.items()}
)
"""Name in the NPZ format -> name in the file."""
_SCALARS: Final = (
    "detector_object_distance_m",
    "photon_energy_eV",
    "object_pixel_width_m",
    "object_pixel_height_m",
)
_SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"


def is_hdf5(path: Path) -> bool:
    """Return whether a file begins as HDF5.

    Args:
        path: any path; one that cannot be read is not HDF5.

    Returns:
        True when the signature is there.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(len(_SIGNATURE)) == _SIGNATURE
    except OSError:
        return False


def read_training_hdf5(path: Path, *, patterns: bool = True) -> dict[str, AnyArray]:
    """Read a training file under the names of the NPZ format.

    Args:
        path: the file.
        patterns: False leaves 'diffraction' out.

    Returns:
        'diffraction', 'xcoords', 'ycoords', 'probeGuess', 'objectGuess', 'bad_pixels' as far as the file has them, and
        '_metadata' saying that the patterns are counts.

    Raises:
        DataFileNotFoundError: no file lies there.
        DataError: the file is damaged, lacks a dataset, refers to other files, or needs more than the memory.
    """
    with _datasets(path) as found:
        wanted = {name: dataset for name, dataset in found.items() if patterns or name != PATTERNS}
        require_fits_memory(path, sum(math.prod(item.shape) * item.dtype.itemsize for item in wanted.values()))
        described: dict[str, Any] = {"measurement": COUNTS, PATTERN_AXIS_KEY: 0}
        members: dict[str, AnyArray] = {}
        for name, dataset in wanted.items():
            values = np.asarray(dataset[()])
            if name in _SCALARS:
                described[name] = float(values)
            else:
                members[{**_REQUIRED, **_OPTIONAL}[name]] = values
    for name in ("xcoords", "ycoords"):
        if members[name].dtype.kind in "iuf":
            members[name] = members[name] + CENTRE_SHIFT_PX
    members[METADATA_KEY] = np.array(json.dumps(described))
    return members


def pattern_stand_in(path: Path) -> AnyArray:
    """Return an array of the shape and type of the file's patterns that holds none of them.

    Args:
        path: the file.

    Returns:
        Zeros in no memory.
    """
    with _datasets(path) as found:
        return np.broadcast_to(np.zeros((), found[PATTERNS].dtype), found[PATTERNS].shape)


def hdf5_pattern_pieces(path: Path) -> Iterator[AnyArray]:
    """Yield the patterns of a file in pieces of a few million values along the first axis.

    Args:
        path: the file.

    Yields:
        Consecutive patterns (pattern, N, N) in the type of the file.
    """
    with _datasets(path) as found:
        for piece in pattern_slices(found[PATTERNS]):
            yield np.asarray(found[PATTERNS][piece])


@contextmanager
def _datasets(path: Path) -> Iterator[Mapping[str, Any]]:
    require_file(path)
    try:
        with path.open("rb") as stream, open_hdf5(stream) as file:
            found = {name: _checked(file, name, path) for name in (*_REQUIRED, *_OPTIONAL, *_SCALARS) if name in file}
            for name in _REQUIRED:
                if name not in found:
                    raise DataError(
                        f"{path} lacks '{name}'; it holds {', '.join(file) or 'nothing'}. "
                        "Training data in HDF5 are those that Ptychodus exports; convert others to NPZ."
                    )
            yield found
    except DataError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read as HDF5 ({error}). Copy or write the file again.") from error


def _checked(file: Any, name: str, path: Path) -> Any:
    import h5py

    linked = file.get(name, getlink=True)
    dataset = file.get(name) if isinstance(linked, h5py.HardLink) else None
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise DataError(
            f"'{name}' in {path} is not a dataset kept in this file; links to other places are not followed. "
            "Write the values into the file."
        )
    if name in _SCALARS and dataset.shape != ():
        raise DataError(f"'{name}' in {path} has shape {dataset.shape}; expected one number. Write the file again.")
    declared, stored = math.prod(dataset.shape) * dataset.dtype.itemsize, dataset.id.get_storage_size()
    largest = max(declared, math.prod(dataset.chunks or ()) * dataset.dtype.itemsize)
    if largest > packing_limit(dataset) * (stored + 1024):
        raise DataError(
            f"'{name}' in {path} declares {largest / 2**30:.3g} GiB and stores {stored} bytes. Check where the file "
            "comes from."
        )
    reason = why_unreadable(dataset)
    if reason is not None:
        raise DataError(f"'{name}' in {path} cannot be read: {reason}. Store it as a plain numeric array.")
    if declared and not stored:
        raise DataError(f"'{name}' in {path} declares {declared} bytes, and none was ever written. Write the values.")
    return dataset
