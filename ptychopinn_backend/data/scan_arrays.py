"""From the arrays of a scan to the fields of `RawData`: checked, examined, mended where values are wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from ptychopinn_backend.arrays import AnyArray, BoolArray, Float32Array, IntArray
from ptychopinn_backend.data.findings.finding import Finding
from ptychopinn_backend.data.findings.layout import PATTERN_AXIS_KEY, is_axis_open, pattern_axis, unclear_axis
from ptychopinn_backend.data.findings.scan import ScanExaminer
from ptychopinn_backend.data.measurement import (
    COUNTS,
    NORMALISED,
    restoring_factor,
    seen_measurement,
    stated_measurement,
    to_amplitudes,
)
from ptychopinn_backend.data.scaling import IN_CACHE_ELEMENTS, count_photons, counts_to_amplitudes, pattern_slices
from ptychopinn_backend.data.scan_checks import check_label_patches, check_scan_facts

_LOOKED_AT_ELEMENTS: Final = 2 * IN_CACHE_ELEMENTS
"""Values that are looked at together: few enough for the cache, so many that the calls do not count."""
PER_POINT: Final = ("xcoords", "ycoords", "scan_index", "point_index", "Y", "xcoords_start", "ycoords_start")
"""Fields of `RawData` with one entry for each scan point, the patterns apart."""


class ExaminedScan(NamedTuple):
    """What the arrays of a scan came to."""

    fields: dict[str, Any]
    """Fields of `RawData`, findings among them."""
    kept: IntArray
    """Scan points that stay (point,), as counted in the file."""
    measurement: str
    """'counts', 'amplitudes' or 'normalised': what the patterns were."""


def check_scan(
    arrays: Mapping[str, AnyArray | None],
    measurement: str | None,
    metadata: Mapping[str, Any],
    out: Float32Array | None = None,
) -> dict[str, Any]:
    """Return the fields of `examine_scan` alone, with the same arguments."""
    return examine_scan(arrays, measurement, metadata, out).fields


def examine_scan(
    arrays: Mapping[str, AnyArray | None],
    measurement: str | None,
    metadata: Mapping[str, Any],
    out: Float32Array | None = None,
) -> ExaminedScan:
    """Check and examine all arrays of a scan, and turn its patterns into amplitudes.

    Args:
        arrays: by their names in the NPZ format; optional ones may be missing or None. Patterns are 'diffraction'.
        measurement: 'counts', 'amplitudes' or None.
        metadata: of the scan.
        out: zeros (pattern, N, N) that take the amplitudes of counts; None takes new memory.

    Returns:
        The fields of `RawData`, what stays, and what the patterns were.

    Raises:
        DataError: an array breaks the contract of specs/data.md.
    """
    name = "diffraction"
    axis, unclear = axis_of_cube(name, arrays["diffraction"], arrays["xcoords"], metadata)
    fields, patterns = check_scan_facts(arrays, {**metadata, **axis})
    fields["metadata"] = dict(metadata)
    fields["Y"] = check_label_patches(arrays.get("Y"), len(patterns), patterns.shape[1])
    examiner = ScanExaminer(fields, len(patterns), patterns.shape[1])
    stated = stated_measurement(measurement, metadata)
    amplitudes = _surveyed(examiner, patterns, stated, out)

    def pieces() -> Iterator[AnyArray]:
        return (patterns[part] for part in pattern_slices(patterns))

    values = examiner.impossible_values(name, pieces)
    good = examiner.good & ~values.bad_pixels
    shown = values.applied(pieces())
    kind = stated or seen_measurement(shown, None if good.all() else good, measurement, metadata)
    is_counted = kind == COUNTS or bool(metadata.get("measured_as_counts", False))
    verdict = examiner.verdict(values, pieces, are_amplitudes=kind != COUNTS, are_counted=is_counted)
    if verdict.bad_pixels is not None:
        fields["bad_pixels"] = verdict.bad_pixels
    keep_points(fields, verdict.kept)
    good_pixels = None if fields["bad_pixels"] is None else ~fields["bad_pixels"]
    if verdict.repair.changes_values:
        rest = verdict.repair.applied(pieces())
        fields["diff3d"] = _gathered(rest, (len(verdict.kept), *patterns.shape[1:]), kind, good_pixels, out)
    elif amplitudes is not None:
        if values.bad_pixels.any() or verdict.repair.bad_pixels.any():
            amplitudes[:, verdict.repair.bad_pixels | values.bad_pixels] = 0
        fields["diff3d"] = amplitudes
    else:
        fields["diff3d"] = to_amplitudes(patterns, kind, good_pixels, out)
    if kind == NORMALISED:
        factor = restoring_factor(metadata, float(count_photons(fields["diff3d"]).mean()))
        fields["diff3d"] = fields["diff3d"] * np.float32(factor)
    fields["measured_as_counts"] = is_counted
    found = (*fields["findings"], unclear, *verdict.findings)
    fields["findings"] = tuple(finding for finding in found if finding is not None)
    return ExaminedScan(fields, verdict.kept, kind)


def _surveyed(
    examiner: ScanExaminer, patterns: AnyArray, stated: str | None, out: Float32Array | None
) -> Float32Array | None:
    """Let the examiner look at all patterns, and turn counts into amplitudes while they are in the cache.

    Most scans need no mend, so that a second pass over a large array is saved.

    Args:
        examiner: of the scan.
        patterns: (pattern, N, N) in the unit of the file.
        stated: what they are said to be, or None.
        out: zeros that take the amplitudes; None takes new memory.

    Returns:
        The amplitudes, as they are where nothing is mended; None where the patterns are no counts, or it is not said.
    """
    good = None if examiner.good.all() else examiner.good
    amplitudes: Float32Array | None = None
    if stated == COUNTS:
        amplitudes = np.zeros(patterns.shape, np.float32) if out is None else out
    for part in pattern_slices(patterns, _LOOKED_AT_ELEMENTS):
        piece = patterns[part]
        examiner.survey.look(piece, part.start)
        if amplitudes is not None:
            # What is no count is found by the survey.
            with np.errstate(invalid="ignore", over="ignore"):
                counts_to_amplitudes(piece, good, amplitudes[part])
    return amplitudes


def _gathered(
    pieces: Iterator[AnyArray],
    shape: tuple[int, ...],
    kind: str,
    good_pixels: BoolArray | None,
    out: Float32Array | None,
) -> Float32Array:
    amplitudes = np.empty(shape, np.float32) if out is None else out[: shape[0]]
    done = 0
    for piece in pieces:
        amplitudes[done : done + len(piece)] = to_amplitudes(piece, kind, good_pixels)
        done += len(piece)
    return amplitudes


def keep_points(fields: dict[str, Any], kept: IntArray) -> None:
    """Leave out scan points from the fields of a scan, the patterns apart.

    Args:
        fields: fields of `RawData`; changed in place.
        kept: points that stay (point,), in rising order.
    """
    if len(kept) < len(fields["xcoords"]):
        for name in PER_POINT:
            if fields.get(name) is not None:
                fields[name] = fields[name][kept]


def axis_of_cube(
    name: str, patterns: AnyArray | None, xcoords: AnyArray | None, metadata: Mapping[str, Any]
) -> tuple[dict[str, int], Finding | None]:
    """Decide which axis of patterns counts them where shape and metadata leave it open.

    Args:
        name: of the patterns in messages.
        patterns: as in the file; only a cube is looked at.
        xcoords: as in the file; their number must be that of all three axes.
        metadata: of the scan.

    Returns:
        What is added to the metadata, and a finding where the patterns do not tell.
    """
    cube = np.asarray(patterns)
    if not is_axis_open(cube.shape, np.asarray(xcoords).size, metadata) or cube.dtype.kind not in "iuf":
        return {}, None
    axis = pattern_axis(cube)
    return {PATTERN_AXIS_KEY: axis or 0}, None if axis is not None else unclear_axis(name, cube.shape)
