"""From options of PyTorch configurations to those of this package, for all options of a set or for those of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from ptychopinn_backend.config import training as config
from ptychopinn_backend.config.model import LAST_DECODER_MAPS
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.legacy.option_sets import ARRAY_OPTIONS, ModelConfig, TrainingConfig

_MODEL_TYPES: Final = {"Unsupervised": "pinn", "Supervised": "supervised"}
_LOSS_MODES: Final = {"Poisson": "poisson", "MAE": "mae"}
_STAGES: Final = ("stage_1_epochs", "stage_2_epochs", "stage_3_epochs")
_RENAMED: Final = {"warmup_epochs": "lr_warmup_epochs", "min_lr_ratio": "lr_min_ratio"}
"""Option -> its name in newer configurations."""
_VALUES: Final[Mapping[str, Mapping[Any, Any]]] = {
    "architecture": {"unet": "cnn"},
    "scheduler": {"Cosine": "WarmupCosine"},
    "object_class": {"unspecified": "dead_leaves"},
    "strategy": {None: "auto"},
    "amp_loss": {"None": None},
    "phase_loss": {"None": None},
}
"""Option -> its value in one branch -> in the others."""
_LAYOUTS: Final = {"single_patch": False, "grouped_patches": True}
_REPRESENTATIONS: Final = {"rectangular": "real_imag", "polar": "amp_phase"}
SAME_NAME_MODEL: Final = tuple(
    item.name
    for item in fields(ModelConfig)
    if item.name in {target.name for target in fields(config.ModelConfig)} and item.name not in ARRAY_OPTIONS
)
"""Options of the network that keep their name."""
SAME_NAME_TRAINING: Final = tuple(
    item.name
    for item in fields(TrainingConfig)
    if item.name in {target.name for target in fields(config.TrainingConfig)} and item.name != "torch_loss_mode"
)
"""Options of the training that keep their name."""


def in_one_spelling(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options under the names and values of the newest configurations.

    Args:
        options: of any branch, by name.

    Returns:
        The same; a name that only an older branch has gives way to the newer one.

    Raises:
        ConfigError: an option that has become another one has no valid value.
    """
    found: dict[str, Any] = {}
    for name, value in options.items():
        plain = _VALUES[name].get(value, value) if name in _VALUES and _is_hashable(value) else value
        found[name] = plain
    for old, new in _RENAMED.items():
        if old in found:
            value = found.pop(old)
            found.setdefault(new, value)
    _take_layout(found)
    if "object_representation" in found:
        value = _among("object_representation", found.pop("object_representation"), _REPRESENTATIONS)
        found.setdefault("cnn_output_mode", value)
    return found


def model_fields(data: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of `config.ModelConfig`.

    Args:
        data: options of `DataConfig`, all or some.
        model: options of `ModelConfig`, all or some.

    Returns:
        Field -> value, for what the options say; 'gridsize' is left to `gridsize`.
    """
    found = {name: model[name] for name in SAME_NAME_MODEL if name in model}
    found |= {name: data[name] for name in ("N", "probe_scale") if name in data}
    if "mode" in model:
        found["model_type"] = _MODEL_TYPES[model["mode"]]
    if "probe_mask" in model or model.get("probe_mask_tensor") is not None:
        found["probe_mask"] = _has_mask(model.get("probe_mask")) or model.get("probe_mask_tensor") is not None
    if "use_shared_decoder" in model:
        found["shared_decoder"] = model["use_shared_decoder"]
    if "decoder_last_c_outer_fraction" in model:
        maps = LAST_DECODER_MAPS * found.get("n_filters_scale", config.ModelConfig.n_filters_scale)
        found["border_maps"] = min(max(1, round(model["decoder_last_c_outer_fraction"] * maps)), maps - 1)
    return found


def training_fields(data: Mapping[str, Any], model: Mapping[str, Any], training: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of `config.TrainingConfig`.

    Args:
        data: options of `DataConfig`, all or some.
        model: options of `ModelConfig`, all or some.
        training: options of `TrainingConfig`, all or some.

    Returns:
        Field -> value, for what the options say.
    """
    found = {name: training[name] for name in SAME_NAME_TRAINING if name in training}
    found |= {name: data[name] for name in ("nphotons", "subsample_seed") if name in data}
    if "K" in data:
        found["neighbor_count"] = data["K"]
    if "intensity_scale_trainable" in model:
        found["intensity_scale_trainable"] = model["intensity_scale_trainable"]
    staged = sum(training.get(name, 0) for name in _STAGES)
    if staged or "epochs" in training:
        found["nepochs"] = staged or training["epochs"]
    if "nll" in training:
        found["nll_weight"] = 1.0 if training["nll"] else 0.0
    losses = [_LOSS_MODES[model["loss_function"]]] if "loss_function" in model else []
    losses += [training["torch_loss_mode"]] if "torch_loss_mode" in training else []
    if losses:
        # A dump holds both names, and its user changed one of them.
        found["torch_loss_mode"] = "mae" if "mae" in losses else "poisson"
    return found


def execution_fields(training: Mapping[str, Any], inference: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of `ExecutionConfig`.

    Args:
        training: options of `TrainingConfig`, all or some.
        inference: options of `InferenceConfig`, all or some.

    Returns:
        Option -> value, for what the options say; the strategy only counts with several devices.
    """
    renamed = {"device": "accelerator", "n_devices": "devices"}
    found = {renamed[name]: training[name] for name in renamed if name in training}
    found |= {name: training[name] for name in ("learning_rate", "num_workers", "accum_steps") if name in training}
    if training.get("n_devices", 1) != 1 and "strategy" in training:
        found["strategy"] = training["strategy"]
    if "batch_size" in inference:
        found["inference_batch_size"] = inference["batch_size"]
    return found


def gridsize(grid_size: tuple[int, int]) -> int:
    """Return the side of a square grid.

    Args:
        grid_size: neighbouring patterns along both sides.

    Returns:
        Those along one.

    Raises:
        ConfigError: it is not square.
    """
    if grid_size[0] != grid_size[1]:
        raise ConfigError(
            f"grid_size = {tuple(grid_size)} is not square, but gridsize is one number. "
            f"Use ({grid_size[0]}, {grid_size[0]})."
        )
    return grid_size[0]


def _take_layout(found: dict[str, Any]) -> None:
    layout = found.pop("object_layout", None)
    if "object_big" in found and found["object_big"] is None:
        del found["object_big"]
    if layout is not None:
        found.setdefault("object_big", _among("object_layout", layout, _LAYOUTS))


def _among(name: str, value: Any, known: Mapping[str, Any]) -> Any:
    if not _is_hashable(value) or value not in known:
        listed = ", ".join(f"'{each}'" for each in known)
        raise ConfigError(f"{name} = {value!r} is not one of {listed}. Correct it, or leave it out.")
    return known[value]


def _is_hashable(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _has_mask(probe_mask: Any) -> bool:
    return probe_mask if isinstance(probe_mask, bool) else probe_mask is not None
