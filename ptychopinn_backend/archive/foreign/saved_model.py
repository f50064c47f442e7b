"""TensorFlow archives of the original PtychoPINN from before August 2025: a SavedModel and pickled parameters.

A SavedModel holds a traced program and its variables. The program is not looked at; the variables have no names that
tell their roles, but lie in the order in which the framework lists the layers. That order, and their shapes, tell.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from typing import Any, Final

from ptychopinn_backend.archive.container import read_member
from ptychopinn_backend.archive.content import ArchiveContent
from ptychopinn_backend.archive.foreign.parameters import (
    intensity_scale,
    legacy_snapshot,
    model_options,
    read_parameters,
    training_config,
)
from ptychopinn_backend.archive.foreign.planned import complete_weights, model_config
from ptychopinn_backend.archive.foreign.tensor_bundle import read_bundle
from ptychopinn_backend.archive.kinds import CHECKPOINT_INDEX, MODEL_FOLDER, Kind
from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.errors import DamagedArchiveError, UnsupportedModelError
from ptychopinn_backend.networks.cnn import CnnPlan, cnn_plan
from ptychopinn_backend.networks.layers import Convolution

_PARAMETERS: Final = f"{MODEL_FOLDER}/params.dill"
_SUFFIX: Final = "/.ATTRIBUTES/VARIABLE_VALUE"
_OF_THE_NETWORK: Final = ("N", "gridsize", "n_filters_scale", "amp_activation")
_NOT_OF_THE_NETWORK: Final = ("optimizer", "OPTIMIZER_SLOT", "keras_api/metrics")


def read_saved_model(container: zipfile.ZipFile) -> ArchiveContent:
    """Read an archive with a SavedModel.

    Args:
        container: from `open_container`.

    Returns:
        Its model in the terms of this package.

    Raises:
        ArchiveError: it is damaged or unsafe, or holds another network; a subclass says which.
    """
    stored = read_parameters(read_member(container, _PARAMETERS), _PARAMETERS)
    scale = intensity_scale(container, stored)
    indexes = [name for name in container.namelist() if name.startswith(f"{MODEL_FOLDER}/")]
    indexes = [name for name in indexes if name.endswith(CHECKPOINT_INDEX)]
    if len(indexes) != 1:
        raise DamagedArchiveError(f"it holds {len(indexes)} files '{CHECKPOINT_INDEX}' of its network instead of one")
    stem = indexes[0].removesuffix(".index")
    variables = read_bundle(
        read_member(container, indexes[0]),
        lambda number, count: read_member(container, f"{stem}.data-{number:05d}-of-{count:05d}"),
    )
    pairs = _pairs(variables)
    model = _model(stored)
    return ArchiveContent(
        backend="tensorflow",
        model=model,
        training=training_config(stored, model),
        intensity_scale=scale,
        weights=complete_weights(_assigned(cnn_plan(model), pairs), model, scale),
        params=legacy_snapshot(stored, "tensorflow"),
        versions={},
        package_version="unknown",
        converted_from=Kind.SAVED_MODEL.value,
    )


def _pairs(variables: Mapping[str, AnyArray]) -> list[tuple[AnyArray, AnyArray]]:
    """Return kernels and biases of the convolutions, in the order of the layers."""
    of_the_network = {
        name.removesuffix(_SUFFIX): array
        for name, array in variables.items()
        if name.endswith(_SUFFIX) and not any(word in name for word in _NOT_OF_THE_NETWORK)
    }
    names = sorted(of_the_network, key=_natural)
    found = []
    for position, name in enumerate(names):
        kernel = of_the_network[name]
        if kernel.ndim != 4:
            continue
        # A layer has its bias beside its kernel; a mere list of variables has it next.
        beside = f"{name.rpartition('/')[0]}/bias"
        following = names[position + 1] if position + 1 < len(names) else name
        bias = of_the_network[beside if beside in of_the_network else following]
        if bias.shape != kernel.shape[3:]:
            raise UnsupportedModelError(f"its variable '{name[:60]}' is a convolution without bias")
        found.append((kernel, bias))
    return found


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d{1,9})", name)]


def _model(stored: Mapping[str, Any]) -> ModelConfig:
    told = {"object_big": "object.big", "probe_big": "probe.big", "pad_object": "pad_object"}
    return model_config(
        {
            **model_options(stored),
            **{name: stored[key] for name, key in told.items() if isinstance(stored.get(key), bool)},
            **{name: stored[name] for name in _OF_THE_NETWORK if name in stored},
        }
    )


def _assigned(plan: CnnPlan, pairs: list[tuple[AnyArray, AnyArray]]) -> dict[str, AnyArray]:
    weights: dict[str, AnyArray] = {}
    left = list(pairs)
    for convolution in _in_order(plan):
        shape = convolution.shapes[convolution.kernel]
        chosen = next((position for position, (kernel, _) in enumerate(left) if kernel.shape == shape), None)
        if chosen is None:
            raise UnsupportedModelError(
                f"its variables hold none of shape {shape}, which '{convolution.name}' has here"
            )
        weights[convolution.kernel], weights[f"{convolution.name}/bias"] = left.pop(chosen)
    if left:
        raise UnsupportedModelError(f"its variables hold {len(left)} convolutions more than this network has")
    return weights


def _in_order(plan: CnnPlan) -> list[Convolution]:
    """Return the convolutions so that those of equal shape follow as Keras lists them: by depth, amplitude first."""
    amplitude, phase = plan.decoders
    found = [convolution for stage in plan.encoder for convolution in stage]
    for of_amplitude, of_phase in (
        *zip(amplitude.stages, phase.stages, strict=True),
        (amplitude.border or (), phase.border or ()),
        (amplitude.full or (), phase.full or ()),
        ((amplitude.centre,), (phase.centre,)) if amplitude.centre and phase.centre else ((), ()),
    ):
        found += [item for pair in zip(of_amplitude, of_phase, strict=True) for item in pair]
    return found
