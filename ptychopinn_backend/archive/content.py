"""What a model archive holds, whichever program wrote it."""

from __future__ import annotations

import importlib.metadata
import platform
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from ptychopinn_backend.arrays import AnyArray, Complex64Array
from ptychopinn_backend.config import ModelConfig, TrainingConfig


def package_version() -> str:
    """Return the version of this package, or 'unknown' where it runs from a source tree."""
    try:
        return importlib.metadata.version("ptychopinn-backend")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _utc_now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _base_versions() -> dict[str, str]:
    return {"python": platform.python_version(), "numpy": np.__version__}


@dataclass(frozen=True)
class ArchiveContent:
    """Everything an archive holds."""

    backend: str
    """Backend that trained the weights: 'tensorflow' or 'pytorch'."""
    model: ModelConfig
    """The network the weights belong to."""
    training: TrainingConfig
    """How it was trained."""
    intensity_scale: float
    """Initial factor from normalised amplitudes to the square root of counts that the network was given."""
    weights: dict[str, AnyArray]
    """Canonical name -> array, for example 'encoder/0/conv0/kernel'; finite numbers."""
    history: dict[str, list[float]] = field(default_factory=dict)
    """Metric name -> one value per epoch."""
    params: dict[str, Any] = field(default_factory=dict)
    """Snapshot of `params.cfg`, for `ptychopinn_backend.params.restore`."""
    versions: dict[str, str] = field(default_factory=_base_versions)
    """Python, NumPy and framework versions of the writer."""
    created: str = field(default_factory=_utc_now)
    """Time of writing, ISO 8601, UTC."""
    package_version: str = field(default_factory=package_version)
    """Version of this package that wrote the archive."""
    seed: int | None = None
    """Seed of the run, with which a reconstruction draws neighbours; None in archives that do not hold it."""
    probes: Complex64Array | None = None
    """Normalised probes it was trained with (scan, mode, N, N), as they were before training refined them; or None."""
    converted_from: str = ""
    """What another program's file was, from which this was read; empty for archives of our own training."""
    opens_with: str = ""
    """Backend that it is for; empty for the one that trained it."""
