"""What files were seen to be, and which two of them are the halves of one scan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
DATASET_DESCRIPTION: Final = "dataset.json"
"""The file that makes a folder a data set."""
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

    @property
    def has_only_positions(self) -> bool:
        """Whether it holds positions without patterns."""
        return self.patterns is None and self.positions is not None


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
    return _seen_as(form, path) or Found(path, form, form)


def _seen_as(form: Format, path: Path) -> Found | None:
    """Return the halves of a format that a file holds; None where it holds none of them."""
    with look_at(path) as content:
        has_patterns, has_positions = form.holds_patterns(content), form.holds_positions(content)
    if not has_patterns and not has_positions:
        return None
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
        DataError: several fit and no name tells, or the only one belongs to another file by its name.
    """
    apart = [other for other in others if other.path != half.path and not other.is_whole]
    fitting = [other for other in apart if _is_other_half(half, other)]
    named = _named_partner(half, fitting)
    if named is not None or not fitting:
        return named
    if len(fitting) > 1:
        raise DataError(
            f"{half.path} holds one half of a scan, and {', '.join(item.path.name for item in fitting)} beside it "
            "could each be the other. Name the one with --positions, or leave one in the folder."
        )
    owner = _named_partner(fitting[0], [other for other in apart if _is_other_half(fitting[0], other)])
    if owner is not None:
        raise DataError(
            f"{half.path} holds one half of a scan, and the only other half beside it, {fitting[0].path.name}, belongs "
            f"to {owner.path.name} by its name. Put the right file beside it, or name the positions with --positions."
        )
    return fitting[0]


def _is_other_half(half: Found, other: Found) -> bool:
    return other.positions is not None if half.positions is None else other.patterns is not None


def _named_partner(half: Found, fitting: Sequence[Found]) -> Found | None:
    """Return the file of which the name belongs to that of a half."""
    stems = list(_stems_of_partner(half))
    return next((other for stem in stems for other in fitting if other.path.stem == stem), None)


def _stems_of_partner(half: Found) -> Iterator[str]:
    for of_patterns, of_positions in _PAIRS:
        mine, sought = (of_patterns, of_positions) if half.positions is None else (of_positions, of_patterns)
        if half.path.stem.endswith(mine):
            yield half.path.stem.removesuffix(mine) + sought


def named_by_patterns(files: Sequence[Path], reading: Reading = ASK_THE_FILE) -> list[Path]:
    """Leave out files that are the positions of a scan whose patterns are given too.

    Args:
        files: scan files and halves of scans.
        reading: what the user states about them.

    Returns:
        One file per scan, in the order given.

    Raises:
        ConfigError: no format has the name that was given.
        DataError: a half lies in another folder than the other, or several fit.
    """
    stated = None if reading.positions is None else reading.positions.resolve()
    found = [looked_at(path, reading.reader) for path in files if path.resolve() != stated]
    named: list[Path] = []
    for item in found:
        if item.has_only_positions:
            if stated is not None and any(other.patterns is not None for other in found):
                continue
            others = [other for other in found if other.path.parent == item.path.parent]
            if partner_of(item, others) is not None:
                continue
        named.append(item.path)
    return named


def looked_at(path: Path, reader: str | None = None) -> Found:
    """Return what a file holds, of a named format first; nothing is known of one that cannot be read."""
    # The readers of another package look at a file themselves.
    form = named_format(reader) if reader is not None and ":" not in reader else None
    try:
        return (_seen_as(form, path) if form is not None else None) or recognise(path)
    except DataError:  # what is wrong with it is said when it is read
        return Found(path, None, None)


def beside(path: Path) -> list[Found]:
    """Return what the files in the folder of a file were seen to be."""
    return [looked_at(item) for item in scan_files(path.parent)]
