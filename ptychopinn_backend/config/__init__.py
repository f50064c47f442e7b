"""Configuration: model, training and execution options, their rules, YAML files and presets."""

from ptychopinn_backend.config.model import AMP_ACTIVATIONS, PATTERN_SIZES, ModelConfig
from ptychopinn_backend.config.training import (
    ARCHIVE_NAME,
    BACKENDS,
    DEFAULT_N_GROUPS,
    DEFAULT_NEPOCHS,
    INFERENCE_BACKENDS,
    ONNX,
    SCHEDULERS,
    InferenceConfig,
    TrainingConfig,
    find_archive,
)

__all__ = [
    "AMP_ACTIVATIONS",
    "ARCHIVE_NAME",
    "BACKENDS",
    "DEFAULT_NEPOCHS",
    "DEFAULT_N_GROUPS",
    "INFERENCE_BACKENDS",
    "ONNX",
    "PATTERN_SIZES",
    "SCHEDULERS",
    "InferenceConfig",
    "ModelConfig",
    "TrainingConfig",
    "find_archive",
]
