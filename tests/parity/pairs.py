"""The same model in both backends, with the same weights, moved off their special starting values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.networks.weights import PROBE
from ptychopinn_backend.seam.interface import Backend
from tests.contract.array_source import ArraySource
from tests.contract.builders import backend_for, source_for

ALL_TERMS: dict[str, Any] = {
    "nll_weight": 1.0,
    "mae_weight": 0.5,
    "mse_weight": 0.2,
    "realspace_weight": 0.7,
    "realspace_mae_weight": 0.5,
    "tv_weight": 0.3,
    "mean_deviation_weight": 0.2,
}


@dataclass(frozen=True)
class Pair:
    """Two backends and the groups they see: two scans, two modes, bad pixels, labels."""

    tensorflow: Backend
    pytorch: Backend
    source: ArraySource


def build_pair(options: Mapping[str, Any], n_groups: int = 3, seed: int = 1) -> Pair:
    """Return both backends with the same weights, drawn by the seed; their probes are those of the source."""
    source = source_for(options, n_groups=n_groups, n_scans=2, n_modes=2, bad_pixels=30)
    tensorflow, pytorch = (backend_for(name, source, **options) for name in ("tensorflow", "pytorch"))
    weights = moved(tensorflow.dump_weights(), seed=seed)
    tensorflow.load_weights(weights)
    pytorch.load_weights(weights)
    return Pair(tensorflow, pytorch, source)


def moved(weights: Mapping[str, AnyArray], amount: float = 0.02, seed: int = 1) -> dict[str, AnyArray]:
    """Return weights that all differ a little from the given ones; the order of the names does not matter."""
    rng = np.random.default_rng(seed)
    result = {}
    for name in sorted(weights):
        noise = amount * rng.normal(size=weights[name].shape)
        if name == PROBE:
            noise = noise * weights[name]
        result[name] = (weights[name] + noise).astype(weights[name].dtype)
    return result
