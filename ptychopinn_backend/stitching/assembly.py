"""Stitching of patches to one object, in the frame of the scan and at the scale of the probe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptychopinn_backend.arrays import (
    BoolArray,
    Complex64Array,
    ComplexArray,
    Float32Array,
    FloatArray,
    require_shape,
)
from ptychopinn_backend.errors import ConfigError, DataError
from ptychopinn_backend.physics.object_patches import (
    WindowSpreader,
    add_patches,
    window_corners,
    window_places,
)
from ptychopinn_backend.physics.scan_model import pattern_batches, scan_intensities
from ptychopinn_backend.stitching.canvas import require_covered
from ptychopinn_backend.stitching.weight import WeightSum, copy_shifted

LIT_PHOTONS = 4.0
"""Photons that make a pixel known. With fewer, its phase is known to half a radian at best, and it is set to 0."""
LIT_PART = 0.1
"""In a scan with few photons, a pixel is known from this part of the typical light on; only the rim is then unknown."""
_WITHIN = 0.05
"""Pixels with more than this part of the largest light lie within the scan."""
FEWEST_HELD = 128
"""Least number of patches whose phases are found together; in noise, fewer patches fit each other less well."""


@dataclass(frozen=True)
class ObjectFrame:
    """Shape of an object array, and its place relative to the scan."""

    shape: tuple[int, int]
    """Lengths of the array (row, column)."""
    origin_rc: tuple[float, float]
    """Place of scan coordinate (0, 0) in the array (row, column), pixels."""

    @classmethod
    def covering(cls, positions_xy: FloatArray, N: int) -> ObjectFrame:
        """Return the smallest frame that holds every patch, at whole pixels from scan coordinate (0, 0).

        Args:
            positions_xy: scan positions (pattern, 2), axis 1 = (x, y), pixels.
            N: patch side in pixels.

        Returns:
            The frame.

        Raises:
            DataError: there is no position, one is not finite, or they lie so far apart that nearly all stays empty.
        """
        require_shape("positions_xy", positions_xy, (None, 2), "(pattern, 2)")
        if not len(positions_xy):
            raise DataError("0 positions span no object; at least one is needed. Check the scan.")
        height, width = (np.ptp(positions_xy, axis=0)[::-1] + (N + 1)).tolist()
        require_covered((height, width), positions_xy, N)
        corners, _ = window_corners((0.0, 0.0), positions_xy, N)
        first = corners.min(axis=0)
        rows, columns = corners.max(axis=0) - first + N + 1
        return cls(shape=(int(rows), int(columns)), origin_rc=(float(-first[0]), float(-first[1])))

    @classmethod
    def centred(cls, positions_xy: FloatArray, M: int) -> ObjectFrame:
        """Return the square frame of `reassemble_position`, whose centre is the mean position.

        Args:
            positions_xy: positions (pattern, 2), axis 1 = (x, y), pixels.
            M: side in pixels of the square that is placed at each position.

        Returns:
            The frame, of side M + 2 * c. Here c is the largest distance of a position from the mean along an axis,
            rounded up to an even number.

        Raises:
            DataError: positions lie so far apart that nearly all of the frame stays empty.
        """
        mean = positions_xy.mean(axis=0, dtype=np.float64)
        side = M + 2 * 2 * int(np.ceil(np.abs(positions_xy - mean).max() / 2))
        require_covered((side, side), positions_xy, M)
        return cls(shape=(side, side), origin_rc=(side / 2 - float(mean[1]), side / 2 - float(mean[0])))


@dataclass(frozen=True)
class StitchedObject:
    """Object that is stitched from patches."""

    object: Complex64Array
    """Object (row, column)."""
    weight: Float32Array
    """Sum of the patches' weights (row, column); 0 where no patch reaches."""
    frame: ObjectFrame
    """Place of the object in the scan."""


