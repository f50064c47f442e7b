"""What a network is given for a batch of groups; computed in NumPy, so that both backends see the same numbers."""

from __future__ import annotations

import numpy as np

from ptychopinn_backend.arrays import Complex64Array, Float32Array
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.config.generators import uses_back_projection
from ptychopinn_backend.groups import GroupBatch, GroupSource
from ptychopinn_backend.physics.back_projection import back_projection, fill_bad_pixels


def input_maps(model: ModelConfig) -> int:
    """Return the maps a network is given for every pattern: the amplitude, or that and the back-projection."""
    return 3 if uses_back_projection(model.architecture) else 1


def network_inputs(batch: GroupBatch, source: GroupSource, model: ModelConfig) -> Float32Array:
    """Return the input of the network.

    Args:
        batch: groups of `source`.
        source: gives probes and valid pixels.
        model: decides the generator.

    Returns:
        (group, N, N, channel * maps) float32, the maps of a channel side by side: the normalised amplitude, and for
        generators with back-projection its real and imaginary part (`physics.back_projection`).
    """
    if not uses_back_projection(model.architecture):
        return batch.X
    groups, N, _, channels = batch.X.shape
    inputs = np.empty((groups, channels, 3, N, N), np.float32)
    for scan in np.unique(batch.scan_index):
        members = batch.scan_index == scan
        inputs[members] = _with_back_projection(batch.X[members], source.probes[scan], source.valid_pixels[scan])
    return np.moveaxis(inputs.reshape(groups, channels * 3, N, N), 1, -1)


def _with_back_projection(X: Float32Array, probe: Complex64Array, valid_pixels: Float32Array) -> Float32Array:
    amplitudes = fill_bad_pixels(np.moveaxis(X, -1, 1), probe, valid_pixels)
    image = back_projection(amplitudes, probe)
    return np.stack([amplitudes, image.real, image.imag], axis=2).astype(np.float32)
