"""A scan as measured: positions, patterns, and what is known of probe and object."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ptychopinn_backend.arrays import AnyArray, BoolArray, Complex64Array, Float32Array, Float64Array, IntArray
from ptychopinn_backend.config.checks import require_positive_integer
from ptychopinn_backend.config.reading import ASK_THE_FILE, Reading
from ptychopinn_backend.data.decisions import tell
from ptychopinn_backend.data.findings.finding import Finding, warn_of
from ptychopinn_backend.data.findings.layout import PATTERN_AXIS_KEY
from ptychopinn_backend.data.grouping import GroupingOptions, Groups, group_positions
from ptychopinn_backend.data.mapped_patterns import selected_patterns
from ptychopinn_backend.data.measurement import AMPLITUDES, STATED_PHOTONS
from ptychopinn_backend.data.readers.array_source import read_whole, stand_in
from ptychopinn_backend.data.readers.door import open_scan
from ptychopinn_backend.data.readers.own_files import LABELS, SMALL_KEYS
from ptychopinn_backend.data.scaling import count_photons, counts_in_light
from ptychopinn_backend.data.scan_arrays import PER_POINT, check_scan
from ptychopinn_backend.data.scan_calls import ScanCalls
from ptychopinn_backend.data.scan_checks import check_scan_facts, decisions
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.files.npz import METADATA_KEY, write_npz

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class RawData(ScanCalls):
    """One file or one measurement; build it with `from_file`, `from_arrays` or `from_coords_without_pc`."""

    xcoords: Float64Array
    """Columns of the scan positions (pattern,), object pixels."""
    ycoords: Float64Array
    """Rows of the scan positions (pattern,), object pixels."""
    diff3d: Float32Array
    """Far-field amplitudes (pattern, N, N), the square root of counts; zero frequency at the array centre."""
    scan_index: IntArray
    """Object every scan point belongs to (pattern,) int32."""
    probeGuess: Complex64Array | None = None
    """Probe (mode, N, N); intensities of the modes add."""
    objectGuess: Complex64Array | None = None
    """Object (H, W); scan coordinate (0, 0) is its pixel (0, 0)."""
    Y: Complex64Array | None = None
    """Ground-truth patches (pattern, N, N)."""
    bad_pixels: BoolArray | None = None
    """Detector pixels to ignore (N, N), True = bad."""
    xcoords_start: Float64Array | None = None
    """Nominal columns (pattern,), object pixels."""
    ycoords_start: Float64Array | None = None
    """Nominal rows (pattern,), object pixels."""
    point_index: IntArray | None = None
    """Number of every scan point in its file (pattern,), where `scan_index` of the file was that."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """What the file says of itself, for example nphotons."""
    measured_as_counts: bool = False
    """The patterns were photon counts before the square root was taken."""
    findings: tuple[Finding, ...] = ()
    """What was found wrong when it was read, and what was done about it; points counted as in the file."""
    files: tuple[Path, ...] = ()
    """What it was read from; none for arrays."""

    @property
    def heading(self) -> str:
        """What a message about this scan begins with: its file; empty for arrays."""
        return f"{self.files[0]}: " if self.files else ""

    @property
    def n_patterns(self) -> int:
        """Number of scan points."""
        return len(self.diff3d)

    @property
    def N(self) -> int:
        """Pattern side in pixels."""
        return int(self.diff3d.shape[1])

    @property
    def positions_xy(self) -> Float64Array:
        """Scan positions (pattern, 2), axis 1 = (x, y), object pixels."""
        return np.stack([self.xcoords, self.ycoords], axis=1)

    @property
    def object_of_position(self) -> IntArray:
        """Object every position belongs to (pattern,), `scan_index`."""
        return self.scan_index

    @property
    def mean_photons(self) -> float:
        """Mean over patterns of the sum of squared amplitudes."""
        return float(count_photons(self.diff3d).mean())

    @property
    def counts_in_light(self) -> float | None:
        """Mean counts of a pixel as a photon meets it (`scaling.counts_in_light`), or None."""
        return counts_in_light(self.diff3d, self.bad_pixels)

    @classmethod
    def from_file(cls, path: str | Path, measurement: str | None = None, *, reading: Reading = ASK_THE_FILE) -> RawData:
        """Read a scan from a file of any format of `ptychopinn formats`.

        Args:
            path: NPZ, HDF5 or CXI, or one half of a scan whose other half lies beside it; what it holds says which.
            measurement: 'counts' or 'amplitudes'; None asks `reading`, then the file, then looks at the values.
            reading: what the user states about the file.

        Returns:
            The scan, patterns as amplitudes.

        Raises:
            DataFileNotFoundError: no file lies there.
            DataError: the file is of no known format, lacks something, or holds values that break the contract.
        """
        opened = open_scan(Path(path), reading)
        try:
            # What does not fit together is refused before a large file is read.
            metadata = opened.pattern_first()
            check_scan_facts({**opened.members, "diffraction": stand_in(opened.patterns)}, metadata)
            arrays = {**opened.members, "diffraction": read_whole(opened.patterns, opened.path)}
            if opened.labels is not None:
                arrays["Y"] = read_whole(opened.labels, opened.path)
            fields = check_scan(arrays, measurement or reading.measurement, metadata)
        except DataError as error:
            words = opened.in_its_words(str(error))
            raise DataError(words if str(opened.path) in words else f"{opened.path}: {words}") from error
        tell((*opened.notes, *decisions(arrays, fields)), opened.path)
        raw = cls(**{**fields, "metadata": dict(opened.metadata), "files": opened.files})
        raw.findings = opened.findings_in_its_words(raw.findings)
        warn_of(raw.findings, opened.path)
        logger.info("Read %d patterns of %d x %d pixels from %s.", raw.n_patterns, raw.N, raw.N, opened.path)
        return raw

    @classmethod
    def from_arrays(
        cls,
        xcoords: AnyArray,
        ycoords: AnyArray,
        patterns: AnyArray,
        probe: AnyArray | None = None,
        *,
        measurement: str | None,
        scan_index: AnyArray | None = None,
        object_guess: AnyArray | None = None,
        bad_pixels: AnyArray | None = None,
        xcoords_start: AnyArray | None = None,
        ycoords_start: AnyArray | None = None,
        Y: AnyArray | None = None,
        metadata: Mapping[str, Any] | None = None,
        out: Float32Array | None = None,
    ) -> RawData:
        """Build a scan from arrays.

        Args:
            xcoords: columns of the scan positions (pattern,), object pixels.
            ycoords: rows of the scan positions (pattern,), object pixels.
            patterns: (pattern, N, N) or (N, N, pattern), counts or amplitudes; float32 amplitudes are not copied.
            probe: (N, N) or (mode, N, N) complex.
            measurement: 'counts' or 'amplitudes'; None asks `metadata`, then looks at the values.
            scan_index: object every scan point belongs to (pattern,); None means one object.
            object_guess: (H, W) complex.
            bad_pixels: (N, N), True = bad; patterns become 0 there.
            xcoords_start: nominal columns (pattern,).
            ycoords_start: nominal rows (pattern,).
            Y: ground-truth patches (pattern, N, N[, 1]) complex.
            metadata: kept with the scan; its 'measurement' may say what the patterns are.
            out: zeros (pattern, N, N) that take the amplitudes of counts, for example in a mapped file; None takes new
                memory.

        Returns:
            The scan, patterns as amplitudes.

        Raises:
            DataError: an array breaks the contract of specs/data.md.
        """
        arrays = {
            "xcoords": xcoords,
            "ycoords": ycoords,
            "diffraction": patterns,
            "probeGuess": probe,
            "scan_index": scan_index,
            "objectGuess": object_guess,
            "bad_pixels": bad_pixels,
            "xcoords_start": xcoords_start,
            "ycoords_start": ycoords_start,
            "Y": Y,
        }
        fields = check_scan(arrays, measurement, metadata or {}, out)
        tell(decisions(arrays, fields))
        raw = cls(**fields)
        warn_of(raw.findings)
        return raw

    @classmethod
    def from_coords_without_pc(
        cls,
        xcoords: AnyArray,
        ycoords: AnyArray,
        diff3d: AnyArray,
        probeGuess: AnyArray | None,
        scan_index: AnyArray | None,
        objectGuess: AnyArray | None = None,
    ) -> RawData:
        """Build a scan without nominal positions (legacy name); patterns are amplitudes.

        Args:
            xcoords: columns of the scan positions (pattern,), object pixels.
            ycoords: rows of the scan positions (pattern,), object pixels.
            diff3d: amplitudes (pattern, N, N).
            probeGuess: (N, N) or (mode, N, N) complex.
            scan_index: object every scan point belongs to (pattern,).
            objectGuess: (H, W) complex.

        Returns:
            The scan.

        Raises:
            DataError: an array breaks the contract of specs/data.md.
        """
        return cls.from_arrays(
            xcoords,
            ycoords,
            diff3d,
            probeGuess,
            measurement=AMPLITUDES,
            scan_index=scan_index,
            object_guess=objectGuess,
        )

    def to_file(self, path: str | Path) -> None:
        """Write the scan as a training NPZ; an existing file is replaced as a whole.

        Args:
            path: file to write; missing folders are made.

        Raises:
            OSError: the folder cannot be made or written.
        """
        members = self.members()
        first = {"diffraction": members.pop("diffraction"), METADATA_KEY: np.array(json.dumps(self.described()))}
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_npz(path, {**first, **members})

    def members(self) -> dict[str, AnyArray]:
        """Return the arrays of the scan by their names in the NPZ format; those it does not have are missing."""
        found = {"diffraction": self.diff3d, **{key: getattr(self, key, None) for key in (*SMALL_KEYS, LABELS)}}
        return {key: value for key, value in found.items() if value is not None}

    def described(self) -> dict[str, Any]:
        """Return the metadata that say what `members` are."""
        described = {**self.metadata, "measurement": AMPLITUDES, "measured_as_counts": self.measured_as_counts}
        described |= {"scan_index": "objects", PATTERN_AXIS_KEY: 0}
        return {key: value for key, value in described.items() if key not in ("measurement_domain", STATED_PHOTONS)}

    def select(self, indices: IntArray | BoolArray) -> RawData:
        """Return the scan points at `indices`, in that order.

        Args:
            indices: whole numbers, or one flag per scan point.

        Returns:
            A scan of those points; probe, object and metadata are shared.

        Raises:
            DataError: an index lies outside the scan, or none is left.
        """
        try:
            chosen = np.arange(self.n_patterns)[np.asarray(indices)]
        except IndexError as error:
            raise DataError(f"The scan has {self.n_patterns} points: {error}. Choose indices inside it.") from error
        if chosen.size == 0:
            raise DataError(f"None of the {self.n_patterns} scan points was selected. Select at least one.")
        arrays = {name: getattr(self, name) for name in PER_POINT}
        kept = {name: array[chosen] for name, array in arrays.items() if array is not None}
        return replace(self, diff3d=selected_patterns(self.diff3d, chosen), **kept)

    def by_object(self) -> dict[int, RawData]:
        """Return the scan of every object in it by its `scan_index`; a single one is this scan itself."""
        found = np.unique(self.scan_index).tolist()
        if len(found) == 1:
            return {found[0]: self}
        return {index: self.select(self.scan_index == index) for index in found}

    def subsample(self, n: int, seed: int | None = None) -> RawData:
        """Return `n` scan points drawn without replacement, in scan order.

        Args:
            n: points to keep.
            seed: makes the draw reproducible.

        Returns:
            A scan of those points; this one when it has no more than `n`.

        Raises:
            ConfigError: `n` is not a whole number above 0.
        """
        require_positive_integer("n_subsample", n)
        if n >= self.n_patterns:
            if n > self.n_patterns:
                logger.warning("n_subsample = %d is more than the scan's %d points; all are kept.", n, self.n_patterns)
            return self
        return self.select(subsampled_points(self.n_patterns, n, seed))

    def form_groups(self, options: GroupingOptions) -> Groups:
        """Group neighbouring scan points.

        Args:
            options: how groups are drawn.

        Returns:
            The groups, with nominal positions where the scan has them.

        Raises:
            DataError: too few neighbours or points for the group size, or more groups than points.
        """
        return group_positions(
            self.xcoords,
            self.ycoords,
            options,
            scan_index=self.scan_index,
            xcoords_start=self.xcoords_start,
            ycoords_start=self.ycoords_start,
        )


def subsampled_points(n_points: int, n: int, seed: int | None) -> IntArray:
    """Draw scan points without replacement.

    Args:
        n_points: points of the scan.
        n: points to draw, at most `n_points`.
        seed: makes the draw reproducible.

    Returns:
        (n,) in scan order.
    """
    return np.sort(np.random.default_rng(seed).choice(n_points, n, replace=False))
