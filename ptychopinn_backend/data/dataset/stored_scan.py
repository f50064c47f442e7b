"""One scan of a data set: converted to disk piece by piece, and opened again."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray, BoolArray, Complex64Array, Float64Array, IntArray
from ptychopinn_backend.config.checks import require_choice
from ptychopinn_backend.data.dataset.options import DatasetOptions
from ptychopinn_backend.data.dataset.sources import ScanFile, is_stored_as_it_is, stored_dtype
from ptychopinn_backend.data.dataset.stored_rows import StoredRows, row_writer
from ptychopinn_backend.data.decisions import tell
from ptychopinn_backend.data.findings.finding import Finding, warn_of
from ptychopinn_backend.data.findings.repair import PatternRepair
from ptychopinn_backend.data.findings.scan import ScanExaminer, Verdict
from ptychopinn_backend.data.findings.survey import PatternSurvey
from ptychopinn_backend.data.labels import label_patches, require_label_source
from ptychopinn_backend.data.measurement import (
    AMPLITUDES,
    COUNTS,
    NORMALISED,
    restoring_factor,
    seen_measurement,
    stated_measurement,
    to_amplitudes,
)
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.scaling import count_photons, pattern_slices
from ptychopinn_backend.data.scan_arrays import keep_points
from ptychopinn_backend.data.scan_checks import (
    check_bad_pixels,
    check_label_patches,
    check_object,
    check_positions,
    check_probe,
    decisions,
    parse_metadata,
)
from ptychopinn_backend.data.scan_index import check_scan_index
from ptychopinn_backend.errors import ConfigError, DataError
from ptychopinn_backend.files.npz import METADATA_KEY, read_npz, write_npz

logger = logging.getLogger(__name__)

_NEEDED: Final = ("xcoords", "ycoords", "scan_index", "probeGuess", "photons")
_OPTIONAL: Final = ("xcoords_start", "ycoords_start", "bad_pixels", "point_index")
_OBJECT: Final = "objectGuess"
_OF_FINDING: Final = ("name", "part", "severity", "evidence", "remedy")


@dataclass(frozen=True, eq=False)
class StoredScan:
    """A scan of a data set; its patterns and labels stay on disk."""

    name: str
    """Name of the file it came from."""
    xcoords: Float64Array
    """Columns of the scan positions (pattern,), object pixels."""
    ycoords: Float64Array
    """Rows of the scan positions (pattern,), object pixels."""
    scan_index: IntArray
    """Object every scan point belongs to (pattern,)."""
    probeGuess: Complex64Array
    """Probe as given (mode, N, N)."""
    photons: Float64Array
    """Sum of squared amplitudes of every pattern (pattern,)."""
    patterns: StoredRows
    """Amplitudes (pattern, N, N)."""
    labels: StoredRows | None
    """Ground-truth patches (pattern, N, N), or None."""
    bad_pixels: BoolArray | None = None
    """(N, N), True = bad."""
    xcoords_start: Float64Array | None = None
    """Nominal columns (pattern,)."""
    ycoords_start: Float64Array | None = None
    """Nominal rows (pattern,)."""
    measured_as_counts: bool = False
    """The patterns were photon counts before the square root was taken."""
    point_index: IntArray | None = None
    """Number of every scan point in its file (pattern,), where `scan_index` of the file was that."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What the file said of itself."""
    facts_file: Path | None = None
    """Where all but patterns and labels lies."""
    findings: tuple[Finding, ...] = ()
    """What was found wrong when it was stored, and what was done about it; without points and pixels."""

    @property
    def shown_path(self) -> Path:
        """Path by which messages name it: the name of its file, in the folder of the data set."""
        return Path(self.name) if self.facts_file is None else self.facts_file.parent.parent / self.name

    def tell(self) -> None:
        """Warn of what was found, as was done when it was stored."""
        warn_of(self.findings, self.shown_path)

    def read_object(self) -> Complex64Array | None:
        """Return the object (H, W) the file came with, or None; it may be large, and a training does without."""
        if self.facts_file is None:
            return None
        return check_object(read_npz(self.facts_file, (_OBJECT,)).get(_OBJECT))[0]


