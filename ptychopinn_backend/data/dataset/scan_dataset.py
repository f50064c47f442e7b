"""An opened data set: the groups of all its scans, a `GroupSource` whose patterns stay on disk."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from ptychopinn_backend.arrays import Complex64Array, Float64Array, IntArray
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.data.dataset.options import NORMALISATIONS
from ptychopinn_backend.data.dataset.sources import DESCRIPTION_NAME
from ptychopinn_backend.data.dataset.stored_scan import StoredScan, open_stored_scan
from ptychopinn_backend.data.dataset.whole_scan import whole_scan
from ptychopinn_backend.data.grouping import group_coordinates
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.scaling import counts_in_light, factor_from_photons
from ptychopinn_backend.data.scan import Scan, prepare_counted_scan
from ptychopinn_backend.errors import DataError, DataFileNotFoundError
from ptychopinn_backend.files.npz import read_npz
from ptychopinn_backend.physics.probe import as_mode_stack

FORMAT: Final = "ptychopinn-backend data set"
VERSION: Final = 1
# A data set that is rebuilt this often while it is opened is being written by something that went astray.
_OPENINGS: Final = 20


@dataclass(frozen=True, eq=False)
class ScanDataset(PtychoDataContainer):
    """Groups of the scans of a data set; make it with `create_dataset` or `open_dataset`."""

    folder: Path
    """Where the data set lies."""
    names: tuple[str, ...]
    """Name of the file each scan came from."""
    n_patterns: int
    """Scan points of all scans."""
    mean_photons: float
    """Mean over all patterns of the sum of squared amplitudes."""
    stored: tuple[StoredScan, ...]
    """The scans as they lie on disk, in the order of `names`."""

    def scan(self, index: int) -> RawData:
        """Return one of the scans, to reconstruct it or to write it as an NPZ with `to_file`.

        Args:
            index: of `names`, from 0.

        Returns:
            All of its patterns, as amplitudes, and what its file said besides.

        Raises:
            DataError: there is no such scan, or a file was altered.
        """
        if not 0 <= index < len(self.names):
            raise DataError(
                f"Scan {index} is asked for; the data set {self.folder} holds {len(self.names)}, counted from 0. "
                "Choose one of these."
            )
        return whole_scan(self.stored[index])

    @property
    def counts_in_light(self) -> float | None:
        """Mean counts of a pixel as a photon meets it, the least of all scans; None where values are no counts."""
        found = [counts_in_light(scan.patterns, scan.valid_pixels == 0) for scan in self.scans]
        known = [value for value in found if value is not None]
        return min(known) if len(known) == len(found) else None

    @property
    def probeGuess(self) -> Complex64Array:
        """Normalised probe (mode, N, N) of the first scan."""
        return self.scans[0].probe

    @property
    def positions_xy(self) -> Float64Array:
        """Position of the first pattern of every group of the first scan (group, 2), axis 1 = (x, y), pixels."""
        return self.coords_true[self.scan_index == 0, 0, :, 0]

    @property
    def object_of_position(self) -> IntArray:
        """Object of the first scan every one of `positions_xy` belongs to (group,)."""
        return np.asarray(self.object_index[self.scan_index == 0])


@dataclass(frozen=True)
class Description:
    """What `dataset.json` says; it is written last, so where it lies the data set is whole."""

    patterns: str
    """Digest of what the stored patterns depend on; names their folder."""
    groups: str
    """Digest of what the groups depend on; names their file."""
    n_scans: int
    """Number of scans."""
    normalize: str | None
    """'Batch', 'Group' or None."""
    probe_normalize: bool
    """Probes are normalised."""
    phase_subtraction: bool
    """Labels lose the mean phase of their group."""
    model: dict[str, Any]
    """Fields of the `ModelConfig` it was made for."""

    def patterns_folder(self, folder: Path) -> Path:
        """Return where the patterns of a data set in `folder` lie."""
        return folder / f"patterns-{self.patterns}"

    def groups_file(self, folder: Path) -> Path:
        """Return where the groups of a data set in `folder` lie."""
        return folder / f"groups-{self.groups}.npz"

    def as_json(self) -> str:
        """Return the text of `dataset.json`."""
        return json.dumps({"format": FORMAT, "version": VERSION, **asdict(self)}, indent=1)


def read_description(folder: Path) -> Description:
    """Read what a data set is.

    Args:
        folder: where it lies.

    Returns:
        Its description.

    Raises:
        DataFileNotFoundError: no data set lies there.
        DataError: the description is damaged, foreign, or of a newer version.
    """
    path = folder / DESCRIPTION_NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataFileNotFoundError(
            f"{folder} holds no data set ({DESCRIPTION_NAME} is missing). Create it with create_dataset."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read ({error}). Create the data set again.") from error
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
        raise DataError(f"{path} does not describe a data set of this package. Name another folder.")
    version = values.pop("version", None)
    if version != VERSION:
        raise DataError(
            f"{path} has format version {version!r}; this package reads version {VERSION}. "
            "Use the package it was made with, or create it again."
        )
    if set(values) != {item.name for item in fields(Description)}:
        raise DataError(f"{path} holds {sorted(values)}; its description is incomplete. Create the data set again.")
    rules = {
        "patterns": _is_digest(values["patterns"]),
        "groups": _is_digest(values["groups"]),
        "n_scans": type(values["n_scans"]) is int and values["n_scans"] > 0,
        "normalize": values["normalize"] in NORMALISATIONS,
        "probe_normalize": isinstance(values["probe_normalize"], bool),
        "phase_subtraction": isinstance(values["phase_subtraction"], bool),
        "model": isinstance(values["model"], dict),
    }
    for name, holds in rules.items():
        if not holds:
            raise DataError(f"{path} says {name} = {values[name]!r}, which no data set has. Create the data set again.")
    return Description(**values)


def _is_digest(value: object) -> bool:
    # It names a file, so it must not lead out of the folder.
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{32}", value) is not None


def open_dataset(folder: str | Path, model: ModelConfig | None = None) -> ScanDataset:
    """Open a data set; its sources need not exist any more.

    Args:
        folder: where it lies; it is only read.
        model: decides how probes are normalised; None takes the model the data set was made for.

    Returns:
        The data set.

    Raises:
        DataFileNotFoundError: no data set lies there.
        DataError: it is damaged, of a newer version, was made for another N or gridsize, or is rebuilt all the time.

    Warns:
        ScanWarning: what was found wrong with a scan when it was stored.
    """
    folder = Path(folder)
    for _ in range(_OPENINGS):
        written, description = _last_written(folder), read_description(folder)
        try:
            return _open_described(folder, description, model)
        except DataError:
            # Another process may have rebuilt the data set after its description was read, and removed those files.
            if written == _last_written(folder):
                raise
    raise DataError(
        f"The data set {folder} was rebuilt {_OPENINGS} times while it was opened. Wait until its builder has ended."
    )


def _last_written(folder: Path) -> tuple[int, int]:
    try:
        status = (folder / DESCRIPTION_NAME).stat()
    except OSError:
        return 0, 0
    return status.st_ino, status.st_mtime_ns


def _open_described(folder: Path, description: Description, model: ModelConfig | None) -> ScanDataset:
    made_for = _model_of(description, folder)
    model = made_for if model is None else model
    if (model.N, model.gridsize) != (made_for.N, made_for.gridsize):
        raise DataError(
            f"The data set {folder} was made for N = {made_for.N} and gridsize = {made_for.gridsize}; the model has "
            f"N = {model.N} and gridsize = {model.gridsize}. Create it again for this model, in another folder."
        )
    stored = [open_stored_scan(description.patterns_folder(folder), index) for index in range(description.n_scans)]
    rows = _read_groups(description.groups_file(folder), [len(scan.xcoords) for scan in stored], model.channels)
    dataset = assemble(folder, stored, rows, model, description)
    for scan in stored:
        scan.tell()
    return dataset


def assemble(
    folder: Path,
    stored: Sequence[StoredScan],
    pattern_rows: Sequence[IntArray],
    model: ModelConfig,
    description: Description,
) -> ScanDataset:
    """Put the groups of stored scans together.

    Args:
        folder: where the data set lies.
        stored: the scans.
        pattern_rows: rows of each scan's groups (group, channel).
        model: decides how probes are normalised.
        description: how patterns, probes and labels are normalised.

    Returns:
        The data set.

    Raises:
        DataError: a scan, or a group that is normalised alone, holds no photons.
    """
    containers = []
    for scan, rows in zip(stored, pattern_rows, strict=True):
        try:
            containers.append(_container(scan, rows, model, description))
        except DataError as error:
            raise DataError(f"{scan.name}: {error}") from error
    joined = PtychoDataContainer.concatenate(containers)
    sizes = [len(scan.photons) for scan in stored]
    return ScanDataset(
        **{item.name: getattr(joined, item.name) for item in fields(joined)},
        folder=folder,
        names=tuple(scan.name for scan in stored),
        n_patterns=sum(sizes),
        mean_photons=float(np.average([scan.photons.mean() for scan in stored], weights=sizes)),
        stored=tuple(stored),
    )


def _model_of(description: Description, folder: Path) -> ModelConfig:
    try:
        return ModelConfig(**description.model)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{folder / DESCRIPTION_NAME} names a model this package does not know ({error}). "
            "Create the data set again."
        ) from error


def _read_groups(path: Path, sizes: Sequence[int], channels: int) -> list[IntArray]:
    """Read the rows of each scan's groups; `sizes` are the scans' numbers of patterns."""
    groups = read_npz(path, ("scan_index", "pattern_rows"))
    index, rows = groups.get("scan_index"), groups.get("pattern_rows")
    if (
        index is None
        or rows is None
        or index.dtype != np.int32
        or rows.dtype != np.int32
        or index.ndim != 1
        or rows.shape != (len(index), channels)
        or np.any(np.diff(index) < 0)
        or not np.array_equal(np.unique(index), np.arange(len(sizes)))
        or np.any(rows < 0)
        or np.any(rows.max(axis=1) >= np.asarray(sizes)[index])
    ):
        raise DataError(f"{path} does not hold groups of the data set's {len(sizes)} scan(s). Create it again.")
    return np.split(rows, np.flatnonzero(np.diff(index)) + 1)


def _container(stored: StoredScan, rows: IntArray, model: ModelConfig, description: Description) -> PtychoDataContainer:
    scan = prepare_counted_scan(
        stored.patterns, stored.photons, stored.probeGuess, model, rows, stored.bad_pixels, stored.labels
    )
    if not description.probe_normalize:
        scan = replace(scan, probe=as_mode_stack(stored.probeGuess))
    scan = replace(scan, phase_subtraction=description.phase_subtraction)
    scan, factors = _normalised(scan, stored.photons[rows], model.N, description.normalize)
    coords = group_coordinates(stored.xcoords, stored.ycoords, rows)[0]
    nominal = coords
    if stored.xcoords_start is not None and stored.ycoords_start is not None:
        nominal = group_coordinates(stored.xcoords_start, stored.ycoords_start, rows)[0]
    return PtychoDataContainer(
        scans=(scan,),
        scan_index=np.zeros(len(rows), np.int32),
        pattern_rows=rows,
        nn_indices=rows,
        object_index=stored.scan_index[rows[:, 0]],
        coords_true=coords,
        coords_nominal=nominal,
        factors=factors,
    )


def _normalised(scan: Scan, photons: Float64Array, N: int, normalize: str | None) -> tuple[Scan, Float64Array]:
    """Return the scan with its factor, and the factor of every group; `photons` is (group, channel)."""
    if normalize is None:
        return replace(scan, normalisation=1.0), np.ones(len(photons))
    if normalize == "Group":
        dark = np.flatnonzero(photons.sum(axis=1) == 0)
        if len(dark):
            raise DataError(
                f"Group {dark[0]} holds no photons and cannot be normalised alone. "
                "Use normalize='Batch', or take the dark patterns out."
            )
        return scan, np.array([factor_from_photons(group, N) for group in photons])
    return scan, np.full(len(photons), scan.normalisation)