def probe_weight(probe: ComplexArray) -> Float32Array:
    """Return the weight of every patch pixel: the light on it, since the data say more about pixels with more light.

    Args:
        probe: probe (mode, N, N) or (N, N).

    Returns:
        Sum over modes of |P|^2, divided by its maximum (N, N).

    Raises:
        DataError: the probe is zero everywhere or not finite.
    """
    intensity = np.sum(np.abs(probe.reshape(-1, *probe.shape[-2:])) ** 2, axis=0, dtype=np.float64)
    brightest = intensity.max()
    if not (np.isfinite(brightest) and brightest > 0):
        raise DataError(
            f"the probe's brightest intensity is {brightest}; it must be finite and positive. Check the probe."
        )
    return np.asarray(intensity / brightest, np.float32)


def central_weight(N: int, M: int) -> Float32Array:
    """Return a weight of 1 in the central M x M pixels of a patch and 0 around them.

    Args:
        N: patch side in pixels.
        M: side of the kept centre, 1 to N.

    Returns:
        Weights (N, N).

    Raises:
        ConfigError: M is not in 1..N.
    """
    require_crop(M, N)
    weight = np.zeros((N, N), np.float32)
    first = (N - M) // 2
    weight[first : first + M, first : first + M] = 1
    return weight


class ObjectAssembler:
    """Adds patches one after another and gives the object at the end, with bounded memory for any number of patches.

    Patches are held until they fill `hold_bytes` (but at least `FEWEST_HELD` patches), or until a result is asked for.
    The held patches are aligned to each other and to the earlier ones, and then added to the object.
    """

    def __init__(
        self,
        frame: ObjectFrame,
        N: int,
        weight: Float32Array,
        *,
        align_phases: bool = True,
        hold_bytes: int = 1 << 24,
    ) -> None:
        """Start an empty object.

        Args:
            frame: frame of the object; parts of patches outside it are dropped.
            N: patch side in pixels.
            weight: weight of every patch pixel (N, N), not negative; see `probe_weight` and `central_weight`.
            align_phases: True aligns the global phases of the patches before averaging. False is for phases that are
                consistent already.
            hold_bytes: memory for patches that wait for their phase, bytes; at least that of `FEWEST_HELD` patches.
        """
        require_shape("weight", weight, (N, N), "(row, column)")
        self._frame = frame
        self._N = N
        self._align_phases = align_phases
        self._sum = np.zeros(frame.shape, np.complex64)
        self._weight = WeightSum(frame.shape, weight)
        # The spreader is used again for every block of patches, since fresh memory costs more than the writing.
        self._spreader = WindowSpreader(N, np.complex64, weight)
        capacity = max(FEWEST_HELD, hold_bytes // ((N + 1) ** 2 * 8)) if align_phases else 0
        self._held_windows = np.empty((capacity, N + 1, N + 1), np.complex64)
        self._held_corners = np.empty((capacity, 2), np.int64)
        self._n_held = 0

    def add(self, patches: ComplexArray, positions_xy: FloatArray) -> None:
        """Add patches.

        Args:
            patches: patches (pattern, N, N).
            positions_xy: centres of the patches (pattern, 2), axis 1 = (x, y), pixels.

        Raises:
            DataError: patches and positions do not fit each other or the assembler.
        """
        require_shape("patches", patches, (len(positions_xy), self._N, self._N), "(pattern, N, N)")
        corners, fractions = window_corners(self._frame.origin_rc, positions_xy, self._N)
        self._weight.add(corners, fractions)
        given = np.asarray(patches, np.complex64)
        if not self._align_phases:
            self._spreader.add(self._sum, given, corners, fractions)
            return
        start = 0
        while start < len(given):
            room = slice(self._n_held, min(self._n_held + len(given) - start, len(self._held_windows)))
            taken = slice(start, start + room.stop - room.start)
            self._spreader.spread(given[taken], fractions[taken], self._held_windows[room])
            self._held_corners[room] = corners[taken]
            self._n_held, start = room.stop, taken.stop
            if self._n_held == len(self._held_windows):
                self._add_held()

    def result(self, fill: complex = 0.0, min_relative_weight: float = 1e-3) -> StitchedObject:
        """Return the weighted mean of the patches so far; more patches may be added afterwards.

        Args:
            fill: value of pixels without enough weight.
            min_relative_weight: least weight that is enough, as a fraction of the largest weight.

        Returns:
            The object, its weight and its frame.
        """
        self._add_held()
        return self._mean(self._sum, fill, min_relative_weight)

    def so_far(self) -> StitchedObject:
        """Return the same as `result`, but keep the patches waiting, so that the result of later ones is unchanged."""
        total = self._sum.copy()
        self._align_held(total)
        return self._mean(total, 0.0, 1e-3)

    def move_to(self, frame: ObjectFrame) -> None:
        """Continue in another frame. Patches keep their place in the scan, and parts outside the frame are dropped.

        Args:
            frame: new frame, at whole pixels from the present one.

        Raises:
            DataError: the distance between the frames is not a whole number of pixels.
        """
        apart = np.subtract(frame.origin_rc, self._frame.origin_rc)
        row, column = (int(pixels) for pixels in np.rint(apart))
        if (apart != (row, column)).any():
            raise DataError(
                f"The frames' origins {self._frame.origin_rc} and {frame.origin_rc} are not whole pixels apart. Choose "
                "frames that are."
            )
        moved = np.zeros(frame.shape, np.complex64)
        copy_shifted(self._sum, moved, (row, column))
        self._weight.move(frame.shape, (row, column))
        self._held_corners[: self._n_held] += (row, column)
        self._frame, self._sum = frame, moved

    def _mean(self, total: Complex64Array, fill: complex, min_relative_weight: float) -> StitchedObject:
        weight = self._weight.total()
        enough = weight > min_relative_weight * weight.max(initial=0.0)
        stitched = np.full(self._frame.shape, fill, np.complex64)
        np.divide(total, weight, out=stitched, where=enough)
        return StitchedObject(object=stitched, weight=weight, frame=self._frame)

    def _add_held(self) -> None:
        self._align_held(self._sum)
        self._n_held = 0

    def _align_held(self, total: Complex64Array) -> None:
        windows, corners = self._held_windows[: self._n_held], self._held_corners[: self._n_held]
        # This import waits for the first patches, since a program that only predicts does not need SciPy.
        from ptychopinn_backend.stitching.alignment import add_aligned

        add_aligned(total, windows, corners, window_places(corners, self._N + 1, self._frame.shape))


def light_on(frame: ObjectFrame, probe: ComplexArray, positions_xy: FloatArray, mean_counts: float) -> Float32Array:
    """Return the photons that fall on every pixel of an object during a scan.

    Args:
        frame: frame of the object.
        probe: probe (mode, N, N), at any scale.
        positions_xy: scan positions (pattern, 2), axis 1 = (x, y), pixels.
        mean_counts: mean counts of a pattern.

    Returns:
        Sum over patterns and modes of |P|^2, scaled to the measured counts (row, column).
    """
    intensity = np.sum(np.abs(probe) ** 2, axis=0, dtype=np.float64)
    light = WeightSum(frame.shape, np.asarray(intensity * (mean_counts / intensity.sum()), np.float32))
    light.add(*window_corners(frame.origin_rc, positions_xy, probe.shape[-1]))
    return light.total()


def lit_pixels(light: Float32Array) -> BoolArray:
    """Return the pixels that got enough light to be known.

    Args:
        light: photons during the scan (row, column), from `light_on`.

    Returns:
        Mask (row, column), True for at least `LIT_PHOTONS` photons. If `LIT_PART` of the median within the scan is
        less, this is enough.
    """
    within = light[light > _WITHIN * light.max(initial=0.0)]
    typical = float(np.median(within)) if within.size else 0.0
    return np.asarray((light >= min(LIT_PHOTONS, LIT_PART * typical)) & (light > 0))


def counts_scale(
    obj: Complex64Array,
    frame: ObjectFrame,
    probe: Complex64Array,
    positions_xy: FloatArray,
    amplitudes: FloatArray,
    valid_pixels: BoolArray | None = None,
    max_patterns: int | None = 512,
) -> float:
    """Return the factor s for which sum over modes of |F(P * s * O)|^2 has as many counts as were measured.

    The closed form is s^2 = sum of counts / sum of model intensity, over the valid pixels.

    Args:
        obj: the object (row, column).
        frame: frame of the object.
        probe: probe (mode, N, N).
        positions_xy: scan positions (pattern, 2), axis 1 = (x, y), pixels.
        amplitudes: square roots of the counts (pattern, N, N), zero frequency at the array centre.
        valid_pixels: detector pixels to use (N, N); None uses all.
        max_patterns: number of patterns to use, spread evenly over the scan; None uses all.

    Returns:
        The factor s.

    Raises:
        DataError: the model predicts no light on the valid pixels.
    """
    require_shape("amplitudes", amplitudes, (len(positions_xy), *probe.shape[-2:]), "(pattern, N, N)")
    use = np.ones(probe.shape[-2:], bool) if valid_pixels is None else valid_pixels.astype(bool)
    measured = predicted = 0.0
    for batch in pattern_batches(len(positions_xy), probe, max_patterns):
        model = scan_intensities(obj, frame.origin_rc, probe, positions_xy[batch])
        measured += float(np.sum(np.square(amplitudes[batch], dtype=np.float64)[:, use]))
        predicted += float(np.sum(model[:, use], dtype=np.float64))
    if not (np.isfinite(predicted) and predicted > 0):
        raise DataError(
            f"object times probe predicts {predicted} counts on the valid pixels, so no scale brings it to the "
            "measured counts; it must be finite and positive. Check the probe and the mask of bad pixels."
        )
    return float(np.sqrt(measured / predicted))


def reassemble_position(patches: ComplexArray, global_offsets: FloatArray, M: int = 20) -> Complex64Array:
    """Average the central M x M pixels of patches on a canvas centred on the mean position.

    The canvas is square with side M + 2 * c, where c is the largest distance of a position from the mean along an axis,
    rounded up to an even number. The mean position lies at side / 2. Every pixel is the sum of the shifted patches,
    divided by the sum of equally shifted ones + 1e-9. Phases are not aligned.

    Args:
        patches: patches (pattern, N, N), or (group, N, N, channel).
        global_offsets: positions (pattern, 2), or (group, 1, 2, channel); the axis of length 2 is (x, y), pixels.
        M: side of the kept centre in pixels.

    Returns:
        The canvas (row, column).

    Raises:
        DataError: patches and positions do not fit each other.
        ConfigError: M is not in 1..N.
    """
    if patches.ndim == 4:
        patches = np.moveaxis(patches, -1, 1).reshape(-1, *patches.shape[1:3])
    if global_offsets.ndim == 4:
        global_offsets = np.moveaxis(global_offsets[:, 0], -1, 1).reshape(-1, 2)
    N = patches.shape[-1]
    require_shape("patches", patches, (None, N, N), "(pattern, N, N)")
    require_shape("global_offsets", global_offsets, (len(patches), 2), "(pattern, 2)")
    require_crop(M, N)
    frame = ObjectFrame.centred(global_offsets, M)
    centred = global_offsets - global_offsets.mean(axis=0, dtype=np.float64)
    first = (N - M) // 2
    crops = patches[:, first : first + M, first : first + M].astype(np.complex64)
    origin = (frame.shape[0] / 2, frame.shape[1] / 2)
    canvas, ones = np.zeros(frame.shape, np.complex64), np.zeros(frame.shape, np.float32)
    add_patches(canvas, crops, origin, centred)
    add_patches(ones, np.broadcast_to(np.float32(1), crops.shape), origin, centred)
    return canvas / (ones + np.float32(1e-9))


def require_crop(M: int, N: int) -> None:
    """Raise unless the central M x M pixels of a patch of side N exist."""
    if not 1 <= M <= N:
        raise ConfigError(
            f"M = {M} pixels cannot be cropped from a patch of N = {N}; M must be in 1..N. Choose such an M."
        )
