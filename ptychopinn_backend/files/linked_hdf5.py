"""HDF5 as beamlines write it: data sets behind soft links, in other files, or put together from other files.

Links are followed here and not by the HDF5 library, which reads zeros, without a word, where a virtual data set names a
file that is gone.
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.files.npz import require_file, require_fits_memory
from ptychopinn_backend.files.untrusted_hdf5 import open_hdf5, packing_limit, why_unreadable
from ptychopinn_backend.files.virtual_sources import (
    block_numbers,
    frames_of,
    frames_without_source,
    is_numbered,
    is_unlimited,
    named_block,
    numbers_after,
)

_MOST_FRAMES: Final = 10**8
MAX_LINKS: Final = 16
"""Links followed from a name to its data set."""


class LinkedHdf5:
    """An HDF5 file and those it links to, open for reading; a context manager."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Args:
            path: the file.

        Raises:
            DataFileNotFoundError: no file lies there.
            DataError: it cannot be read as HDF5.
        """
        self.path = path
        self._stack = ExitStack()
        self._files: dict[tuple[Path, bool], Any] = {}
        try:
            self._file(path)
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> LinkedHdf5:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all files; what h5py says of damage becomes one error."""
        self._stack.close()
        if isinstance(error, OSError | RuntimeError | ValueError | KeyError | TypeError) and not isinstance(
            error, DataError
        ):
            raise _unreadable(self.path, error) from error

    def has(self, name: str) -> bool:
        """Return whether something of that name is in the file, be it a link that leads nowhere."""
        group, _, last = name.strip("/").rpartition("/")
        found = self._find(group) if group else self._file(self.path)
        return found is not None and hasattr(found, "keys") and last in found

    def keys(self, name: str) -> list[str]:
        """Return what a group holds, in the order of the file; nothing where there is no such group."""
        found = self._find(name)
        return list(found) if found is not None and hasattr(found, "keys") else []

    def dataset(self, name: str) -> Any | None:
        """Return an open `h5py.Dataset` of plain numbers, links followed and the files behind it checked.

        Args:
            name: its path in the file.

        Returns:
            The data set; None where nothing has that name, or a group does.

        Raises:
            DataError: a link leads to a file that is gone, or the values are no plain numbers.
        """
        found = self._find(name)
        if found is None or not hasattr(found, "shape"):
            return None
        return self._checked(found, name, 0)

    def array(self, name: str) -> AnyArray | None:
        """Read a data set that fits memory.

        Args:
            name: its path in the file.

        Returns:
            The values; None where nothing has that name.

        Raises:
            DataError: as `dataset`, or it declares far more than it stores.
        """
        found = self.dataset(name)
        if found is None or found.shape is None:
            return None
        self._require_stored(found, name)
        return np.asarray(found[()])

    def frame(self, name: str) -> AnyArray | None:
        """Read an image, or the first of a stack of images.

        Args:
            name: path of a data set of at least two axes.

        Returns:
            (row, column); None where nothing has that name, or it has fewer axes or no values.

        Raises:
            DataError: as `array`.
        """
        found = self.dataset(name)
        if found is None or found.shape is None or len(found.shape) < 2 or 0 in found.shape:
            return None
        self._require_stored(found, name, found.shape[-2:])
        return np.asarray(found[(0,) * (len(found.shape) - 2)])

    def number(self, name: str, default_unit: str = "") -> tuple[float, str] | None:
        """Read one number and its unit.

        Args:
            name: path of a data set that holds one number.
            default_unit: unit of a data set that has no attribute 'units'.

        Returns:
            The number and the unit; None where nothing has that name, or it is not one finite number.
        """
        found = self.array(name)
        if found is None or found.size != 1 or not np.isfinite(found).all():
            return None
        return float(found.reshape(-1)[0].real), self.attribute_text(name, "units") or default_unit

    def attribute(self, name: str, attribute: str) -> Any | None:
        """Return an attribute of a group or data set; None where it has none."""
        found = self._file(self.path) if name in ("", "/") else self._find(name)
        return None if found is None else found.attrs.get(attribute)

    def attribute_number(self, name: str, attribute: str) -> float | None:
        """Return an attribute that is one finite number; None for any other."""
        value = self.attribute(name, attribute)
        if value is None or np.size(value) != 1 or np.asarray(value).dtype.kind not in "biuf":
            return None
        number = float(np.asarray(value).reshape(-1)[0])
        return number if math.isfinite(number) else None

    def attribute_text(self, name: str, attribute: str) -> str:
        """Return an attribute that is text; '' for any other."""
        return _text(self.attribute(name, attribute))

    def text(self, name: str) -> str:
        """Return a data set that is one text; '' for any other."""
        found = self._find(name)
        if found is None or getattr(found, "size", None) != 1:
            return ""
        if found.dtype.kind not in "SO" or found.id.get_storage_size() > 2**20:
            return ""
        return _text(np.asarray(found[()]).reshape(-1)[0])

    def linked_files(self) -> list[Path]:
        """Return all files that were opened so far, this one first."""
        return list(dict.fromkeys(path for path, _ in self._files))

    def _file(self, path: Path, *, plain: bool = False) -> Any:
        key = (path, plain)
        if key not in self._files:
            require_file(path)
            try:
                if plain:
                    import h5py

                    self._files[key] = self._stack.enter_context(h5py.File(path, "r"))
                else:
                    stream = self._stack.enter_context(path.open("rb"))
                    self._files[key] = self._stack.enter_context(open_hdf5(stream))
            except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
                raise _unreadable(path, error) from error
        return self._files[key]

    def _path_of(self, found: Any) -> Path:
        return next(path for (path, _), file in self._files.items() if file.id == found.file.id)

    def _find(self, name: str) -> Any | None:
        return self._follow(self.path, PurePosixPath("/") / name, 0)

    def _follow(self, path: Path, name: PurePosixPath, links: int) -> Any | None:
        import h5py

        if links > MAX_LINKS:
            raise DataError(f"'{name}' in {path} is a link that leads back to itself. Write the values into the file.")
        here = self._file(path)
        parts = name.parts[1:]
        for index, part in enumerate(parts):
            linked = here.get(part, getlink=True) if isinstance(here, h5py.Group) else None
            rest = parts[index + 1 :]
            if isinstance(linked, h5py.SoftLink):
                target = PurePosixPath(here.name) / linked.path
                return self._follow(path, target.joinpath(*rest), links + 1)
            if isinstance(linked, h5py.ExternalLink):
                other = _resolved(path, linked.filename)
                if other is None:
                    raise DataError(
                        f"'{name}' in {path} lies in {linked.filename}, which is gone. Put that file beside it again."
                    )
                target = PurePosixPath("/") / linked.path
                return self._follow(other, target.joinpath(*rest), links + 1)
            if linked is None:
                return None
            here = here[part]
        return here

    def _checked(self, dataset: Any, name: str, depth: int) -> Any:
        path = self._path_of(dataset)
        if dataset.external:
            raise DataError(
                f"'{name}' in {path} keeps its values in a raw file outside HDF5, which is not read. "
                "Write the values into the file."
            )
        if dataset.is_virtual:
            whole = self._file(path, plain=True)[dataset.name]
            self._require_sources(path, name, whole, depth)
            return whole
        reason = why_unreadable(dataset)
        if reason is not None:
            raise DataError(f"'{name}' in {path} cannot be read: {reason}. Store it as a plain numeric array.")
        return dataset

    def _require_sources(self, path: Path, name: str, whole: Any, depth: int) -> None:
        sources, shape = whole.virtual_sources(), tuple(map(int, whole.shape))
        declared = math.prod(frames_of(shape))
        if declared > _MOST_FRAMES:
            raise DataError(
                f"'{name}' in {path} declares {declared} frames; expected at most {_MOST_FRAMES:.0e}. Check "
                "where the file comes from."
            )
        for source in sources:
            numbers = block_numbers(source, shape)
            for number in numbers:
                self._require_source(path, name, source, number, depth)
            later = [
                number
                for number in numbers_after(numbers)
                if is_numbered(source) and self._is_there(path, source, number)
            ]
            if later:
                gone = " of ".join(reversed(named_block(source, numbers.stop)))
                raise DataError(
                    f"'{name}' in {path} is put together from numbered files, of which '{gone}' is gone and number "
                    f"{later[0]} is there: HDF5 would end before it. Put it beside the scan again."
                )
        lacking = frames_without_source(shape, sources) if shape else 0
        if lacking:
            raise DataError(
                f"'{name}' in {path} has {lacking} frames that no file is mapped to: HDF5 would read zeros for them. "
                "Was the scan stopped early? Write the scan again from what there is."
            )

    def _is_there(self, path: Path, source: Any, number: int) -> bool:
        file_name, data_name = named_block(source, number)
        other = path if file_name == "." else _resolved(path, file_name)
        return other is not None and self._follow(other, PurePosixPath("/") / data_name, 0) is not None

    def _require_source(self, path: Path, name: str, source: Any, number: int, depth: int) -> None:
        file_name, data_name = named_block(source, number)
        other = path if file_name == "." else _resolved(path, file_name)
        told = f"'{name}' in {path} is put together from '{data_name}' in {file_name}"
        if other is None:
            raise DataError(f"{told}, and that file is gone: HDF5 would read zeros. Put it beside the scan again.")
        found = self._follow(other, PurePosixPath("/") / data_name, 0)
        if found is None or not hasattr(found, "shape") or depth > MAX_LINKS:
            raise DataError(f"{told}, which holds no such values: HDF5 would read zeros. Look for the right file.")
        values = self._checked(found, data_name, depth + 1)
        if _reaches_beyond(source, values.shape):
            raise DataError(
                f"{told}, of which it takes more than is there (shape {values.shape}): HDF5 would read zeros for the "
                "rest. Was the scan stopped early? Write the scan again from what there is."
            )

    def _require_stored(self, dataset: Any, name: str, shape: tuple[int, ...] | None = None) -> None:
        declared = math.prod(dataset.shape if shape is None else shape) * dataset.dtype.itemsize
        require_fits_memory(self.path, declared)
        largest = max(declared, math.prod(dataset.chunks or ()) * dataset.dtype.itemsize)
        stored = dataset.id.get_storage_size()
        if not dataset.is_virtual and largest > packing_limit(dataset) * (stored + 1024):
            raise DataError(
                f"'{name}' in {self.path} declares {largest / 2**30:.3g} GiB and stores {stored} bytes. Check where "
                "the file comes from."
            )


def _reaches_beyond(source: Any, shape: tuple[int, ...]) -> bool:
    import h5py

    if is_unlimited(source.vspace) or is_unlimited(source.src_space):
        return False
    kind = source.src_space.get_select_type()
    if kind == h5py.h5s.SEL_ALL:
        return bool(source.vspace.get_select_npoints() > math.prod(shape))
    if kind != h5py.h5s.SEL_HYPERSLABS:
        return False
    last = source.src_space.get_select_bounds()[1]
    return len(last) != len(shape) or any(index >= length for index, length in zip(last, shape, strict=True))


def _resolved(path: Path, file_name: str) -> Path | None:
    """Return where HDF5 looks for a file that another names: there, and beside that other."""
    named = Path(file_name)
    candidates = [named, path.parent / named.name] if named.is_absolute() else [path.parent / named]
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else ""


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} cannot be read as HDF5 ({error}). Copy or write the file again.")
