"""Scans to measure with: small ones simulated, larger ones tiled from them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.config.presets import preset_options
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan

SEED = 0
BASE_PATTERNS = 256


@cache
def simulated(N: int, patterns: int = BASE_PATTERNS) -> RawData:
    return simulate_scan(SimulationConfig(size=N, patterns=patterns), seed=SEED)


def scan_of(N: int, patterns: int) -> RawData:
    """Copies of a small simulated scan side by side, cut to the number of patterns."""
    base = simulated(N, min(patterns, BASE_PATTERNS))
    tiles = -(-patterns // base.n_patterns)
    width = float(np.ptp(base.xcoords)) + 1
    shift = np.repeat(np.arange(tiles) * width, base.n_patterns)
    return RawData(
        xcoords=(np.tile(base.xcoords, tiles) + shift)[:patterns],
        ycoords=np.tile(base.ycoords, tiles)[:patterns],
        diff3d=np.tile(base.diff3d, (tiles, 1, 1))[:patterns],
        scan_index=np.zeros(patterns, np.int32),
        probeGuess=base.probeGuess,
    )


def write_scan(path: Path, scan: RawData) -> Path:
    """Write a scan as counts, uncompressed."""
    np.savez(
        path,
        xcoords=scan.xcoords,
        ycoords=scan.ycoords,
        diffraction=np.square(scan.diff3d).astype(np.float32),
        probeGuess=np.asarray(scan.probeGuess),
    )
    return path


def cnn_config(N: int, gridsize: int, n_filters_scale: int, nepochs: int, batch_size: int = 16) -> TrainingConfig:
    """The historical network at one of the sizes that are compared."""
    model = ModelConfig(N=N, gridsize=gridsize, n_filters_scale=n_filters_scale)
    return TrainingConfig(
        model=model,
        nepochs=nepochs,
        batch_size=batch_size,
        neighbor_count=max(4, 2 * gridsize**2),
        validation_fraction=0.0,
    )


def preset_config(name: str, N: int, nepochs: int) -> tuple[TrainingConfig, ExecutionConfig]:
    """A preset as a user gets it; the length of an epoch is left open."""
    options = preset_options(name, [simulated(N)])
    learning_rate = options.pop("learning_rate")
    for free in ("nepochs", "lr_warmup_epochs", "groups_per_epoch"):
        options.pop(free, None)
    model_names = {field for field in ModelConfig.__dataclass_fields__ if field in options}
    model = replace(ModelConfig(N=N), **{key: options.pop(key) for key in model_names})
    config = TrainingConfig(model=model, nepochs=nepochs, neighbor_count=2 * model.channels, **options)
    return config, ExecutionConfig(learning_rate=learning_rate, seed=SEED)
