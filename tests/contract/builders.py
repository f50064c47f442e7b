"""Short ways to a small backend and its groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.factory import create_backend
from ptychopinn_backend.seam.interface import Backend, BackendSetup
from tests.contract.array_source import ArraySource, simulated_source

INTENSITY_SCALE = 100.0
MODEL_FIELDS = frozenset(ModelConfig.__dataclass_fields__)
TRAINING_FIELDS = frozenset(TrainingConfig.__dataclass_fields__)


def split_options(options: Mapping[str, Any]) -> tuple[ModelConfig, TrainingConfig, ExecutionConfig]:
    """Sort options by the configuration they belong to; small defaults, everything on the CPU."""
    # The epochs of stages add up to nepochs.
    length = {} if any(name.startswith("stage_") for name in options) else {"nepochs": 2}
    chosen = {"N": 32, "n_filters_scale": 1, "batch_size": 4, "accelerator": "cpu", **length, **options}
    model = ModelConfig(**{name: value for name, value in chosen.items() if name in MODEL_FIELDS})
    training = {name: value for name, value in chosen.items() if name in TRAINING_FIELDS}
    rest = {name: value for name, value in chosen.items() if name not in MODEL_FIELDS | TRAINING_FIELDS}
    return model, TrainingConfig(model=model, **training), ExecutionConfig(**rest)


def source_for(options: Mapping[str, Any], **source_options: Any) -> ArraySource:
    """Return simulated groups that fit the model options."""
    return simulated_source(split_options(options)[0], **source_options)


def backend_for(name: str, source: ArraySource, intensity_scale: float = INTENSITY_SCALE, **options: Any) -> Backend:
    """Return a fresh backend whose probes are those of the source."""
    model, training, execution = split_options(options)
    return create_backend(name, BackendSetup(model, training, execution, intensity_scale, source.probes))
