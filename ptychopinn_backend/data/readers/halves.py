"""What files were seen to be, and which two of them are the halves of one scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ptychopinn_backend.config.reading import ASK_THE_FILE, Reading
from ptychopinn_backend.data.readers.content import look_at
from ptychopinn_backend.data.readers.table import FORMATS, Format, named_format
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.files.npz import require_file

SUFFIXES: Final = (".npz", ".h5", ".hdf5", ".hdf", ".cxi", ".nxs", ".ptyd", ".mat")
"""Endings of files that are taken for scans in a folder; what a file is, its content says."""
NEIGHBOUR_CACHE: Final = ".groups_cache.npz"
"""How the names of files end that keep neighbours beside a scan."""
_PAIRS: Final = (("_dp", "_para"), ("diffraction", "product"))


@dataclass(frozen=True)
class Found:
    """What a file was seen to be."""

    path: Path
    """The file."""
    patterns: Format | None
    """The format whose patterns it holds."""
    positions: Format | None
    """The format whose positions it holds."""

    @property
    def is_whole(self) -> bool:
        """Whether it holds both halves."""
        return self.patterns is not None and self.positions is not None


def recognise(path: Path, reader: str | None = None) -> Found:
    """Look at a file.

    Args:
        path: the file.
        reader: name of its format; None looks at what it holds.

    Returns:
        What it is; with a reader named, both halves are of that format if it looks so, else the file is taken whole.

    Raises:
        ConfigError: no format has that name.
        DataError: the file cannot be read.
    """
    require_file(path)
    if reader is None:
        with look_at(path) as content:
            patterns = next((form for form in FORMATS if form.holds_patterns(content)), None)
            positions = next((form for form in FORMATS if form.holds_positions(content)), None)
        return Found(path, patterns, positions)
    form = named_format(reader)
    with look_at(path) as content:
        has_patterns, has_positions = form.holds_patterns(content), form.holds_positions(content)
    if not has_patterns and not has_positions:
        has_patterns = has_positions = True
    return Found(path, form if has_patterns else None, form if has_positions else None)


def scan_files(folder: Path) -> list[Path]:
    """Return the files of a folder that may be scans, by name; caches of neighbours are left out."""
    found = [item for item in sorted(folder.iterdir()) if item.suffix in SUFFIXES and item.is_file()]
    return [item for item in found if not item.name.endswith(NEIGHBOUR_CACHE)]


def partner_of(half: Found, others: Sequence[Found]) -> Found | None:
    """Return the file that holds the other half of a scan.

    Args:
        half: patterns without positions, or positions without patterns.
        others: files beside it.

    Returns:
        The one whose name belongs to it (`x_dp` and `x_para`, `diffraction` and `product`); else the only one that
        fits; None where none does.

    Raises:
        DataError: several fit and no name tells.
    """
    wants_positions = half.positions is None
    fitting = [
        other
        for other in others
        if other.path != half.path
        and not other.is_whole
        and (other.positions is not None if wants_positions else other.patterns is not None)
    ]
    for ours, theirs in _PAIRS:
        mine, sought = (ours, theirs) if wants_positions else (theirs, ours)
        if half.path.stem.endswith(mine):
            stem = half.path.stem.removesuffix(mine) + sought
            for other in fitting:
                if other.path.stem == stem:
                    return other
    if len(fitting) > 1:
        raise DataError(
            f"{half.path} holds one half of a scan, and {', '.join(item.path.name for item in fitting)} beside it "
            "could each be the other. Name the one with --positions, or leave one in the folder."
        )
    return fitting[0] if fitting else None


def named_by_patterns(files: Sequence[Path], reading: Reading = ASK_THE_FILE) -> list[Path]:
    """Leave out files that are the positions of a scan whose patterns are given too.

    Args:
        files: scan files and halves of scans.
        reading: what the user states about them.

    Returns:
        One file per scan, in the order given.

    Raises:
        DataError: a half lies in another folder than the other, or several fit.
    """
    if reading.reader is not None or reading.positions is not None:
        return [path for path in files if path != reading.positions]
    found = [looked_at(path) for path in files]
    named: list[Path] = []
    for item in found:
        if item.patterns is None and item.positions is not None:
            others = [other for other in found if other.path.parent == item.path.parent]
            if partner_of(item, others) is not None:
                continue
        named.append(item.path)
    return named


def looked_at(path: Path) -> Found:
    """Return what a file is; one that cannot be read is nothing that is known."""
    try:
        return recognise(path)
    except DataError:  # what is wrong with it is said when it is read
        return Found(path, None, None)


def beside(path: Path) -> list[Found]:
    """Return what the files in the folder of a file were seen to be."""
    return [looked_at(item) for item in scan_files(path.parent)]
