"""Prepared data of PtyPy (`.ptyd`): chunks of frames, each with its positions, and one description for all.

Layout: PtyPy's documentation, "Ptypy data structure". Positions are (y, x) in metres, energy is in keV, weights of 0
mark bad pixels. Chunks may lie in files of their own (`save='link'`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ptychopinn_backend.arrays import BoolArray
from ptychopinn_backend.config.reading import Reading
from ptychopinn_backend.data.measurement import COUNTS
from ptychopinn_backend.data.readers.array_source import Hdf5Array, Joined
from ptychopinn_backend.data.readers.content import Content
from ptychopinn_backend.data.readers.parts import Instrument, PatternPart, PositionPart
from ptychopinn_backend.data.readers.units import in_electronvolts
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.files.linked_hdf5 import LinkedHdf5


def holds_scan(content: Content) -> bool:
    """Return whether a file is laid out as a `.ptyd`."""
    return content.has("chunks", "meta") and content.hdf5 is not None and bool(_chunks(content.hdf5))


def read_patterns(path: Path, reading: Reading) -> PatternPart:
    """Read the frames of all chunks, in their order.

    Args:
        path: the file.
        reading: not needed here.

    Returns:
        Counts.

    Raises:
        DataError: the file is damaged, or a chunk lacks its frames.
    """
    with LinkedHdf5(path) as file:
        sources, bad = [], None
        for chunk in _chunks(file):
            source = Hdf5Array.find(file, f"{chunk}/data")
            if source is None:
                raise DataError(f"{path} lacks '{chunk}/data', the frames of a chunk. Prepare the data again.")
            sources.append(source)
            bad = _either(bad, _zero_weights(file, f"{chunk}/weights", source.shape[1:]))
        for name in ("meta/weight2d", "common/weight2d", "info/weight2d"):
            bad = _either(bad, _zero_weights(file, name, sources[0].shape[1:]))
        sides = {source.shape[1:] for source in sources}
        if len(sides) > 1:
            raise DataError(
                f"{path} holds frames of different sizes ({sorted(sides)}); they must agree. Prepare it anew."
            )
        files = tuple(file.linked_files())
        return PatternPart(files, Joined(tuple(sources)), COUNTS, None, bad, _instrument(file))


def read_positions(path: Path, reading: Reading) -> PositionPart:
    """Read the positions of all chunks, in their order.

    Args:
        path: the file.
        reading: not needed here.

    Returns:
        Positions in metres; PtyPy's first coordinate is y.

    Raises:
        DataError: the file is damaged, or a chunk lacks its positions.
    """
    with LinkedHdf5(path) as file:
        found = []
        for chunk in _chunks(file):
            positions = file.array(f"{chunk}/positions")
            if positions is None or positions.ndim != 2 or positions.shape[1] != 2 or positions.dtype.kind not in "iuf":
                raise DataError(
                    f"{path} lacks positions (frame, 2) in '{chunk}/positions'. Prepare the data with its positions."
                )
            found.append(positions)
    rows, columns = np.concatenate(found).T
    note = "the first coordinate of a position is the row, as in PtyPy; --swap-xy states the other."
    return PositionPart((path,), columns, rows, in_metres=True, notes=(note,))


def _chunks(file: LinkedHdf5) -> list[str]:
    return [f"chunks/{name}" for name in sorted((name for name in file.keys("chunks") if name.isdigit()), key=int)]


def _instrument(file: LinkedHdf5) -> Instrument:
    sides = file.array("meta/psize")
    height = width = None
    if sides is not None and sides.size in (1, 2) and sides.dtype.kind in "iuf":
        height, width = float(sides.reshape(-1)[0]), float(sides.reshape(-1)[-1])
    distance = file.number("meta/distance")
    energy = in_electronvolts(file.number("meta/energy", "keV"))
    return Instrument(energy, None if distance is None else distance[0], height, width)


def _zero_weights(file: LinkedHdf5, name: str, shape: tuple[int, ...]) -> BoolArray | None:
    """Return where weights are 0; of weights by frame those of the first frame, which PtyPy repeats."""
    weights = file.frame(name)
    return None if weights is None or weights.shape != shape else np.asarray(~(weights > 0))


def _either(one: BoolArray | None, other: BoolArray | None) -> BoolArray | None:
    if one is None or other is None:
        return other if one is None else one
    return np.asarray(one | other)
