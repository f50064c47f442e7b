"""TensorFlow archives of the original PtychoPINN since February 2026: a Keras model and pickled parameters."""

from __future__ import annotations

import zipfile
from typing import Any, Final

from ptychopinn_backend.archive.container import open_nested, read_member
from ptychopinn_backend.archive.content import ArchiveContent
from ptychopinn_backend.archive.foreign.keras_graph import KerasGraph, KerasLayer
from ptychopinn_backend.archive.foreign.keras_network import KerasNetwork, read_network
from ptychopinn_backend.archive.foreign.parameters import (
    intensity_scale,
    legacy_snapshot,
    model_options,
    read_parameters,
    training_config,
)
from ptychopinn_backend.archive.foreign.planned import complete_weights, filters_scale, gridsize_of, model_config
from ptychopinn_backend.archive.kinds import KERAS_MODEL, MODEL_FOLDER, Kind
from ptychopinn_backend.archive.typed_json import load_json
from ptychopinn_backend.archive.weights import load_arrays
from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.errors import DamagedArchiveError

_PARAMETERS: Final = f"{MODEL_FOLDER}/params.dill"
_FOLDERS: Final = ("layers", "_layer_checkpoint_dependencies")
"""Where versions of Keras keep the weights of layers in the HDF5 file."""


def read_keras_archive(container: zipfile.ZipFile) -> ArchiveContent:
    """Read a TensorFlow archive of PtychoPINN.

    Args:
        container: from `open_container`.

    Returns:
        Its model in the terms of this package.

    Raises:
        ArchiveError: it is damaged or unsafe, or holds another network; a subclass says which.
    """
    stored = read_parameters(read_member(container, _PARAMETERS), _PARAMETERS)
    with open_nested(read_member(container, KERAS_MODEL), KERAS_MODEL) as keras:
        network = read_network(KerasGraph(read_member(keras, "config.json")))
        arrays = load_arrays(read_member(keras, "model.weights.h5"))
        saved = _saved_with(read_member(keras, "metadata.json"))
    scale = intensity_scale(container, stored)
    model = _model(network, stored)
    weights = {
        f"{role}/{part}": _weight(arrays, layer, index)
        for role, layer in network.roles.items()
        for index, part in enumerate(("kernel", "bias"))
    }
    return ArchiveContent(
        backend="tensorflow",
        model=model,
        training=training_config(stored, model),
        intensity_scale=scale,
        weights=complete_weights(weights, model, scale),
        params=legacy_snapshot(stored, "tensorflow"),
        versions={"keras": saved} if saved else {},
        package_version="unknown",
        converted_from=Kind.KERAS.value,
    )


def _model(network: KerasNetwork, stored: dict[str, Any]) -> ModelConfig:
    last_stage = max(int(role.split("/")[1].removeprefix("stage")) for role in network.roles if role.startswith("enc"))
    head = "full" if not network.pad_object else "border"
    widths = {role: layer.config.get("filters") for role, layer in network.roles.items()}
    scale = filters_scale(_count(widths.get(f"encoder/stage{last_stage}/conv1")))
    border_width = widths.get(f"amplitude/{head}/conv0")
    usual = border_width in (None, scale * 2048 // network.N)
    return model_config(
        {
            **model_options(stored),
            "N": network.N,
            "gridsize": gridsize_of(network.channels),
            "n_filters_scale": scale,
            "amp_activation": network.amp_activation,
            "pad_object": network.pad_object,
            "probe_big": network.probe_big or not network.pad_object,
            "object_big": network.object_big,
            "border_maps": network.border_maps if network.pad_object else 4,
            "border_width": None if usual else border_width,
        }
    )


def _weight(arrays: dict[str, AnyArray], layer: KerasLayer, index: int) -> AnyArray:
    # Keras numbers the layers of a class in the order of config.json, whatever number their names have.
    number = f"_{layer.position}" if layer.position else ""
    for folder in _FOLDERS:
        found = arrays.get(f"{folder}/conv2d{number}/vars/{index}")
        if found is not None:
            return found
    raise DamagedArchiveError(f"the weights of its layer '{layer.name[:40]}' are missing")


def _saved_with(text: bytes) -> str:
    try:
        version = load_json(text)["keras_version"]
    except (ValueError, KeyError, TypeError):
        return ""
    return version[:40] if isinstance(version, str) else ""


def _count(value: Any) -> int:
    return value if type(value) is int else 0
