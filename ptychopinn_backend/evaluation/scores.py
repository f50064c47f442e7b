"""Quality of a reconstruction, against the measured counts and against a ground truth or another reconstruction."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from ptychopinn_backend.arrays import BoolArray, Complex64Array, Float32Array, FloatArray
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import ConfigError, DataError
from ptychopinn_backend.evaluation import metrics
from ptychopinn_backend.evaluation.coverage import coverage
from ptychopinn_backend.evaluation.matching import doubt_of_likeness, doubts_of_target, explains_counts, matched_scan
from ptychopinn_backend.evaluation.scan_fit import scan_fit
from ptychopinn_backend.physics.scan_model import Interpolation
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

MAX_SHIFT_PX: Final = 8
"""A larger residual shift counts as a failed registration and is not applied."""
MIN_REGION_PX: Final = 16
"""Smallest side of the region on which objects are compared, pixels."""
MIN_RELATIVE_WEIGHT: Final = 0.1
"""Least fraction of the scan's median weight at which a pixel counts as covered."""

_SPLINE_MARGIN_PX: Final = 8
_SPLINE_ORDER: Final = 5


@dataclass(frozen=True, eq=False)
class AlignedObjects:
    """A reconstruction and its target on one pixel grid, where the scan covers both."""

    object: Complex64Array
    """The reconstruction (row, column): shifted, without global phase and ramp, its amplitude scaled to the target."""
    target: Complex64Array
    """The object to compare with (row, column), without its own phase ramp."""
    shift_rc_px: tuple[float, float]
    """Distance (row, column) of the reconstruction from the place that its origin gives, pixels."""
    amplitude_scale: float
    """Factor that scaled the amplitude of the reconstruction to that of the target."""
    region: tuple[slice, slice]
    """Rows and columns of the reconstruction that were compared, to the nearest pixel."""


def evaluate(
    reconstruction: Reconstruction,
    raw: RawData,
    truth: tuple[Complex64Array, tuple[float, float]] | None = None,
    reference: tuple[Complex64Array, tuple[float, float]] | None = None,
    interpolation: Interpolation = "bilinear",
) -> dict[str, Any]:
    """Measure the quality of a reconstruction, and warn of doubts that the scan or the truth belongs to it.

    Args:
        reconstruction: the reconstruction to measure.
        raw: the scan of the reconstruction; only the patterns of the reconstruction are taken.
        truth: the true object (row, column), and the place of scan coordinate (0, 0) in it (row, column), pixels.
        reference: another reconstruction of the scan in the same form; not together with `truth`.
        interpolation: method to read object patches between pixels for the R-factor. 'bilinear' is the model of this
            package. It dampens the finest detail of the object and its noise. Use 'fourier' to compare with numbers of
            iterative codes, which mostly shift by Fourier transform.

    Returns:
        JSON values by name. They are 'backend', 'n_patterns' ('n_patterns_of_scan' too, if that is larger),
        'interpolation' and the measures of `ScanFit`. If the reconstruction has them, there are also the origin of its
        'probe', its 'r_free' and 'free_deviance', and its time as 'elapsed_s' and 'patterns_per_s'. With a truth or a
        reference, there are 'compared_with' ('truth' or 'reference') and the values of `compare_objects`. With a truth,
        there are also the values of `coverage`.

    Raises:
        ConfigError: both a truth and a reference are given.
        DataError: the reconstruction is of another scan, or the scan covers too small a region to compare.
    """
    if truth is not None and reference is not None:
        raise ConfigError("a truth and a reference are given; one report compares with one of them. Leave one out.")
    matched = matched_scan(reconstruction, raw)
    _tell(matched.doubts)
    used = matched.raw
    report: dict[str, Any] = {"backend": reconstruction.backend, "n_patterns": used.n_patterns}
    if used.n_patterns != raw.n_patterns:
        report["n_patterns_of_scan"] = raw.n_patterns
    report |= {"interpolation": interpolation, **asdict(scan_fit(reconstruction, used, interpolation))}
    if isinstance(reconstruction.info.get("probe"), str):
        report["probe"] = reconstruction.info["probe"]
    for name in ("r_free", "free_deviance"):
        if isinstance(reconstruction.info.get(name), float):
            report[name] = reconstruction.info[name]
    elapsed_s = reconstruction.info.get("elapsed_s")
    if isinstance(elapsed_s, int | float) and elapsed_s > 0:
        report |= {"elapsed_s": float(elapsed_s), "patterns_per_s": used.n_patterns / elapsed_s}
    target = reference if truth is None else truth
    if target is not None:
        name = "reference" if truth is None else "truth"
        report["compared_with"] = name
        aligned = align_objects(reconstruction, *target, used.positions_xy)
        found = compare_objects(aligned)
        _tell(doubts_of_target(*target, name, used.positions_xy))
        correlations = found["amplitude_correlation"], found["phase_correlation"]
        # A reference may belong to another, shifted probe, so that only its own scan would explain it.
        is_explained = truth is None or explains_counts(*truth, reconstruction, used)
        doubt = doubt_of_likeness(correlations, name, is_explained)
        _tell([] if doubt is None else [doubt])
        report |= found | ({} if truth is None else coverage(reconstruction, aligned))
    return report


