"""Settings of the library `PtychoPINN-Torch`, which Ptychodus has from 1.7 on: taken over where ours are at defaults.

Every settings file of such a host has these groups. They say something where their user changed one of them or chose an
algorithm of that library; then they are translated as the option sets of PyTorch are, whose names they stand for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from importlib.util import find_spec
from typing import Any, Final, NamedTuple

from ptychodus.api.observer import Observable, Observer
from ptychodus.api.settings import SettingsRegistry

from ptychodus_plugin.options import CUSTOM
from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.legacy.option_fates import TORCH
from ptychopinn_backend.legacy.option_files import translated_sets

logger = logging.getLogger("ptychopinn_backend.ptychodus")

_LIBRARY: Final = "ptychodus.model.ptychopinn_torch"
_ALGORITHM: Final = "ptychopinn-torch"
"""The names of its algorithms begin so."""
_ZERO_IS_NONE: Final = ("gradient_clip_val", "middle_trim")
_DEFAULTS: Final[Mapping[str, Any]] = {
    item.name: item.default for owner in (ModelConfig, TrainingConfig, ExecutionConfig) for item in fields(owner)
}


class TorchKey(NamedTuple):
    """A key of these groups."""

    option: str
    """Option of the PyTorch set it stands for; empty for none."""
    default: bool | int | float | str


def _same(**defaults: bool | int | float | str) -> dict[str, TorchKey]:
    return {name: TorchKey(name, default) for name, default in defaults.items()}


TORCH_GROUPS: Final[Mapping[str, tuple[str, Mapping[str, TorchKey]]]] = {
    "PtychoPINNTorchData": (
        "data",
        {
            **_same(scan_pattern="Isotropic", min_neighbor_distance=0.0, max_neighbor_distance=3.0, probe_scale=4.0),
            **_same(probe_ramp_removal=False),
            # The patterns that are loaded say it here.
            "model_size": TorchKey("", 128),
            "num_channels": TorchKey("C", 4),
            "data_normalization_mode": TorchKey("normalize", "Batch"),
            "neighbor_lookup_method": TorchKey("neighbor_function", "Nearest"),
            "normalize_probe": TorchKey("probe_normalize", True),
            "x_lower_bound": TorchKey("x_bounds", 0.1),
            "x_upper_bound": TorchKey("x_bounds", 0.9),
            "y_lower_bound": TorchKey("y_bounds", 0.1),
            "y_upper_bound": TorchKey("y_bounds", 0.9),
            "num_nearest_neighbors_for_quadrant_lookup": TorchKey("K_quadrant", 30),
            "coordinate_subsampling_factor": TorchKey("n_subsample", 7),
            "num_nearest_neighbors_for_lookup": TorchKey("K", 6),
            "grid_size_y": TorchKey("grid_size", 2),
            "grid_size_x": TorchKey("grid_size", 2),
            "data_scaling_method": TorchKey("data_scaling", "Parseval"),
            "subtract_mean_phase": TorchKey("phase_subtraction", True),
        },
    ),
    "PtychoPINNTorchModel": (
        "model",
        {
            **_same(object_big=True, probe_big=True, loss_function="Poisson", cbam_encoder=True),
            **_same(use_shared_decoder=False, intensity_scale_trainable=False, intensity_scale=10000.0),
            **_same(max_position_jitter=10, num_datasets=1, eca_decoder=False, edge_pad=10),
            **_same(decoder_last_c_outer_fraction=0.125, cbam_bottleneck=False, cbam_decoder=False),
            **_same(spatial_decoder=False, decoder_spatial_kernel=7, eca_encoder=False, offset=6),
            **_same(amplitude_variance_loss=False, amplitude_variance_coeff=0.01),
            "amplitude_activation_function": TorchKey("amp_activation", "silu"),
            "auxiliary_amplitude_loss": TorchKey("amp_loss", "None"),
            "auxiliary_phase_loss": TorchKey("phase_loss", "None"),
            "auxiliary_amplitude_loss_coeff": TorchKey("amp_loss_coeff", 1.0),
            "auxiliary_phase_loss_coeff": TorchKey("phase_loss_coeff", 1.0),
            "num_filters_scale": TorchKey("n_filters_scale", 2),
            "use_batch_normalization": TorchKey("batch_norm", False),
            "probe_reference_loss_coeff": TorchKey("probe_reference_coeff", 0.0),
        },
    ),
    "PtychoPINNTorchTraining": (
        "training",
        {
            **_same(epochs=50, batch_size=16, learning_rate=0.001, gradient_clip_val=0.0, device="cuda", n_devices=1),
            **_same(notes="", model_name="PtychoPINNv2", enable_staged_finetuning=False),
            **_same(finetune_stage1_epochs=7, finetune_stage2_epochs=7, finetune_stage3_epochs=5),
            **_same(finetune_stage1_lr_decoder=0.1, finetune_stage2_lr_encoder_top=0.01),
            **_same(finetune_stage2_lr_decoder=0.05, finetune_stage2_lr_phase_head=0.1),
            **_same(finetune_stage3_lr_encoder_bottom=0.005, finetune_stage3_lr_encoder_top=0.01),
            **_same(finetune_stage3_lr_decoder=0.02, finetune_stage3_lr_phase_head=0.05),
            **_same(finetune_skip_stage3=True, finetune_early_stop_patience=3, finetune_val_split=0.05),
            "num_dataloader_workers": TorchKey("num_workers", 4),
            "gradient_accumulation_steps": TorchKey("accum_steps", 1),
            "epochs_finetune": TorchKey("epochs_fine_tune", 0),
            "finetune_gamma": TorchKey("fine_tune_gamma", 0.1),
            "use_negative_log_likelihood_loss": TorchKey("nll", True),
            "distributed_strategy": TorchKey("strategy", "ddp_spawn"),
            # The environment variable CUDA_VISIBLE_DEVICES does.
            "visible_gpu_indices": TorchKey("", ""),
            "learning_rate_scheduler": TorchKey("scheduler", "Default"),
            "learning_rate_warmup_epochs": TorchKey("warmup_epochs", 0),
            "minimum_learning_rate_ratio": TorchKey("min_lr_ratio", 0.1),
        },
    ),
    "PtychoPINNTorchInference": (
        "inference",
        {
            **_same(batch_size=1000, middle_trim=32, experiment_number=0, pad_eval=True, window=20),
            "patch_weighting_method": TorchKey("patch_weighting", "probe"),
        },
    ),
}
"""Group -> section of the PyTorch option sets, and key -> what it is there."""


class TorchSettings(Observer):
    """Takes settings of `PtychoPINN-Torch` over each time a settings file is opened."""

    def __init__(
        self, registry: SettingsRegistry, take: Callable[[Mapping[str, Any]], list[str]], known: Collection[str]
    ) -> None:
        """Watch for settings files.

        Args:
            registry: the host's settings. Where the host has no such groups they are created, to be read.
            take: sets options by name where ours are at their defaults, and returns what it set, in words.
            known: names of the options that are settings.
        """
        self._registry, self._take, self._known = registry, take, frozenset(known)
        if find_spec(_LIBRARY) is None:
            for name, (_, keys) in TORCH_GROUPS.items():
                _create(registry.create_group(name), keys)
        registry.add_observer(self)

    def _update(self, observable: Observable) -> None:
        values = {name: self._values(name) for name in TORCH_GROUPS if name in self._registry}
        if not self._in_use(values):
            return
        options = _options(values)
        taken = self._take(options)
        lacking = [
            f"{name} = {value!r} ({_DEFAULTS[name]!r} stays)"
            for name, value in options.items()
            if name not in self._known and name in _DEFAULTS and value != _DEFAULTS[name]
        ]
        if lacking:
            logger.warning("Settings of PtychoPINN-Torch that are no settings here: %s.", ", ".join(lacking))
        if taken:
            logger.info("Settings of PtychoPINN-Torch are taken over: %s.", ", ".join(taken))

    def _values(self, group: str) -> dict[str, Any]:
        parameters = self._registry[group].parameters()
        return {key: parameters[key].get_value() for key in TORCH_GROUPS[group][1] if key in parameters}

    def _in_use(self, values: Mapping[str, Mapping[str, Any]]) -> bool:
        if "Processing" in self._registry:
            algorithm = self._registry["Processing"].parameters().get("Algorithm")
            if algorithm is not None and str(algorithm.get_value()).lower().startswith(_ALGORITHM):
                return True
        return any(
            value != TORCH_GROUPS[group][1][key].default
            for group, keys in values.items()
            for key, value in keys.items()
        )


def _options(values: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the options of this package that settings stand for; what cannot be taken over is logged."""
    sections: dict[str, dict[str, Any]] = {}
    for group, keys in values.items():
        section, known = TORCH_GROUPS[group]
        found: dict[str, Any] = {}
        for key, value in keys.items():
            option = known[key].option
            if key == "visible_gpu_indices" and value:
                logger.warning("visible_gpu_indices = %s of PtychoPINN-Torch: set CUDA_VISIBLE_DEVICES to it.", value)
            if option in ("grid_size", "x_bounds", "y_bounds"):
                found[option] = (*found.get(option, ()), value)
            elif option and not (option in _ZERO_IS_NONE and value == 0):
                found[option] = value
        sections[section] = {name: value for name, value in found.items() if _may_be_taken(section, name, value)}
    try:
        file = translated_sets(sections)
    except ConfigError as error:
        logger.warning("Settings of PtychoPINN-Torch are not taken over: %s", error)
        return {}
    changed = [text for text in file.left_out if " = " in text]
    if changed:
        logger.warning("Settings of PtychoPINN-Torch without effect here: %s.", ", ".join(changed))
    options = {**file.options, **{name: file.results[name] for name in ("crop_px", "assembly") if name in file.results}}
    if options.pop("torch_loss_mode", "poisson") == "mae":
        options |= {"mae_weight": options.get("nll_weight", 1.0), "nll_weight": 0.0}
    if options.get("amp_activation") == "silu":
        options["amp_activation"] = "swish"
    # 'auto' would choose another network than that of these settings.
    return {**options, "preset": CUSTOM}


def _may_be_taken(section: str, option: str, value: Any) -> bool:
    fate = TORCH[section].get(option)
    if fate is None or not fate.refused or fate.is_usual(value):
        return True
    logger.warning("The setting %s = %r of PtychoPINN-Torch is not taken over: %s.", option, value, fate.note)
    return False


def _create(group: Any, keys: Mapping[str, TorchKey]) -> None:
    for name, key in keys.items():
        if isinstance(key.default, bool):
            group.create_boolean_parameter(name, key.default)
        elif isinstance(key.default, int):
            group.create_integer_parameter(name, key.default)
        elif isinstance(key.default, float):
            group.create_real_parameter(name, key.default)
        else:
            group.create_string_parameter(name, key.default)
