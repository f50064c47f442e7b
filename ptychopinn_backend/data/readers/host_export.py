"""The NPZ that Ptychodus itself exports for PtychoPINN: it says neither what its patterns are nor where its pixels lie.

Its patterns are counts, and its positions count the middle of n pixels at index (n - 1) / 2, where it is n / 2 here.
The product it was made from, where it lies beside the file, shows that it is one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from ptychopinn_backend.arrays import AnyArray, Float64Array
from ptychopinn_backend.config.reading import ASK_THE_FILE
from ptychopinn_backend.data.measurement import COUNTS
from ptychopinn_backend.data.readers.content import look_at
from ptychopinn_backend.data.readers.host_files import holds_positions, read_positions
from ptychopinn_backend.errors import DataError

CENTRE_SHIFT_PX: Final = 0.5
"""From the host's positions to those here."""
_NAMES: Final = frozenset(
    [
        *("xcoords", "ycoords", "xcoords_start", "ycoords_start", "diff3d", "bad_pixels"),
        *("probeGuess", "objectGuess", "scan_index"),
    ]
)
_SINCE_1_7: Final = "bad_pixels"
_POSITIONS: Final = ("xcoords", "ycoords", "xcoords_start", "ycoords_start")
_SAME_PX: Final = 1e-3


class Settled(NamedTuple):
    """What became of a file of this kind."""

    members: dict[str, AnyArray]
    """Its arrays."""
    metadata: dict[str, Any]
    """What is known of it."""
    note: str
    """What was decided."""
    is_open: bool = False
    """Nothing shows whether it is one: its positions may be half a pixel lower."""


def settled(path: Path, names: Collection[str], members: Mapping[str, AnyArray]) -> Settled | None:
    """Settle what the host's export leaves open.

    Args:
        path: an NPZ file.
        names: all it holds.
        members: its small arrays.

    Returns:
        Positions and measurement as a product beside it shows them, or with a note that none does; None for a file of
        any other origin.
    """
    if frozenset(names) not in (_NAMES, _NAMES - {_SINCE_1_7}):
        return None
    given = np.stack([members["xcoords"], members["ycoords"]], axis=-1)
    for beside in sorted([*path.parent.glob("*product*.h5"), *path.parent.glob("*product*.npz")]):
        # What is wrong with a file beside it matters to nobody here.
        with suppress(DataError, OSError):
            if beside != path and _is_made_of(given, beside):
                moved = {**members, **{name: members[name] + CENTRE_SHIFT_PX for name in _POSITIONS}}
                note = f"is Ptychodus' own export of {beside.name}: counts, positions half a pixel lower than here."
                return Settled(moved, {"measurement": COUNTS}, note)
    if _SINCE_1_7 not in names:  # files of PtychoPINN have these names too
        return None
    note = (
        "has the names of Ptychodus' own export, whose positions are half a pixel lower than here: the object would "
        "lie half a pixel beside its objectGuess. Put its product beside it, under a name with 'product', or export it "
        "anew with this package."
    )
    return Settled(dict(members), {}, note, is_open=True)


def _is_made_of(positions_xy: Float64Array, product: Path) -> bool:
    from scipy.spatial import cKDTree

    with look_at(product) as content:
        if not holds_positions(content):
            return False
    part = read_positions(product, ASK_THE_FILE)
    obj, centre, instrument = part.object_guess, part.object_centre_m, part.instrument
    width, height = instrument.object_pixel_width_m, instrument.object_pixel_height_m
    if obj is None or centre is None or width is None or height is None:
        return False
    x = (np.asarray(part.x) - centre[0]) / width + (obj.shape[1] - 1) / 2
    y = (np.asarray(part.y) - centre[1]) / height + (obj.shape[0] - 1) / 2
    distance, _ = cKDTree(np.stack([x, y], axis=-1)).query(positions_xy)
    return bool(np.max(distance) < _SAME_PX)
