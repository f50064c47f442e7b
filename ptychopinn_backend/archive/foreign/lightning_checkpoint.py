"""Checkpoints of Lightning that the library `ptychopinn-torch` of Ptychodus wrote: weights, and options as records."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from typing import Any, Final

from ptychopinn_backend.archive.content import ArchiveContent
from ptychopinn_backend.archive.foreign.parameters import (
    legacy_snapshot,
    model_options,
    plain_values,
    positive_number,
    training_config,
)
from ptychopinn_backend.archive.foreign.planned import complete_weights
from ptychopinn_backend.archive.foreign.torch_archive import read_state, require_amplitude_and_phase
from ptychopinn_backend.archive.foreign.torch_tensors import TorchFile, dictionary
from ptychopinn_backend.archive.kinds import Kind
from ptychopinn_backend.errors import DamagedArchiveError, ForeignArchiveError, UnsupportedModelError
from ptychopinn_backend.files.inert_pickle import GlobalName, Record

_ORIGIN: Final = "a Lightning checkpoint of ptychopinn-torch"
_OURS: Final = "ptychopinn"
"""Key of this package in its own checkpoints."""
_OPTION_SETS: Final = ("DataConfig", "ModelConfig", "TrainingConfig")
_ARCHITECTURES: Final = (None, "cnn", "unet")
"""What the one network that is read is called."""
_MODES: Final = {"Unsupervised": "pinn", "Supervised": "supervised"}
_TRAINING: Final = {"epochs": "nepochs", "K": "neighbor_count", "warmup_epochs": "lr_warmup_epochs"}
"""Option -> field of `TrainingConfig`, where they are called differently."""


def read_checkpoint(container: zipfile.ZipFile) -> ArchiveContent:
    """Read a checkpoint of `ptychopinn-torch`.

    Args:
        container: from `open_container`.

    Returns:
        Its model in the terms of this package.

    Raises:
        ForeignArchiveError: it is a checkpoint of something else.
        ArchiveError: it is damaged, or holds another network; a subclass says which.
    """
    file, content = _opened(container)
    options = _option_sets(dictionary(content.get("hyper_parameters")) or {})
    if not options["ModelConfig"]:
        raise UnsupportedModelError(f"it is {Kind.CHECKPOINT.value} that does not hold the options of its network")
    data, network = options["DataConfig"], options["ModelConfig"]
    _require_known(network)
    stored = _translated(data, network, options["TrainingConfig"])
    told = {**model_options(stored), **{name: network[name] for name in _of_the_network(network)}}
    if type(data.get("N")) is int and data["N"] > 0:
        told["N"] = data["N"]
    model, weights = read_state(file, content["state_dict"], told)
    scale = positive_number(stored, "intensity_scale") or math.sqrt(stored.get("nphotons", 1e5)) / (model.N / 2)
    version = content.get("pytorch-lightning_version")
    return ArchiveContent(
        backend="pytorch",
        model=model,
        training=training_config(stored, model),
        intensity_scale=scale,
        weights=complete_weights(weights, model, scale),
        params=legacy_snapshot(
            {**stored, "N": model.N, "gridsize": model.gridsize, "intensity_scale": scale}, "pytorch"
        ),
        versions={"lightning": version[:40]} if isinstance(version, str) else {},
        package_version="unknown",
        converted_from=_ORIGIN,
    )


def _opened(container: zipfile.ZipFile) -> tuple[TorchFile, dict[Any, Any]]:
    try:
        file = TorchFile(container, "the checkpoint")
    except DamagedArchiveError as error:
        raise ForeignArchiveError(f"it seems to be {Kind.CHECKPOINT.value}, and {error}") from error
    content = dictionary(file.content)
    if content is None or "state_dict" not in content:
        raise ForeignArchiveError(f"it seems to be {Kind.CHECKPOINT.value}, which holds no trained model")
    if _OURS in content:
        raise ForeignArchiveError("it is a checkpoint from which a training of this package goes on, and no model")
    return file, content


def _option_sets(hyper_parameters: Mapping[Any, Any]) -> dict[str, dict[str, Any]]:
    """Return the plain options of each set, whether it was kept as an object or as a dictionary."""
    found: dict[str, dict[str, Any]] = {name: {} for name in _OPTION_SETS}
    for key, value in hyper_parameters.items():
        made_by = value.made_by if isinstance(value, Record) else None
        name = made_by.name if isinstance(made_by, GlobalName) else str(key).title().replace("_", "")
        if name in found:
            found[name] = plain_values(_fields(value))
    return found


def _fields(value: Any) -> Mapping[Any, Any]:
    state = value.state if isinstance(value, Record) else value
    # With slots the state is a pair, one of them None.
    parts = state if isinstance(state, tuple) else (state,)
    return next((part for part in parts if isinstance(part, dict) and part), {})


def _require_known(network: Mapping[str, Any]) -> None:
    if network.get("architecture") not in _ARCHITECTURES:
        raise UnsupportedModelError(
            f"its network is of architecture '{network['architecture']}', and only 'cnn' is read"
        )
    require_amplitude_and_phase(network)


def _of_the_network(network: Mapping[str, Any]) -> list[str]:
    names = [name for name in ("object_big", "probe_big", "pad_object") if isinstance(network.get(name), bool)]
    return [*names, *(["amp_activation"] if isinstance(network.get("amp_activation"), str) else [])]


def _translated(data: Mapping[str, Any], network: Mapping[str, Any], training: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options under the names of this package; one that means something else here is left out."""
    stored = {
        **{name: value for name, value in training.items() if name not in ("scheduler", "notes", "device")},
        **{name: data[name] for name in ("nphotons", "probe_scale", "K") if name in data},
        **{name: network[name] for name in ("intensity_scale", "intensity_scale_trainable") if name in network},
        **{name: network[name] for name in ("gaussian_smoothing_sigma", "probe_mask_sigma") if name in network},
        "model_type": _MODES.get(network.get("mode", ""), "pinn"),
        "object.big": network.get("object_big", True),
        "probe.big": network.get("probe_big", True),
    }
    if isinstance(training.get("nll"), bool):
        stored["nll_weight"], stored["mae_weight"] = (1.0, 0.0) if training["nll"] else (0.0, 1.0)
    return {_TRAINING.get(name, name): value for name, value in stored.items() if value is not None}
