"""Probe: mode stack, circular mask, normalisation and the default guess."""

from __future__ import annotations

import numpy as np

from ptychopinn_backend.arrays import AnyArray, BoolArray, Complex64Array, Float32Array, Float64Array
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.config.generators import uses_back_projection
from ptychopinn_backend.errors import DataError

_DEFAULT_PROBE_RADIUS = 0.1193  # of N, at default_probe_scale 1; inside the interval the recorded default probes allow


def as_mode_stack(probe: AnyArray) -> Complex64Array:
    """Return a probe as a stack of incoherent modes.

    Args:
        probe: probe (N, N) or (mode, N, N), real or complex.

    Returns:
        Probe (mode, N, N), complex64.

    Raises:
        DataError: the probe has another rank, is not square, is not finite, or has no light in its first mode.
    """
    stack = np.asarray(probe)
    if stack.ndim == 2:
        stack = stack[np.newaxis]
    if stack.ndim != 3 or stack.shape[1] != stack.shape[2] or stack.shape[0] == 0:
        raise DataError(
            f"The probe has shape {np.shape(probe)}; expected (N, N) or (mode, N, N). Check the probe array."
        )
    with np.errstate(over="ignore", invalid="ignore"):
        stack = stack.astype(np.complex64)
    if not np.isfinite(stack).all():
        raise DataError("The probe holds values that are not finite (NaN or infinity). Repair it before training.")
    if not np.any(stack[0]):
        raise DataError("The first probe mode is zero everywhere. Give a probe that carries light in its first mode.")
    return stack


def mean_modes(coherent: AnyArray, weights: AnyArray | None) -> AnyArray:
    """Return the incoherent modes of a probe that varies over the scan, as the mean over the positions.

    Args:
        coherent: modes (coherent mode, incoherent mode, N, N); the probe varies in its first incoherent mode.
        weights: weight of every coherent mode at every position (pattern, coherent mode); None if the probe is the same
            everywhere.

    Returns:
        A copy of the modes (incoherent mode, N, N).
    """
    modes: AnyArray = coherent[0].copy()
    if weights is not None:
        modes[0] = np.tensordot(weights.mean(axis=0), coherent[:, 0], axes=1)
    return modes


def pixel_distance(N: int) -> Float64Array:
    """Return the distance of every pixel centre from the array centre (N, N), pixels."""
    axis = np.arange(N) - N / 2 + 0.5
    return np.asarray(np.hypot(axis[:, np.newaxis], axis[np.newaxis, :]), dtype=np.float64)


def hard_mask(N: int) -> BoolArray:
    """Return the circular mask of diameter N/2 (N, N): the distance of the pixel centre is below N//4."""
    return pixel_distance(N) < N // 4


def probe_mask(N: int, diameter_px: float | None = None, sigma_px: float = 0.0) -> Float32Array:
    """Return the mask that multiplies a probe if `probe_mask` is on.

    Args:
        N: side in pixels.
        diameter_px: diameter of the circle in pixels; None takes N/2.
        sigma_px: width of the Gaussian that softens the edge in pixels; 0 gives a hard edge.

    Returns:
        Mask (N, N), float32 in [0, 1].
    """
    radius_px = N // 4 if diameter_px is None else diameter_px / 2
    mask = (pixel_distance(N) < radius_px).astype(np.float64)
    if sigma_px > 0:
        from scipy.ndimage import gaussian_filter

        mask = gaussian_filter(mask, sigma_px, mode="constant")
    return mask.astype(np.float32)


def normalise_probe(probe: AnyArray, probe_scale: float) -> Complex64Array:
    """Scale a probe so that its masked first mode has mean amplitude 1 / probe_scale.

    The result is P / (probe_scale * mean |mask * P|) with the hard mask. The factor comes from the first mode and is
    the same for all modes (specs/data.md).

    Args:
        probe: probe (N, N) or (mode, N, N).
        probe_scale: positive scale.

    Returns:
        Probe (mode, N, N), complex64.

    Raises:
        DataError: the probe is malformed, or has no light inside the mask.
    """
    stack = as_mode_stack(probe)
    mean_amplitude = float(np.mean(np.abs(stack[0].astype(np.complex128)) * hard_mask(stack.shape[-1])))
    if mean_amplitude == 0:
        raise DataError("The probe carries no light within N/4 pixels of the array centre. Centre the probe.")
    return (stack / (probe_scale * mean_amplitude)).astype(np.complex64)


def normalise_power(probe: AnyArray) -> Complex64Array:
    """Scale a probe to the power of a normalised pattern, sum over modes of |P|^2 = (N/2)^2; vacuum is then 1.

    Args:
        probe: probe (N, N) or (mode, N, N).

    Returns:
        Probe (mode, N, N), complex64.

    Raises:
        DataError: the probe is malformed.
    """
    stack = as_mode_stack(probe)
    power = float(np.sum(np.abs(stack.astype(np.complex128)) ** 2))
    return np.asarray(stack * (stack.shape[-1] / 2 / np.sqrt(power)), dtype=np.complex64)


def normalised_for(model: ModelConfig, probe: AnyArray) -> Complex64Array:
    """Return a probe with the normalisation of the model's physics.

    It is that of `normalise_power` for generators with back-projection, and otherwise that of `normalise_probe`.

    Args:
        model: configuration of the model, which gives the generator and probe_scale.
        probe: probe (N, N) or (mode, N, N).

    Returns:
        Probe (mode, N, N), complex64.
    """
    if uses_back_projection(model.architecture):
        return normalise_power(probe)
    return normalise_probe(probe, model.probe_scale)


def default_probe(N: int, default_probe_scale: float = 0.7) -> Float64Array:
    """Return the historical default probe: a disk with a soft edge, on a floor of 1e-9.

    Args:
        N: side in pixels.
        default_probe_scale: scale; the radius of the disk is inversely proportional to it.

    Returns:
        Amplitude (N, N), float64.
    """
    from scipy.ndimage import gaussian_filter

    disk = pixel_distance(N) <= _DEFAULT_PROBE_RADIUS * N / default_probe_scale
    return np.asarray(gaussian_filter(disk.astype(np.float64), 1.0) + 1e-9, dtype=np.float64)
