"""PtychoPINN's engine: one interface, TensorFlow or PyTorch behind it by a setting.

Public names are loaded on first use, so that importing the package loads no framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ptychopinn_backend.moved_modules import keep_earlier_names

__version__ = "0.1.0"

_HOMES = {
    "ModelConfig": "config",
    "TrainingConfig": "config",
    "InferenceConfig": "config",
    "ExecutionConfig": "config.execution",
    "KEY_MAPPINGS": "legacy.params_bridge",
    "dataclass_to_legacy_dict": "legacy.params_bridge",
    "update_legacy_dict": "legacy.params_bridge",
    "load_yaml_config": "config.yaml_file",
    "RawData": "data.raw_data",
    "PtychoDataContainer": "data.containers",
    "DatasetOptions": "data.dataset",
    "GroupingOptions": "data.grouping",
    "ScanDataset": "data.dataset",
    "create_dataset": "data.dataset",
    "open_dataset": "data.dataset",
    "reassemble_position": "stitching.assembly",
    "Reconstruction": "stitching.reconstruction_file",
    "TrainedModel": "runs.trained_model",
    "create_backend": "factory",
    "resolve_backend": "factory",
    "installed_backends": "factory",
    "reconstruct": "runs.reconstruct",
    "train_scans": "workflows",
    "train_source": "workflows",
    "train_cdi_model": "workflows",
    "run_cdi_example": "workflows",
    "setup_configuration": "workflows",
    "create_ptycho_data_container": "workflows",
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

keep_earlier_names()


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