def store_scan(scan: ScanFile, folder: Path, index: int, options: DatasetOptions) -> None:
    """Convert a scan file into the files of a data set; no more than a few million values are in memory at a time.

    Args:
        scan: the file.
        folder: folder to write to.
        index: number of the scan in the data set.
        options: measurement and labels.

    Raises:
        DataError: the values break the contract of specs/data.md, or labels are missing.
        OSError: the disk is full or refuses.
    """
    try:
        described, verdict = _store_patterns(scan, _pattern_path(folder, index), options)
        if options.with_labels:
            _store_labels(scan, _label_path(folder, index), verdict.kept)
    except DataError as error:
        said = str(error)
        named = said if str(scan.path) in said else f"{scan.path}: {scan.opened.in_its_words(said)}"
        raise DataError(named) from error
    tell((*scan.opened.notes, *decisions(scan.opened.members, scan.facts)), scan.path)
    findings = (*scan.facts["findings"], *scan.opened.findings_in_its_words(verdict.findings))
    warn_of(findings, scan.path)
    facts = {**scan.facts, "bad_pixels": scan.facts["bad_pixels"] if verdict.bad_pixels is None else verdict.bad_pixels}
    keep_points(facts, verdict.kept)
    members = {name: facts.get(name) for name in (*_NEEDED, *_OPTIONAL, _OBJECT)}
    members["photons"] = described.pop("photons")
    described["metadata"] = dict(scan.opened.metadata)
    described["findings"] = [{name: getattr(item, name) for name in _OF_FINDING} for item in findings]
    members[METADATA_KEY] = np.array(json.dumps(described))
    write_npz(facts_path(folder, index), {name: values for name, values in members.items() if values is not None})
    logger.info("Stored %d patterns of %d x %d pixels from %s.", len(verdict.kept), scan.N, scan.N, scan.path)


def open_stored_scan(folder: Path, index: int) -> StoredScan:
    """Open a scan of a data set.

    Args:
        folder: folder of its files.
        index: number of the scan.

    Returns:
        The scan.

    Raises:
        DataError: a file is missing or damaged.
    """
    members = read_npz(facts_path(folder, index), (*_NEEDED, *_OPTIONAL, METADATA_KEY))
    described = parse_metadata(members.pop(METADATA_KEY, None))
    missing = [name for name in _NEEDED if name not in members]
    if missing or not {"name", "measurement", "labels"} <= described.keys():
        raise DataError(f"{facts_path(folder, index)} lacks {missing or 'its description'}. Create the data set again.")
    patterns = StoredRows.open(_pattern_path(folder, index), described["measurement"])
    if patterns.shape[0] != len(members["xcoords"]):
        raise DataError(
            f"{patterns.path} holds {patterns.shape[0]} patterns for {len(members['xcoords'])} scan points. "
            "Create the data set again."
        )
    labels = StoredRows.open(_label_path(folder, index)) if described["labels"] else None
    try:
        facts = _checked_facts(members, patterns.shape)
        require_choice("measurement", described["measurement"], (COUNTS, AMPLITUDES))
    except (DataError, ConfigError) as error:
        raise DataError(f"{facts_path(folder, index)}: {error} Create the data set again.") from error
    counted = bool(described.get("measured_as_counts", described["measurement"] == COUNTS))
    told = described.get("metadata")
    return StoredScan(
        name=str(described["name"]),
        patterns=patterns,
        labels=labels,
        measured_as_counts=counted,
        # Data sets of an earlier version lack it.
        metadata=told if isinstance(told, dict) else {},
        findings=_findings(described.get("findings")),
        facts_file=facts_path(folder, index),
        **facts,
    )


def _findings(told: object) -> tuple[Finding, ...]:
    """Return findings as they were described; data sets of an earlier version have none."""
    found = [item for item in told if isinstance(item, dict)] if isinstance(told, list) else []
    texts: list[dict[str, Any]] = [{name: str(item.get(name, "")) for name in _OF_FINDING} for item in found]
    return tuple(Finding(**text) for text in texts)