def _tell(doubts: Iterable[str]) -> None:
    for doubt in doubts:
        warnings.warn(doubt, UserWarning, stacklevel=3)


def align_objects(
    reconstruction: Reconstruction,
    target: Complex64Array,
    target_origin_rc: tuple[float, float],
    positions_xy: FloatArray,
) -> AlignedObjects:
    """Bring a reconstruction onto the pixels of a target, and cut both to the rectangle that the scan covers.

    The origins give the place of both. A cross-correlation (scikit-image) finds the remaining sub-pixel shift, and
    spline interpolation removes it, in turns with the phase ramp.

    Args:
        reconstruction: the object to move.
        target: the object to compare with (row, column).
        target_origin_rc: place of scan coordinate (0, 0) in `target` (row, column), pixels.
        positions_xy: scan positions (pattern, 2), axis 1 = (x, y), pixels.

    Returns:
        Both objects on one grid.

    Raises:
        DataError: the region that scan, reconstruction and target share is too small.
    """
    from skimage.registration import phase_cross_correlation

    to_source = np.subtract(reconstruction.origin_rc, target_origin_rc)
    rows, columns = _common_region(reconstruction, target, np.asarray(target_origin_rc), to_source, positions_xy)
    cut = metrics.remove_phase_ramp(target[rows, columns])
    window = metrics.hann_window(cut.shape)
    shift = np.zeros(2)
    for _ in range(4):
        moved = _sample(reconstruction.object, rows, columns, to_source + shift)
        moved = metrics.remove_phase_ramp(moved, cut)
        pair = [(image - image.mean()) * window for image in (cut, moved)]
        found, _, _ = phase_cross_correlation(*pair, upsample_factor=100, normalization=None)
        if np.abs(found).max() < 0.02 or np.abs(shift - found).max() > MAX_SHIFT_PX:
            break
        shift = shift - found
    power = float(np.sum(np.abs(moved) ** 2, dtype=np.float64))
    scale = float(np.sum(np.abs(moved * cut), dtype=np.float64)) / power if power > 0 else 1.0
    return AlignedObjects(
        object=np.asarray(moved * scale, np.complex64),
        target=cut,
        shift_rc_px=(float(shift[0]), float(shift[1])),
        amplitude_scale=scale,
        region=_moved_by(rows, columns, to_source + shift),
    )


def compare_objects(aligned: AlignedObjects) -> dict[str, Any]:
    """Return the measures of similarity of two aligned objects.

    Args:
        aligned: two objects from `align_objects`.

    Returns:
        Values by name: PSNR (dB), SSIM and MAE of amplitude and phase (radians), and Pearson correlations. There is
        also the half-period in pixels at which the ring correlation of the complex objects falls below the half-bit
        threshold (1 is the Nyquist limit). The rest are the residual shift in pixels, the fitted amplitude scale, and
        the size of the compared region in pixels, both as (row, column).
    """
    obj, target = aligned.object, aligned.target
    phase, target_phase = metrics.relative_phases(obj, target)
    amplitude, target_amplitude = np.abs(obj), np.abs(target)
    return {
        "amplitude_psnr_db": metrics.psnr(amplitude, target_amplitude),
        "amplitude_ssim": metrics.ssim(amplitude, target_amplitude),
        "amplitude_mae": metrics.mae(amplitude, target_amplitude),
        "phase_psnr_db": metrics.psnr(phase, target_phase),
        "phase_ssim": metrics.ssim(phase, target_phase),
        "phase_mae_rad": metrics.mae(phase, target_phase),
        "amplitude_correlation": metrics.amplitude_correlation(obj, target),
        "phase_correlation": metrics.phase_correlation(obj, target),
        "frc_half_bit_px": _half_bit_resolution_px(aligned),
        "shift_rc_px": list(aligned.shift_rc_px),
        "amplitude_scale": aligned.amplitude_scale,
        "region_px": list(target.shape),
    }


def half_data_frc_px(even: Reconstruction, odd: Reconstruction, positions_xy: FloatArray) -> float:
    """Return the resolution to which two reconstructions of one object from different patterns agree.

    Both come from one model, one probe and one set of positions, and share their errors. So the true resolution is not
    better than this.

    Args:
        even: reconstruction of the patterns 0, 2, 4, ...
        odd: reconstruction of the patterns 1, 3, 5, ...
        positions_xy: all scan positions (pattern, 2), axis 1 = (x, y), pixels.

    Returns:
        Half-period in pixels where the ring correlation falls below the half-bit threshold; 1 is the Nyquist limit.

    Raises:
        DataError: the scan covers too small a region to compare.
    """
    return _half_bit_resolution_px(align_objects(even, odd.object, odd.origin_rc, positions_xy))


