"""Reference forward model of a batch in NumPy float64: from patches over group objects and far fields to loss terms."""

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
    """Fixed arrays of the forward model, which depend only on the configuration."""

    probe_mask: Float32Array | None
    """Mask (N, N) that multiplies the probe, or None."""
    smoothing_sigma_px: float
    """Sigma of the 3 x 3 smoothing of the exit waves, pixels; 0 does not smooth."""
    label_window: FloatArray
    """Weight (N, N) of the real-space error: the central N/2 if the network pads its patches, otherwise all pixels."""


def forward_constants(model: ModelConfig) -> ForwardConstants:
    """Return the fixed arrays for a model configuration.

    Args:
        model: configuration of the model.

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
    """Return the weight of every patch pixel for overlapping patches, both in groups and in the stitched object.

    Generators with back-projection know a patch where the probe lights it. The weight is then the intensity of the
    probe, with largest value 1. A network that fills only the central N/2 (pad_object without probe_big) has weight 1
    there and 0 outside, since the zeros outside would dilute the neighbours. All other networks weight all
    pixels equally.

    Args:
        model: configuration of the model.
        probes: normalised probes (scan, mode, N, N).

    Returns:
        Weights (scan, N, N).
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
    """Return the patch at every position of a group; the patches of a group are consistent with each other.

    Args:
        network_patches: patches (group, N, N, channel) with object_big, otherwise (group, N, N, 1).
        local_offsets: local offsets (group, 1, 2, channel), axis 2 = (x, y), pixels.
        canvas_px: side of the canvas in pixels.
        model: configuration of the model.
        weights: weight of every patch pixel (group, N, N); see `overlap_weights`.

    Returns:
        Patches (group, N, N, channel). With object_big, overlapping patches are averaged in the group frame and cut out
        again. Without object_big, the one patch of the group is padded and cut out at every position.
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
    """Return the predicted intensity exp(2 log_scale) * sum over modes |F(P_m O)|^2 in counts.

    Args:
        patches: patches (group, N, N, channel).
        probes: normalised probe of every group (group, mode, N, N).
        log_scale: logarithm of the intensity scale.
        model: configuration of the model.

    Returns:
        Intensity (group, N, N, channel).
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
    """Return every active loss term, and their weighted sum as 'loss'.

    Args:
        patches: consistent patches of the batch (group, N, N, channel); see `group_patches`.
        batch: the groups.
        probes: normalised probes of the source (scan, mode, N, N).
        valid_pixels: valid pixels of the source (scan, N, N).
        intensity_scale: factor from X to the square root of counts.
        log_scale: present logarithm of this factor in the model.
        model: configuration of the model.
        weights: weights of the terms.
        physics_weight: weight of the configured loss in a training with stages.

    Returns:
        Value of each term, by its name.
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