def _checked_facts(members: Mapping[str, AnyArray], shape: tuple[int, ...]) -> dict[str, Any]:
    per_point = ("xcoords", "ycoords", "photons", "xcoords_start", "ycoords_start")
    return {
        **{name: check_positions(name, members[name], shape[0]) for name in per_point if name in members},
        **check_scan_index(members["scan_index"], shape[0], "objects", members.get("point_index")),
        "probeGuess": check_probe(members["probeGuess"], shape[1]),
        "bad_pixels": check_bad_pixels(members.get("bad_pixels")),
    }


def _store_patterns(scan: ScanFile, path: Path, options: DatasetOptions) -> tuple[dict[str, Any], Verdict]:
    """Write patterns while they are looked at; only where something is wrong with them are they written anew."""
    examiner = ScanExaminer(scan.facts, scan.n_patterns, scan.N)
    metadata = scan.facts["metadata"]
    measurement = options.measurement or options.reading.measurement
    stated = stated_measurement(measurement, metadata)
    is_copy = is_stored_as_it_is(scan.dtype)
    first_kind = stated if stated in (COUNTS, AMPLITUDES) else AMPLITUDES
    once = _Storing(scan, path, first_kind, scan.facts["bad_pixels"], PatternRepair.nothing(scan.N))
    photons = once.write(_looked_at(scan, examiner.survey))

    def pieces() -> Iterator[AnyArray]:
        # Decoding a large file takes long, and what is stored as it is says the same.
        return StoredRows.open(path).pieces() if is_copy else _pieces(scan)

    values = examiner.impossible_values("diffraction", pieces)
    good = examiner.good & ~values.bad_pixels
    kind = stated or seen_measurement(values.applied(pieces()), good, measurement, metadata)
    are_counted = kind == COUNTS or bool(metadata.get("measured_as_counts", False))
    verdict = examiner.verdict(values, pieces, are_amplitudes=kind != COUNTS, are_counted=are_counted)
    as_stored = replace(once, kind=kind)
    is_mended = verdict.repair.changes_values or bool(verdict.repair.bad_pixels.any())
    if kind != first_kind and as_stored.is_copy and not is_mended:
        # The values are there already, and only mean something else.
        once, photons = as_stored, as_stored.photons_of(pieces())
    elif kind != first_kind or is_mended:
        bad = scan.facts["bad_pixels"] if verdict.bad_pixels is None else verdict.bad_pixels
        once = _Storing(scan, path.with_suffix(".anew.npy"), kind, bad, verdict.repair)
        photons = once.write(pieces(), pieces)
        once.path.replace(path)
    return {
        "name": scan.path.name,
        "measurement": kind if once.is_copy else AMPLITUDES,
        "labels": options.with_labels,
        "measured_as_counts": are_counted,
        "photons": photons,
    }, verdict


