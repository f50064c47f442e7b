"""A tiny `GroupSource` in memory: simulated groups whose far field comes from the NumPy reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from ptychopinn_backend.arrays import Complex64Array, Float32Array, IntArray
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.groups import GroupBatch
from ptychopinn_backend.physics.forward import predicted_intensity
from ptychopinn_backend.physics.object_patches import extract_patches
from ptychopinn_backend.physics.probe import default_probe, normalised_for


@dataclass
class ArraySource:
    """Groups held as arrays; fields are those of `GroupSource` and `GroupBatch`."""

    X: Float32Array
    local_offsets: Float32Array
    scan_index: IntArray
    probes: Complex64Array
    valid_pixels: Float32Array
    Y: Complex64Array | None = None

    @property
    def n_groups(self) -> int:
        return len(self.X)

    @property
    def N(self) -> int:
        return self.X.shape[1]

    @property
    def channels(self) -> int:
        return self.X.shape[3]

    @property
    def max_local_offset_px(self) -> float:
        return float(np.abs(self.local_offsets).max())

    @property
    def has_labels(self) -> bool:
        return self.Y is not None

    def batch(self, indices: IntArray) -> GroupBatch:
        return GroupBatch(
            self.X[indices],
            self.local_offsets[indices],
            self.scan_index[indices],
            None if self.Y is None else self.Y[indices],
        )


def simulated_probes(model: ModelConfig, n_scans: int, n_modes: int) -> Complex64Array:
    """Return normalised probes with curved phase; higher modes are weaker and of another shape, (scan, mode, N, N)."""
    N = model.N
    row, column = np.mgrid[:N, :N] - N / 2
    modes = [default_probe(N) * np.exp(2j * (row**2 + column**2) / N**2)]
    modes += [0.4 * (column / N) ** k * modes[0] for k in range(1, n_modes)]
    tilt = [np.exp(1j * scan * row / N) for scan in range(n_scans)]
    return np.stack([normalised_for(model, np.stack(modes) * phase) for phase in tilt])


def simulated_source(
    model: ModelConfig,
    *,
    n_groups: int = 12,
    n_scans: int = 1,
    n_modes: int = 1,
    bad_pixels: int = 0,
    labels: bool = True,
    spread_px: float = 3.0,
    seed: int = 5,
) -> ArraySource:
    """Return groups of a smooth random object, seen through the reference forward model without noise.

    Args:
        model: sizes and how the probe meets the object.
        n_groups: groups.
        n_scans: scans; groups take turns.
        n_modes: incoherent probe modes.
        bad_pixels: pixels per scan marked as bad and set to 0.
        labels: whether Y is there.
        spread_px: largest distance of a position from the mean of its group along an axis, before centring.
        seed: of everything random.
    """
    rng = np.random.default_rng(seed)
    N, channels = model.N, model.channels
    centres = rng.uniform(N, 2 * N, (n_groups, 1, 2))
    positions = centres + rng.uniform(-spread_px, spread_px, (n_groups, channels, 2))
    side = 3 * N
    amplitude, phase = (gaussian_filter(rng.normal(size=(side, side)), 2.0) for _ in range(2))
    truth = (0.6 + 0.5 * amplitude / np.abs(amplitude).max()) * np.exp(1j * phase / np.abs(phase).max())
    flat = extract_patches(truth.astype(np.complex64), (0.0, 0.0), positions.reshape(-1, 2), N)
    patches = np.moveaxis(flat.reshape(n_groups, channels, N, N), 1, -1)
    offsets = positions.mean(axis=1, keepdims=True) - positions
    probes = simulated_probes(model, n_scans, n_modes)
    scan_index = np.arange(n_groups) % n_scans
    valid = np.ones((n_scans, N, N), np.float32)
    for scan in range(n_scans):
        valid[scan].reshape(-1)[rng.choice(N * N, bad_pixels, replace=False)] = 0
    X = np.sqrt(predicted_intensity(patches, probes[scan_index], 0.0, model)) * valid[scan_index][..., np.newaxis]
    return ArraySource(
        X=X.astype(np.float32),
        local_offsets=np.moveaxis(offsets, 1, -1)[:, np.newaxis].astype(np.float32),
        scan_index=scan_index,
        probes=probes,
        valid_pixels=valid,
        Y=patches.astype(np.complex64) if labels else None,
    )
