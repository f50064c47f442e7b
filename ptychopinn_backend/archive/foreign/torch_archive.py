"""PyTorch archives of the original PtychoPINN (version 2.0-pytorch): a state dict and pickled parameters."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from typing import Any, Final

from ptychopinn_backend.archive.container import open_nested, read_member
from ptychopinn_backend.archive.content import ArchiveContent
from ptychopinn_backend.archive.foreign.parameters import (
    legacy_snapshot,
    model_options,
    positive_number,
    read_parameters,
    training_config,
)
from ptychopinn_backend.archive.foreign.planned import complete_weights, model_config
from ptychopinn_backend.archive.foreign.torch_network import NETWORK, named_weights, network_options
from ptychopinn_backend.archive.foreign.torch_tensors import TorchFile, dictionary
from ptychopinn_backend.archive.kinds import MODEL_FOLDER, TORCH_STATE, Kind
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.errors import DamagedArchiveError, UnsupportedModelError

_PARAMETERS: Final = f"{MODEL_FOLDER}/params.dill"
_COMPUTED: Final = "swish"
"""Activation of the amplitude in the networks of such archives."""
_SAID_OF_IT: Final = ("sigmoid", "silu", "swish")
"""What their parameters may call it: 'sigmoid' is the default of another set of options, which the network ignores."""


def read_torch_archive(container: zipfile.ZipFile) -> ArchiveContent:
    """Read a PyTorch archive of PtychoPINN.

    Args:
        container: from `open_container`.

    Returns:
        Its model in the terms of this package.

    Raises:
        ArchiveError: it is damaged or unsafe, or holds another network; a subclass says which.
    """
    stored = read_parameters(read_member(container, _PARAMETERS), _PARAMETERS)
    scale = positive_number(stored, "intensity_scale")
    if scale is None:
        raise DamagedArchiveError(f"its {_PARAMETERS} does not tell the intensity scale")
    architecture = stored.get("architecture", "cnn")
    if architecture != "cnn":
        raise UnsupportedModelError(
            f"its network is of architecture '{str(architecture)[:40]}', and only 'cnn' is read"
        )
    require_amplitude_and_phase(stored)
    activation = stored.get("amp_activation", "silu")
    if activation not in _SAID_OF_IT:
        raise UnsupportedModelError(
            f"its parameters say amp_activation = '{str(activation)[:40]}', which such networks were not seen to follow"
        )
    with open_nested(read_member(container, TORCH_STATE), TORCH_STATE) as nested:
        file = TorchFile(nested, TORCH_STATE)
        model, weights = read_state(file, file.content, {**_told(stored), "amp_activation": _COMPUTED})
    return ArchiveContent(
        backend="pytorch",
        model=model,
        training=training_config(stored, model),
        intensity_scale=scale,
        weights=complete_weights(weights, model, scale),
        params=legacy_snapshot(stored, "pytorch"),
        versions={},
        package_version="unknown",
        converted_from=Kind.TORCH.value,
    )


def require_amplitude_and_phase(network: Mapping[str, Any]) -> None:
    """Refuse a network that puts out something else than amplitude and phase.

    Args:
        network: its options, as far as they are told.

    Raises:
        UnsupportedModelError: it puts out real and imaginary part.
    """
    if network.get("cnn_output_mode") == "real_imag" or network.get("object_representation") == "rectangular":
        raise UnsupportedModelError(
            "its network puts out real and imaginary part, and how it limits and scales them is not known here"
        )


def read_state(file: TorchFile, saved: Any, told: Mapping[str, Any]) -> tuple[ModelConfig, dict[str, Any]]:
    """Return network and weights of a state dict.

    Args:
        file: it is part of.
        saved: the state dict as `read_inert` returns it.
        told: fields of `ModelConfig` that the options of the model tell.

    Returns:
        The configuration, and canonical name -> array.

    Raises:
        UnsupportedModelError: it holds another network.
        DamagedArchiveError: it is malformed.
    """
    state = dictionary(saved)
    if state is None:
        raise DamagedArchiveError("its weights are no dictionary")
    named = {name.replace("_orig_mod.", ""): value for name, value in state.items() if isinstance(name, str)}
    starts = {name.partition(NETWORK)[0] for name in named if NETWORK in name}
    if len(starts) != 1:
        raise UnsupportedModelError(f"its weights hold {len(starts)} networks '{NETWORK.rstrip('.')}' instead of one")
    prefix = starts.pop() + NETWORK
    tensors = {
        name.removeprefix(prefix): file.array(value, name) for name, value in named.items() if name.startswith(prefix)
    }
    weights = named_weights(tensors)
    options = network_options(weights, told)
    return model_config({**told, **options}), weights


def _told(stored: Mapping[str, Any]) -> dict[str, Any]:
    told = model_options(stored)
    for name, key in (("object_big", "object.big"), ("probe_big", "probe.big"), ("pad_object", "pad_object")):
        if isinstance(stored.get(key), bool):
            told[name] = stored[key]
    N = stored.get("N")
    return {**told, "N": N} if type(N) is int and N > 0 else told
