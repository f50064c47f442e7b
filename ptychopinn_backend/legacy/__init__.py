"""What existing scripts and files bring along: options, the mapping `params.cfg`, and the names they call.

Names are loaded on first use, from where they live, so that importing this loads neither framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

_HOMES: Final = {
    "RawData": "data.raw_data",
    "PtychoDataContainer": "data.containers",
    "KEY_MAPPINGS": "legacy.params_bridge",
    "dataclass_to_legacy_dict": "legacy.params_bridge",
    "update_legacy_dict": "legacy.params_bridge",
    "reassemble_position": "stitching.assembly",
    **dict.fromkeys(
        (
            "create_ptycho_data_container",
            "load_inference_bundle",
            "run_cdi_example",
            "save_outputs",
            "setup_configuration",
            "train_cdi_model",
        ),
        "workflows",
    ),
    **dict.fromkeys(
        (
            "InferenceEngine",
            "MemmapDatasetBridge",
            "ModelManager",
            "PtychoDataContainerTorch",
            "RawDataTorch",
            "find_learning_rate",
            "group_raw_npz",
            "load_inference_bundle_torch",
            "load_raw_npz",
            "load_torch_bundle",
            "run_cdi_example_torch",
            "save_torch_bundle",
            "set_probe_guess",
            "set_seed",
            "train_cdi_model_torch",
        ),
        "calls.names",
    ),
}
"""Name -> module it lives in, below the package."""
_MODULES: Final = {"loader": "calls.loader", "params": "params", "model_manager": "calls.names"}
"""Module of existing scripts -> module of today."""

__all__ = [*_HOMES, *_MODULES]


def __getattr__(name: str) -> Any:
    package = __name__.rpartition(".")[0]
    if name in _MODULES:
        value: Any = import_module(f"{package}.{_MODULES[name]}")
    elif name in _HOMES:
        value = getattr(import_module(f"{package}.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