def _half_bit_resolution_px(aligned: AlignedObjects) -> float:
    return metrics.frc_resolution_px(object_correlation(aligned))


def object_correlation(aligned: AlignedObjects) -> metrics.FourierRingCorrelation:
    """Return the ring correlation of two aligned complex objects, windowed and without their means.

    Args:
        aligned: two objects from `align_objects`.

    Returns:
        The curve.
    """
    window = metrics.hann_window(aligned.target.shape)
    obj, target = ((image - image.mean()) * window for image in (aligned.object, aligned.target))
    return metrics.frc(obj, target)


def _moved_by(rows: slice, columns: slice, offset_rc: FloatArray) -> tuple[slice, slice]:
    down, right = np.rint(offset_rc).astype(int).tolist()
    return slice(rows.start + down, rows.stop + down), slice(columns.start + right, columns.stop + right)


def _sample(obj: Complex64Array, rows: slice, columns: slice, offset_rc: FloatArray) -> Complex64Array:
    """Read an object at the pixels of a region that is moved by a fractional offset."""
    from scipy.ndimage import shift as spline_shift

    whole = np.floor(offset_rc).astype(int)
    taken, inner = [], []
    for region, start, length in zip((rows, columns), whole, obj.shape, strict=True):
        first = max(0, region.start + start - _SPLINE_MARGIN_PX)
        taken.append(slice(first, min(length, region.stop + start + 1 + _SPLINE_MARGIN_PX)))
        inner.append(slice(region.start + start - first, region.stop + start - first))
    moved = spline_shift(obj[tuple(taken)], whole - offset_rc, order=_SPLINE_ORDER, mode="nearest")
    return np.asarray(moved[tuple(inner)], np.complex64)


def _common_region(
    reconstruction: Reconstruction,
    target: Complex64Array,
    target_origin_rc: FloatArray,
    to_source: FloatArray,
    positions_xy: FloatArray,
) -> tuple[slice, slice]:
    """Return the rows and columns of the target that lie within the scan and both objects, with room for a shift."""
    scan = positions_xy[:, ::-1]
    first = np.maximum(scan.min(axis=0) + target_origin_rc, np.maximum(0, MAX_SHIFT_PX + 1 - to_source))
    room = np.array(reconstruction.object.shape) - to_source - MAX_SHIFT_PX - 2
    last = np.minimum(scan.max(axis=0) + target_origin_rc + 1, np.minimum(target.shape, room))
    r0, c0 = np.ceil(first).astype(int)
    r1, c1 = np.floor(last).astype(int)
    if reconstruction.weight is not None and r1 > r0 and c1 > c0:
        start = np.rint(to_source).astype(int)
        weight = reconstruction.weight[r0 + start[0] : r1 + start[0], c0 + start[1] : c1 + start[1]]
        top, bottom, left, right = _compared_rectangle(weight)
        r0, r1, c0, c1 = r0 + top, r0 + bottom, c0 + left, c0 + right
    if min(r1 - r0, c1 - c0) < MIN_REGION_PX:
        raise DataError(
            f"scan, reconstruction and target share a region of {max(0, r1 - r0)} x {max(0, c1 - c0)} pixels; a "
            f"comparison needs at least {MIN_REGION_PX} x {MIN_REGION_PX}. Check that both are of this scan, and where "
            "their origins lie."
        )
    return slice(int(r0), int(r1)), slice(int(c0), int(c1))


def _compared_rectangle(weight: Float32Array) -> tuple[int, int, int, int]:
    """Return (top, bottom, left, right) of the region that the light covers.

    If patterns overlap too little, there are holes everywhere. The region then includes the holes.
    """
    positive = weight[weight > 0]
    covered = weight >= MIN_RELATIVE_WEIGHT * np.median(positive) if positive.size else np.zeros(weight.shape, bool)
    top, bottom, left, right = _covered_rectangle(covered)
    if min(bottom - top, right - left) < MIN_REGION_PX:
        from scipy.ndimage import binary_fill_holes

        return _covered_rectangle(binary_fill_holes(covered))
    return top, bottom, left, right


def _covered_rectangle(covered: BoolArray) -> tuple[int, int, int, int]:
    """Return (top, bottom, left, right) after the least covered edges are cut until hardly a hole is left."""
    top, left = 0, 0
    bottom, right = covered.shape
    while bottom > top and right > left and covered[top:bottom, left:right].mean() < 0.998:
        edges = {
            "top": covered[top, left:right].mean(),
            "bottom": covered[bottom - 1, left:right].mean(),
            "left": covered[top:bottom, left].mean(),
            "right": covered[top:bottom, right - 1].mean(),
        }
        worst = min(edges, key=lambda edge: edges[edge])
        top, left = top + (worst == "top"), left + (worst == "left")
        bottom, right = bottom - (worst == "bottom"), right - (worst == "right")
    return top, bottom, left, right
