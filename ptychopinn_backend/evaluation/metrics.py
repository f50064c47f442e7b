"""Measures of quality for reconstructions: similarity of images, Fourier ring correlation, R-factor of counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from ptychopinn_backend.arrays import AnyArray, BoolArray, Complex64Array, ComplexArray, Float64Array, FloatArray
from ptychopinn_backend.errors import DataError

SSIM_WINDOW_PX: Final = 7
"""Side of the window of the structural similarity, pixels."""
FRC_WINDOW_RINGS: Final = 5
"""Number of rings over which the mean of a curve must be below the threshold at the end of the resolution."""


def psnr(image: FloatArray, truth: FloatArray, data_range: float | None = None) -> float:
    """Return the peak signal-to-noise ratio in dB, as in scikit-image; it is infinite for equal images.

    Args:
        image: image (row, column).
        truth: true image (row, column).
        data_range: peak value; None takes max - min of the truth, or 1 if the truth is constant.

    Returns:
        10 log10(data_range^2 / mean squared error).

    Raises:
        DataError: the images differ in shape.
    """
    from skimage.metrics import peak_signal_noise_ratio

    _require_same_shape(image, truth)
    if np.array_equal(image, truth):
        return float("inf")
    peak = _range_of(truth) if data_range is None else data_range
    return float(peak_signal_noise_ratio(truth.astype(np.float64), image.astype(np.float64), data_range=peak))


def ssim(image: FloatArray, truth: FloatArray, data_range: float | None = None) -> float:
    """Return the mean structural similarity (Wang et al. 2004) in 7 x 7 windows, as in scikit-image; at most 1.

    Args:
        image: image (row, column).
        truth: true image (row, column).
        data_range: peak value; None takes max - min of the truth, or 1 if the truth is constant.

    Returns:
        The mean over all windows; 1 for equal images.

    Raises:
        DataError: the images differ in shape or are smaller than a window.
    """
    from skimage.metrics import structural_similarity

    _require_same_shape(image, truth)
    if min(truth.shape) < SSIM_WINDOW_PX:
        raise DataError(
            f"an image of shape {truth.shape} has no structural similarity; both sides must be at least "
            f"{SSIM_WINDOW_PX} pixels. Compare a larger region."
        )
    peak = _range_of(truth) if data_range is None else data_range
    similarity = structural_similarity(
        truth.astype(np.float64), image.astype(np.float64), data_range=peak, win_size=SSIM_WINDOW_PX
    )
    return float(similarity)


def mae(image: AnyArray, truth: AnyArray) -> float:
    """Return the mean absolute error.

    Args:
        image: image (row, column), real or complex.
        truth: true image (row, column), real or complex.

    Returns:
        Mean of |image - truth|.

    Raises:
        DataError: the images differ in shape.
    """
    _require_same_shape(image, truth)
    return float(np.mean(np.abs(np.subtract(image, truth)), dtype=np.float64))


@dataclass(frozen=True)
class FourierRingCorrelation:
    """Correlation of two images over rings of equal spatial frequency."""

    correlation: Float64Array
    """One value per ring, 0 to 1; ring k has the frequencies nearest to k / side."""
    pixels: Float64Array
    """Number of Fourier pixels in every ring."""
    side: int
    """Longer side of the images in pixels."""

    @property
    def frequency_per_px(self) -> Float64Array:
        """Spatial frequency of every ring in cycles per pixel; 0.5 is the Nyquist limit."""
        return np.arange(len(self.correlation)) / self.side

    def half_bit_threshold(self) -> Float64Array:
        """Return the half-bit criterion of van Heel and Schatz (2005) for every ring."""
        root = np.sqrt(self.pixels)
        return np.asarray((0.2071 + 1.9102 / root) / (1.2071 + 0.9102 / root))


def frc(image_a: AnyArray, image_b: AnyArray) -> FourierRingCorrelation:
    """Correlate the Fourier transforms of two images ring by ring.

    The correlation of a ring is |sum F_a conj(F_b)| / sqrt(sum |F_a|^2 sum |F_b|^2); a ring without power gives 1.
    Rings reach into the corners of Fourier space. No window is applied; see `hann_window`.

    Args:
        image_a: image (row, column), real or complex.
        image_b: other image (row, column), real or complex.

    Returns:
        The curve.

    Raises:
        DataError: the images differ in shape.
    """
    _require_same_shape(image_a, image_b)
    side = max(image_a.shape)
    row, column = (np.fft.fftfreq(length) * side for length in image_a.shape)
    ring = np.rint(np.hypot(row[:, None], column)).astype(np.int64).ravel()
    a, b = (np.fft.fft2(image.astype(np.complex128)).ravel() for image in (image_a, image_b))
    cross = a * np.conj(b)
    joint = np.hypot(np.bincount(ring, cross.real), np.bincount(ring, cross.imag))
    power = np.sqrt(np.bincount(ring, np.abs(a) ** 2) * np.bincount(ring, np.abs(b) ** 2))
    correlation = np.divide(joint, power, out=np.ones_like(joint), where=power > 0)
    return FourierRingCorrelation(correlation, np.bincount(ring).astype(np.float64), side)


def frc_resolution_px(curve: FourierRingCorrelation, threshold: Literal["half-bit"] | float = "half-bit") -> float:
    """Return the half-period in pixels where a curve falls below a threshold and stays there; 1 is the Nyquist limit.

    A single ring says little. The innermost rings say least, since they have only a few pixels, and there a curve may
    fall below its threshold by chance. So a ring counts only if it is below the threshold, and if the mean of curve
    minus threshold over it and the next four rings is negative too. The criterion is that of van Heel and Schatz
    (2005). The smoothing before the search follows Nieuwenhuizen et al. (2013). It goes towards one side only, so that
    the crossing keeps its place.

    Args:
        curve: a ring correlation.
        threshold: 'half-bit', or a constant such as 0.5 or 0.143.

    Returns:
        0.5 / frequency of the crossing (linear between rings). It is 1 if the curve stays above the threshold up to the
        Nyquist limit, and infinity if it is below from the first ring on.
    """
    last = min(curve.side // 2, len(curve.correlation) - 1)
    level = curve.half_bit_threshold() if threshold == "half-bit" else np.full(len(curve.correlation), threshold)
    excess = curve.correlation - level
    below = [
        ring for ring in range(1, last + 1) if excess[ring] < 0 and excess[ring : ring + FRC_WINDOW_RINGS].mean() < 0
    ]
    if not below:
        return 1.0
    ring = below[0]
    if ring == 1:
        return float("inf")
    before = max(excess[ring - 1], 0.0)
    crossing = ring - 1 + before / (before - excess[ring])
    return float(0.5 * curve.side / crossing)


def hann_window(shape: tuple[int, int]) -> Float64Array:
    """Return a window (row, column) that falls to zero at the borders, so that edges leave no cross in an FFT."""
    row, column = (np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 2 for length in shape)
    return np.outer(row, column)


def remove_plane(image: FloatArray) -> Float64Array:
    """Return a real image (row, column) minus its least-squares plane."""
    row, column = np.indices(image.shape, np.float64)
    terms = np.stack([row.ravel(), column.ravel(), np.ones(image.size)], axis=1)
    values = image.astype(np.float64).ravel()
    plane = terms @ np.linalg.lstsq(terms, values, rcond=None)[0]
    return np.asarray((values - plane).reshape(image.shape))


def remove_phase_ramp(obj: ComplexArray, reference: ComplexArray | None = None) -> Complex64Array:
    """Remove the phases that ptychography does not fix: a global phase and a linear ramp.

    The mean phase step between neighbouring pixels gives the ramp. A least-squares plane through the rest refines it.

    Args:
        obj: object (row, column).
        reference: object (row, column) to which the phase is taken relative; None takes the phase itself.

    Returns:
        The object times exp(-i plane) (row, column).
    """
    product = obj.astype(np.complex128) if reference is None else obj * np.conj(reference).astype(np.complex128)
    row, column = np.indices(obj.shape, np.float64)
    row_step = np.angle(np.vdot(product[:-1], product[1:]))
    column_step = np.angle(np.vdot(product[:, :-1], product[:, 1:]))
    plane = row_step * row + column_step * column
    plane += np.angle(np.sum(product * np.exp(-1j * plane)))
    rest = product * np.exp(-1j * plane)
    weight = np.sqrt(np.abs(rest)).ravel()
    terms = np.stack([row.ravel(), column.ravel(), np.ones(obj.size)], axis=1)
    fit = np.linalg.lstsq(terms * weight[:, None], np.angle(rest).ravel() * weight, rcond=None)[0]
    plane += (terms @ fit).reshape(obj.shape)
    return np.asarray(obj * np.exp(-1j * plane), np.complex64)


def relative_phases(obj: ComplexArray, reference: ComplexArray) -> tuple[Float64Array, Float64Array]:
    """Return the phases of two aligned objects so that they differ by less than half a turn everywhere.

    Args:
        obj: object (row, column); its phase is close to that of the reference.
        reference: object (row, column).

    Returns:
        Phases of the object and of the reference (row, column), radians. The mean phase of the reference is zero.
    """
    turned = reference * np.exp(-1j * np.angle(np.sum(reference)))
    reference_phase = np.angle(turned).astype(np.float64)
    return reference_phase + np.angle(obj * np.conj(reference)), reference_phase


def phase_correlation(obj: ComplexArray, reference: ComplexArray) -> float:
    """Return the Pearson correlation of the phases of two aligned objects (row, column)."""
    return _pearson(*relative_phases(obj, reference))


def amplitude_correlation(obj: ComplexArray, reference: ComplexArray) -> float:
    """Return the Pearson correlation of the amplitudes of two aligned objects (row, column)."""
    return _pearson(np.abs(obj), np.abs(reference))


@dataclass
class RFactorSum:
    """Sums for the R-factor of patterns that come in batches: sum |A - A_model| / sum A over valid pixels."""

    difference: float = 0.0
    """Sum of |A - A_model|."""
    total: float = 0.0
    """Sum of A."""

    def add(self, amplitudes: FloatArray, model_amplitudes: FloatArray, valid: BoolArray | None = None) -> None:
        """Add patterns.

        Args:
            amplitudes: measured square roots of counts (pattern, N, N).
            model_amplitudes: square roots of predicted counts (pattern, N, N).
            valid: detector pixels to use (N, N); None uses all.
        """
        where: Any = True if valid is None else valid
        self.difference += float(np.sum(np.abs(amplitudes - model_amplitudes), where=where, dtype=np.float64))
        self.total += float(np.sum(amplitudes, where=where, dtype=np.float64))

    @property
    def value(self) -> float:
        """The R-factor so far.

        Raises:
            DataError: only zeros were measured.
        """
        if not self.total > 0:
            raise DataError(
                f"the valid amplitudes sum to {self.total}; an R-factor needs some. Check the mask and the data."
            )
        return self.difference / self.total


def r_factor(amplitudes: FloatArray, model_amplitudes: FloatArray, valid: BoolArray | None = None) -> float:
    """Return the R-factor sum |A - A_model| / sum A, where A is the square root of counts.

    Args:
        amplitudes: measured square roots of counts (pattern, N, N).
        model_amplitudes: square roots of predicted counts (pattern, N, N).
        valid: detector pixels to use (N, N); None uses all.

    Returns:
        The R-factor; 0 is perfect.

    Raises:
        DataError: only zeros were measured.
    """
    factor = RFactorSum()
    factor.add(amplitudes, model_amplitudes, valid)
    return factor.value


def poisson_floor_r_factor(
    model_amplitudes: FloatArray, valid: BoolArray | None = None, rng: np.random.Generator | None = None
) -> float:
    """Return the R-factor of a perfect model: that of a Poisson draw of the model against the model.

    Args:
        model_amplitudes: square roots of predicted counts (pattern, N, N).
        valid: detector pixels to use (N, N); None uses all.
        rng: generator of random numbers; None takes one with seed 0.

    Returns:
        The R-factor of photon noise alone.

    Raises:
        DataError: the model predicts no photon.
    """
    generator = np.random.default_rng(0) if rng is None else rng
    drawn = np.sqrt(generator.poisson(np.square(model_amplitudes, dtype=np.float64)))
    return r_factor(drawn, model_amplitudes, valid)


def _pearson(a: FloatArray, b: FloatArray) -> float:
    """Return the correlation; NaN for a constant image. `scipy.stats.pearsonr` would warn, and is slow to import."""
    _require_same_shape(a, b)
    a, b = a - a.mean(dtype=np.float64), b - b.mean(dtype=np.float64)
    norm = float(np.sqrt(np.sum(a**2) * np.sum(b**2)))
    return float(np.sum(a * b)) / norm if norm > 0 else float("nan")


def _range_of(truth: FloatArray) -> float:
    return float(truth.max() - truth.min()) or 1.0


def _require_same_shape(a: AnyArray, b: AnyArray) -> None:
    if a.shape != b.shape or a.ndim != 2:
        raise DataError(
            f"images of shapes {a.shape} and {b.shape} cannot be compared; both must be one (row, column) shape."
        )
