"""What a file holds, as far as is needed to tell its format: its first bytes and the names of its arrays."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ptychopinn_backend.data.training_hdf5 import is_hdf5
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.files.linked_hdf5 import LinkedHdf5
from ptychopinn_backend.files.npz import member_names


@dataclass(frozen=True, eq=False)
class Content:
    """A file that is being looked at."""

    path: Path
    """The file."""
    npz_names: frozenset[str]
    """Names of its arrays; empty for all but NPZ files."""
    hdf5: LinkedHdf5 | None
    """The open file, where it is HDF5."""

    def has(self, *names: str) -> bool:
        """Return whether all of these are in an HDF5 file."""
        return self.hdf5 is not None and all(self.hdf5.has(name) for name in names)

    def has_arrays(self, *names: str) -> bool:
        """Return whether all of these are arrays of an NPZ file."""
        return self.npz_names.issuperset(names)


@contextmanager
def look_at(path: Path) -> Iterator[Content]:
    """Open a file to see what it holds.

    Args:
        path: any file.

    Yields:
        Its content; of a file that is neither HDF5 nor NPZ, or damaged, nothing is known.
    """
    if is_hdf5(path):
        with LinkedHdf5(path) as file:
            yield Content(path, frozenset(), file)
        return
    names: frozenset[str] = frozenset()
    with suppress(DataError, OSError):
        if zipfile.is_zipfile(path):
            names = frozenset(member_names(path))
    yield Content(path, names, None)
