"""Small random groups, probes and detector masks: input for checks, not an image of anything."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter

from ptychopinn_backend.arrays import Complex64Array, Float32Array, IntArray
from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.data.source import GroupBatch
from ptychopinn_backend.execution import ExecutionConfig
from ptychopinn_backend.interface import BackendSetup
from ptychopinn_backend.physics.probe import normalise_probe

INTENSITY_SCALE = 50.0


@dataclass(frozen=True)
class Scene:
    """Groups in memory."""

    X: Float32Array
    local_offsets: Float32Array
    scan_index: IntArray
    probes: Complex64Array
    valid_pixels: Float32Array
    Y: Complex64Array | None

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
        return float(np.abs(self.local_offsets).max(initial=0.0))

    @property
    def has_labels(self) -> bool:
        return self.Y is not None

    def batch(self, indices: IntArray) -> GroupBatch:
        labels = None if self.Y is None else self.Y[indices]
        return GroupBatch(self.X[indices], self.local_offsets[indices], self.scan_index[indices], labels)

    @property
    def whole(self) -> GroupBatch:
        return self.batch(np.arange(self.n_groups))

    def without_labels(self) -> Scene:
        return replace(self, Y=None)


def random_scene(model: ModelConfig, n_groups: int = 3, *, n_scans: int = 2, n_modes: int = 2, seed: int = 0) -> Scene:
    """Return groups with sub-pixel offsets, `n_scans` probes of `n_modes` modes, and bad pixels in every detector."""
    random = np.random.default_rng(seed)
    N, channels = model.N, model.channels
    centred = np.hypot(*(np.indices((N, N)) - N / 2)) / N
    envelope = np.exp(-((centred / 0.15) ** 2))[:, :, np.newaxis]
    X = 5 * envelope * random.uniform(0.2, 1.0, (n_groups, N, N, channels))
    positions = random.uniform(-4.0, 4.0, (n_groups, 1, 2, channels))
    offsets = -(positions - positions.mean(axis=-1, keepdims=True))
    waves = random.normal(size=(n_scans, n_modes, N, N, 2)) @ (1, 1j)
    smooth = gaussian_filter(waves.real, (0, 0, 3, 3)) + 1j * gaussian_filter(waves.imag, (0, 0, 3, 3))
    probes = np.stack([normalise_probe(stack, model.probe_scale) for stack in smooth])
    labels = random.uniform(0.2, 1, (n_groups, N, N, channels)) * np.exp(
        1j * random.uniform(-3, 3, (n_groups, N, N, channels))
    )
    return Scene(
        X=X.astype(np.float32),
        local_offsets=offsets.astype(np.float32),
        scan_index=random.integers(0, n_scans, n_groups),
        probes=probes.astype(np.complex64),
        valid_pixels=(random.uniform(size=(n_scans, N, N)) > 0.05).astype(np.float32),
        Y=labels.astype(np.complex64),
    )


def setup_for(
    training: TrainingConfig, scene: Scene, execution: ExecutionConfig | None = None, scale: float = INTENSITY_SCALE
) -> BackendSetup:
    """Return what a backend is built from."""
    execution = execution or ExecutionConfig(accelerator="cpu")
    return BackendSetup(training.model, training, execution, scale, scene.probes)