@dataclass(frozen=True, eq=False)
class _Storing:
    """How the patterns of a scan are written."""

    scan: ScanFile
    path: Path
    kind: str
    bad_pixels: BoolArray | None
    repair: PatternRepair

    @property
    def is_copy(self) -> bool:
        """Whether the values in the file are those of the scan, apart from bad pixels and repairs."""
        return self.kind != NORMALISED and is_stored_as_it_is(self.scan.dtype)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values in the file."""
        return stored_dtype(self.scan.dtype) if self.is_copy else np.dtype(np.float32)

    def write(self, found: Iterable[AnyArray], again: Callable[[], Iterable[AnyArray]] = tuple) -> Float64Array:
        """Write the patterns that stay.

        Args:
            found: all patterns of the scan, in pieces.
            again: gives them once more, where their scale must be known first.

        Returns:
            Photons of each pattern that stays (pattern,).
        """
        good = None if self.bad_pixels is None else ~self.bad_pixels
        n_kept = len(self.repair.kept(self.scan.n_patterns))
        photons = np.empty(n_kept, np.float64)
        factor = np.float32(self._factor(again, good))
        done = 0
        shape = (n_kept, self.scan.N, self.scan.N)
        with row_writer(self.path, shape, self.dtype) as append, np.errstate(invalid="ignore", over="ignore"):
            for piece in self.repair.applied(iter(found)):
                amplitudes = to_amplitudes(piece, self.kind, good)
                if self.kind == NORMALISED:
                    amplitudes = amplitudes * factor
                photons[done : done + len(piece)] = count_photons(amplitudes)
                done += len(piece)
                kept = piece if good is None else np.where(good, piece, piece.dtype.type(0))
                append(kept if self.is_copy else amplitudes)
        return photons

    def photons_of(self, found: Iterable[AnyArray]) -> Float64Array:
        """Return the photons of patterns (pattern,), given in pieces."""
        good = None if self.bad_pixels is None else ~self.bad_pixels
        return np.concatenate([count_photons(to_amplitudes(piece, self.kind, good)) for piece in found])

    def _factor(self, again: Callable[[], Iterable[AnyArray]], good: BoolArray | None) -> float:
        """Return the factor that brings normalised amplitudes to the photons that are stated; 1 for all others."""
        if self.kind != NORMALISED:
            return 1.0
        kept = self.repair.applied(iter(again()))
        total = sum(float(count_photons(to_amplitudes(piece, AMPLITUDES, good)).sum()) for piece in kept)
        return restoring_factor(self.scan.facts["metadata"], total / len(self.repair.kept(self.scan.n_patterns)))


def _looked_at(scan: ScanFile, survey: PatternSurvey) -> Iterator[AnyArray]:
    """Yield the patterns of a file while a survey looks at them."""
    done = 0
    for first, piece in _numbered(_pieces(scan)):
        survey.look(piece, first)
        done = first + len(piece)
        yield piece
    if done != scan.n_patterns:
        raise DataError(f"it holds {done} patterns where it declares {scan.n_patterns}. Write the file again.")


def _pieces(scan: ScanFile) -> Iterator[AnyArray]:
    """Yield the patterns of a file, a few million values at a time."""
    for piece in scan.opened.patterns.pieces():
        yield from (piece[part] for part in pattern_slices(piece))


def _numbered(pieces: Iterable[AnyArray]) -> Iterator[tuple[int, AnyArray]]:
    """Yield pieces with the number of their first pattern."""
    first = 0
    for piece in pieces:
        yield first, piece
        first += len(piece)


def _store_labels(scan: ScanFile, path: Path, kept: IntArray) -> None:
    labels = scan.opened.labels
    with row_writer(path, (len(kept), scan.N, scan.N), np.dtype(np.complex64)) as append:
        for piece in _labels_of_object(scan, kept) if labels is None else _labels_of_file(scan, labels.pieces(), kept):
            append(piece)


def _labels_of_file(scan: ScanFile, pieces: Iterable[AnyArray], kept: IntArray) -> Iterator[Complex64Array]:
    done = 0
    for first, piece in _numbered(pieces):
        patches = check_label_patches(piece, len(piece), scan.N)
        if patches is not None:
            done += len(patches)
            yield patches[kept[(kept >= first) & (kept < first + len(piece))] - first]
    if done != scan.n_patterns:
        raise DataError(f"Y holds {done} patches for {scan.n_patterns} scan points. Give one per scan point.")


def _labels_of_object(scan: ScanFile, kept: IntArray) -> Iterator[Complex64Array]:
    no_patterns = np.broadcast_to(np.float32(0), (len(kept), scan.N, scan.N))
    facts = dict(scan.facts)
    keep_points(facts, kept)
    raw = RawData(diff3d=no_patterns, **facts)
    require_label_source(raw)
    for points in pattern_slices(no_patterns):
        patches = label_patches(raw, np.arange(points.start, points.stop))
        if patches is not None:
            yield patches


def facts_path(folder: Path, index: int) -> Path:
    """Return the file of a scan that has all but its patterns and labels.

    Args:
        folder: folder of the files of the scans.
        index: number of the scan.

    Returns:
        The file.
    """
    return folder / f"scan-{index:05d}.npz"


def _pattern_path(folder: Path, index: int) -> Path:
    return folder / f"scan-{index:05d}-patterns.npy"


def _label_path(folder: Path, index: int) -> Path:
    return folder / f"scan-{index:05d}-labels.npy"
