"""What the network of an opened model makes of patterns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.arrays import Complex64Array, Float32Array
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.runs.trained_model import TrainedModel

from ...contract.array_source import ArraySource

SHARED = Path(__file__).parents[4] / "shared" / "legacy"
"""Archives that the original system wrote, with what its networks put out; not part of the project."""
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="archives of the original PtychoPINN lie in ../shared, not here"
)


def network_patches(archive: Path, patterns: Float32Array, backend: str) -> Complex64Array:
    """Return what the network of an archive puts out.

    Args:
        archive: of any kind that is read.
        patterns: (group, N, N, channel), normalised.
        backend: to compute with.

    Returns:
        (group, N, N, out channel).
    """
    model = TrainedModel.load(archive, backend, ExecutionConfig(accelerator="cpu"))
    n_groups, N, _, channels = patterns.shape
    source = ArraySource(
        X=patterns,
        local_offsets=np.zeros((n_groups, 1, 2, channels), np.float32),
        scan_index=np.zeros(n_groups, np.int64),
        probes=np.ones((1, 1, N, N), np.complex64),
        valid_pixels=np.ones((1, N, N), np.float32),
    )
    return model.backend.forward(source.batch(np.arange(n_groups)), source).network_patches
