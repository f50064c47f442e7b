"""The whole inference of a model as one graph: normalisation, back-projection, network, patches of a group."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import onnx

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.config.generators import uses_back_projection
from ptychopinn_backend.networks.backprojection_unet import unet_plan
from ptychopinn_backend.networks.cnn import cnn_plan
from ptychopinn_backend.networks.fourier_operators import hybrid_plan, hybrid_resnet_plan, operator_plan
from ptychopinn_backend.networks.layers import Layer, initial_weights
from ptychopinn_backend.networks.weights import LOG_SCALE
from ptychopinn_backend.onnx_backend.convolutional import Parts, cnn_patches, unet_patches
from ptychopinn_backend.onnx_backend.fourier_operators import hybrid_patches, hybrid_resnet_patches, operator_patches
from ptychopinn_backend.onnx_backend.graph import Graph, Value
from ptychopinn_backend.onnx_backend.physics import ProbeInputs, back_projected, group_patches

AMPLITUDES: Final = "amplitudes"
NORMALISATION: Final = "normalisation"
PATCHES: Final = ("patch_real", "patch_imaginary")
"""Outputs: patches as the physics sees them, (group, channel, N, N)."""
NETWORK_PATCHES: Final = ("network_real", "network_imaginary")
"""Outputs with groups of several patterns: what the network puts out, (group, channel or 1, N, N)."""
DESCRIPTION: Final = (
    "Ptychography: diffraction patterns to complex object patches. 'amplitudes' are square roots of counts, 0 at "
    "bad pixels, zero frequency at the array centre; 'normalisation' is (N / 2) / sqrt(mean photons of a pattern of "
    "the scan). 'patch_real' and 'patch_imaginary' are the patches that the probe lights. docs/onnx.md of "
    "ptychopinn-backend says more."
)


class _Generator(NamedTuple):
    layers: Callable[[ModelConfig], Iterable[Layer]]
    patches: Callable[[Graph, ModelConfig, Value], Parts]


_OPERATOR: Final = _Generator(lambda model: operator_plan(model).layers, operator_patches)
GENERATORS: Final[Mapping[str, _Generator]] = MappingProxyType(
    {
        "cnn": _Generator(lambda model: cnn_plan(model).layers, cnn_patches),
        "backprojection_unet": _Generator(lambda model: unet_plan(model).convolutions, unet_patches),
        "fno": _OPERATOR,
        "ffno": _OPERATOR,
        "fno_vanilla": _OPERATOR,
        "hybrid": _Generator(lambda model: hybrid_plan(model).layers, hybrid_patches),
        "hybrid_resnet": _Generator(lambda model: hybrid_resnet_plan(model).layers, hybrid_resnet_patches),
    }
)
"""Architecture -> its layers, and its operations."""


def starting_weights(model: ModelConfig, seed: int) -> dict[str, AnyArray]:
    """Return the starting weights of a network, the same as in every backend.

    Args:
        model: the configuration, of a built-in generator.
        seed: seed of the run.

    Returns:
        Canonical name -> float32 array.
    """
    return initial_weights(GENERATORS[model.architecture].layers(model), seed)


def inference_model(
    model: ModelConfig,
    weights: Mapping[str, AnyArray],
    log_intensity_scale: float,
    *,
    probe: ProbeInputs | None = None,
    metadata: Mapping[str, str] = MappingProxyType({}),
) -> onnx.ModelProto:
    """Return the inference of a model; its weights are initialisers of their canonical names.

    Args:
        model: the configuration, of a built-in generator.
        weights: canonical name -> array, canonical layout.
        log_intensity_scale: logarithm of the factor the network was given its amplitudes with at the start of training.
        probe: what is taken where the caller of a graph with back-projection gives no probe.
        metadata: key -> text that goes along.

    Returns:
        The model, for any number of groups.
    """
    graph, N = Graph(weights), model.N
    amplitudes = graph.input(AMPLITUDES, ("group", model.channels, N, N))
    normalised = graph.node("Mul", amplitudes, graph.input(NORMALISATION, ()))
    inputs = normalised
    if uses_back_projection(model.architecture):
        inputs = back_projected(graph, model, normalised, probe)
    gap = graph.node("Sub", graph.constant(log_intensity_scale), graph.weight(LOG_SCALE))
    scaled = graph.node("Mul", inputs, graph.node("Exp", gap))
    network = GENERATORS[model.architecture].patches(graph, model, scaled)
    patches = group_patches(graph, model, network)
    for name, part in zip(PATCHES, patches, strict=True):
        graph.output(name, part, ("group", model.channels, N, N))
    if model.channels > 1:
        for name, part in zip(NETWORK_PATCHES, network, strict=True):
            graph.output(name, part, ("group", model.channels if model.object_big else 1, N, N))
    return graph.model(DESCRIPTION, metadata)
