"""PtychoPINN's engine: one interface, TensorFlow or PyTorch behind it by a setting.

Public names are loaded on first use, so that importing the package loads no framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "ModelConfig": "config",
    "TrainingConfig": "config",
    "InferenceConfig": "config",
    "ExecutionConfig": "execution",
    "KEY_MAPPINGS": "params_bridge",
    "dataclass_to_legacy_dict": "params_bridge",
    "update_legacy_dict": "params_bridge",
    "load_yaml_config": "config_file",
    "RawData": "data.raw_data",
    "PtychoDataContainer": "data.containers",
    "DatasetOptions": "data.dataset",
    "GroupingOptions": "data.grouping",
    "ScanDataset": "data.dataset",
    "create_dataset": "data.dataset",
    "open_dataset": "data.dataset",
    "reassemble_position": "stitch",
    "Reconstruction": "reconstruction_file",
    "TrainedModel": "trained_model",
    "create_backend": "factory",
    "resolve_backend": "factory",
    "installed_backends": "factory",
    "reconstruct": "reconstruct",
    "train_scans": "workflows",
    "train_source": "workflows",
    "train_cdi_model": "workflows",
    "run_cdi_example": "workflows",
    "save_outputs": "workflows",
    "load_inference_bundle": "workflows",
    "PtychoModel": "model_api",
    "PtychoPINNError": "errors",
    "ConfigError": "errors",
    "DataError": "errors",
    "ArchiveError": "errors",
    "BackendUnavailableError": "errors",
    "TrainingError": "errors",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
