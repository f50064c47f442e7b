"""A scan with patterns of another size: the detector cropped, or surrounded by pixels that measure nothing.

A smaller detector sees less of the far field, so that a pixel of the object becomes wider: N pixels of the one cover
the same length as M of the other. Positions in pixels, probe and object follow.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
from scipy import ndimage

from ptychopinn_backend.arrays import AnyArray, BoolArray, Complex64Array, ComplexArray, Float64Array
from ptychopinn_backend.config import PATTERN_SIZES
from ptychopinn_backend.config.checks import require_choice
from ptychopinn_backend.data.raw_data import RawData

_WIDTHS: Final = ("object_pixel_width_m", "object_pixel_height_m")


def resized(scan: RawData, N: int) -> RawData:
    """Crop the patterns of a scan around their centre, or pad them with pixels that are marked as bad.

    Args:
        scan: the scan.
        N: pattern side to come to, one that a network takes.

    Returns:
        A scan whose probe times object gives the same counts at the pixels that are left; the scan itself where it
        has that size.

    Raises:
        ConfigError: no network takes that size.
    """
    require_choice("size", N, PATTERN_SIZES)
    if scan.N == N:
        return scan
    scale = N / scan.N
    measured = _centre_of(np.ones((scan.N, scan.N), np.bool_), N)
    bad = ~measured if scan.bad_pixels is None else _centre_of(scan.bad_pixels, N) | ~measured
    metadata = {name: value / scale if name in _WIDTHS else value for name, value in scan.metadata.items()}
    return replace(
        scan,
        xcoords=scan.xcoords * scale,
        ycoords=scan.ycoords * scale,
        xcoords_start=_scaled(scan.xcoords_start, scale),
        ycoords_start=_scaled(scan.ycoords_start, scale),
        diff3d=_centre_of(scan.diff3d, N),
        probeGuess=None if scan.probeGuess is None else _probe_of(scan.probeGuess, N),
        objectGuess=None if scan.objectGuess is None else _sampled(scan.objectGuess, scale),
        Y=None if scan.Y is None else np.stack([_sampled(patch, scale, N) for patch in scan.Y]),
        bad_pixels=_mask(bad, scan.bad_pixels),
        metadata=metadata,
    )


def _mask(bad: BoolArray, given: BoolArray | None) -> BoolArray | None:
    return bad if given is not None or bad.any() else None


def _scaled(positions: Float64Array | None, scale: float) -> Float64Array | None:
    return None if positions is None else positions * scale


def _centre_of(images: AnyArray, N: int) -> AnyArray:
    """Return the central N x N pixels of images (..., M, M), zero where there are none; centres are at M // 2."""
    M = images.shape[-1]
    if N <= M:
        first = M // 2 - N // 2
        return np.ascontiguousarray(images[..., first : first + N, first : first + N])
    padded = np.zeros((*images.shape[:-2], N, N), images.dtype)
    first = N // 2 - M // 2
    padded[..., first : first + M, first : first + M] = images
    return padded


def _probe_of(probe: Complex64Array, N: int) -> Complex64Array:
    """Return the probe (mode, N, N) whose far field is that part of the far field of `probe`."""
    axes = (-2, -1)
    far_field: ComplexArray = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(probe, axes), norm="ortho"), axes)
    near = np.fft.ifft2(np.fft.ifftshift(_centre_of(far_field, N), axes), norm="ortho")
    return np.asarray(np.fft.fftshift(near, axes), np.complex64)


def _sampled(obj: Complex64Array, scale: float, side: int | None = None) -> Complex64Array:
    """Return an object in other pixels; pixel k of the new one lies at k / scale of the old one."""
    shape = tuple(max(1, round(length * scale)) if side is None else side for length in obj.shape)
    places: Any = np.meshgrid(*(np.arange(length) / scale for length in shape), indexing="ij")
    # What the wider pixels cannot hold must not come back as something else.
    blurred = ndimage.gaussian_filter(obj, max(0.0, (1 / scale - 1) / 2)) if scale < 1 else obj
    return np.asarray(ndimage.map_coordinates(blurred, places, order=3, mode="nearest"), np.complex64)
