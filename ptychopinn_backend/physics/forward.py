"""Reference forward model of a batch: patches -> group object -> far field -> loss terms, in NumPy float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptychopinn_backend.arrays import Complex64Array, ComplexArray, Float32Array, FloatArray
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.config.generators import uses_back_projection
from ptychopinn_backend.groups import GroupBatch
from ptychopinn_backend.physics import losses
from ptychopinn_backend.physics.far_field import exit_waves, far_field_intensity
from ptychopinn_backend.physics.loss_formulas import NUMPY, LossInputs
from ptychopinn_backend.physics.losses import LossWeights
from ptychopinn_backend.physics.placement import assemble_groups, extract_from_groups, patch_window
from ptychopinn_backend.physics.probe import probe_mask


@dataclass(frozen=True)
class ForwardConstants:
    """Fixed arrays of the forward model; they depend on the configuration alone."""

    probe_mask: Float32Array | None
    """(N, N) the probe is multiplied with, or None."""
    smoothing_sigma_px: float
    """Sigma of the 3 x 3 smoothing of the illuminated patch; 0 is none."""
    label_window: FloatArray
    """(N, N) weight of the real-space error: the central N/2 with pad_object, else everything."""


def forward_constants(model: ModelConfig) -> ForwardConstants:
    """Return the fixed arrays a model configuration means.

    Args:
        model: the configuration.

    Returns:
        The arrays.
    """
    mask = probe_mask(model.N, model.probe_mask_diameter, model.probe_mask_sigma) if model.probe_mask else None
    pads = model.pad_object and not uses_back_projection(model.architecture)
    central = patch_window(model.N, central_only=pads)
    return ForwardConstants(
        probe_mask=mask,
        smoothing_sigma_px=model.gaussian_smoothing_sigma,
        label_window=np.outer(central, central),
    )


def overlap_weights(model: ModelConfig, probes: Complex64Array) -> Float32Array:
    """Return the weight of every patch pixel where patches overlap, in groups and in the stitched object alike.

    Generators with back-projection know a patch where the probe lights it: the weight is the probe's intensity, largest
    value 1. A network that fills only the central N/2 (pad_object without probe_big) has the weight of that centre, or
    the zeros outside it would dilute the neighbours. All others weigh every pixel alike.

    Args:
        model: the configuration.
        probes: normalised probes (scan, mode, N, N).

    Returns:
        (scan, N, N).
    """
    if uses_back_projection(model.architecture):
        intensity = np.sum(np.abs(probes) ** 2, axis=1)
        return np.asarray(intensity / intensity.max(axis=(1, 2), keepdims=True), np.float32)
    window = patch_window(model.N, central_only=model.pad_object and not model.probe_big)
    return np.broadcast_to(np.outer(window, window).astype(np.float32), (len(probes), model.N, model.N))


def group_patches(
    network_patches: ComplexArray,
    local_offsets: FloatArray,
    canvas_px: int,
    model: ModelConfig,
    weights: FloatArray,
) -> ComplexArray:
    """Return the patch every position of a group sees, consistent within the group.

    Args:
        network_patches: (group, N, N, channel) with object_big, else (group, N, N, 1).
        local_offsets: (group, 1, 2, channel), pixels.
        canvas_px: canvas side.
        model: the configuration.
        weights: weight of every patch pixel, (group, N, N); see `overlap_weights`.

    Returns:
        (group, N, N, channel): overlapping patches averaged in the group frame and cut out again; without object_big
        the one patch of the group, padded, cut out at every position.
    """
    if model.channels == 1:
        return network_patches
    if model.object_big:
        canvases = assemble_groups(network_patches, local_offsets, canvas_px, weights)
    else:
        margin = (canvas_px - model.N) // 2
        canvases = np.pad(network_patches[..., 0], ((0, 0), (margin, margin), (margin, margin)))
    return extract_from_groups(canvases, local_offsets, model.N)


def predicted_intensity(
    patches: ComplexArray, probes: ComplexArray, log_scale: float, model: ModelConfig
) -> FloatArray:
    """Return exp(2 log_scale) * sum over modes |F(P_m O)|^2 in counts.

    Args:
        patches: (group, N, N, channel).
        probes: probe of every group, (group, mode, N, N), normalised.
        log_scale: logarithm of the intensity scale.
        model: the configuration.

    Returns:
        (group, N, N, channel).
    """
    constants = forward_constants(model)
    masked = probes if constants.probe_mask is None else probes * constants.probe_mask
    by_channel = np.moveaxis(patches, -1, 1)
    waves = np.stack(
        [exit_waves(by_channel[g], masked[g], constants.smoothing_sigma_px) for g in range(len(by_channel))]
    )
    return np.moveaxis(np.exp(2 * log_scale) * far_field_intensity(waves), 1, -1)


def loss_terms(
    patches: ComplexArray,
    batch: GroupBatch,
    probes: Complex64Array,
    valid_pixels: Float32Array,
    *,
    intensity_scale: float,
    log_scale: float,
    model: ModelConfig,
    weights: LossWeights,
    physics_weight: float = 1.0,
) -> dict[str, float]:
    """Return every active loss term and 'loss', which they add up to.

    Args:
        patches: consistent patches of the batch, (group, N, N, channel); see `group_patches`.
        batch: the groups.
        probes: the source's normalised probes, (scan, mode, N, N).
        valid_pixels: the source's valid pixels, (scan, N, N).
        intensity_scale: factor from X to the square root of counts.
        log_scale: the model's present logarithm of it.
        model: the configuration.
        weights: weights of the terms.
        physics_weight: weight of the configured loss in a training with stages.

    Returns:
        Term name -> value.
    """
    intensity = target = labels = None
    if weights.needs_far_field:
        intensity = predicted_intensity(patches, probes[batch.scan_index], log_scale, model)
        target = batch.measured.astype(np.float64) * intensity_scale
    if batch.Y is not None:
        labels = batch.Y.real, batch.Y.imag
    inputs = LossInputs(
        patches=(patches.real, patches.imag),
        intensity=intensity,
        target=target,
        valid=valid_pixels[batch.scan_index][..., np.newaxis],
        labels=labels,
        label_window=forward_constants(model).label_window[np.newaxis, ..., np.newaxis],
    )
    found = losses.loss_terms(NUMPY, inputs, weights, physics_weight)
    return {name: float(value) for name, value in found.items()}
