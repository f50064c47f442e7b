"""The Fourier-operator generators (`networks.fourier_operators`) as operations of ONNX."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import numpy as np

from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.networks.fourier_operators import (
    COORDINATE_MAPS,
    FactorisedBlock,
    FourierBlock,
    HybridPlan,
    HybridResnetPlan,
    OperatorPlan,
    ResidualPair,
    hybrid_plan,
    hybrid_resnet_plan,
    operator_plan,
)
from ptychopinn_backend.networks.layers import Convolution
from ptychopinn_backend.onnx_backend.convolutional import Parts, from_polar
from ptychopinn_backend.onnx_backend.graph import Graph, Value
from ptychopinn_backend.onnx_backend.layers import (
    activate,
    activated,
    convolve,
    convolve_transposed,
    filtered,
    pooled,
    up_sampled,
)
from ptychopinn_backend.physics.placement import patch_window

SQUARE_ROOT_FLOOR: Final = 1e-12
"""Added to amplitudes before their square root, as in training."""
INSTANCE_NORM_EPSILON: Final = 1e-5
"""Added to the variance of a pattern."""

Plan: TypeAlias = OperatorPlan | HybridPlan | HybridResnetPlan


def operator_patches(graph: Graph, model: ModelConfig, inputs: Value) -> Parts:
    """Return the patches of 'fno_vanilla', 'fno' and 'ffno'; arguments and result as for `cnn_patches`."""
    plan = operator_plan(model)

    def features(lifted: Value) -> Value:
        maps = lifted
        for block in plan.blocks:
            if isinstance(block, FourierBlock):
                maps = _fourier(graph, block, maps, model.N)
            else:
                maps = _factorised(graph, block, maps, model.N)
        for pair in plan.refiner:
            maps = _residual(graph, pair, maps)
        return activated(graph, (plan.projection,), maps, "gelu")

    return _patches(graph, model, plan, inputs, features)


def hybrid_patches(graph: Graph, model: ModelConfig, inputs: Value) -> Parts:
    """Return the patches of 'hybrid'; arguments and result as for `cnn_patches`."""
    plan = hybrid_plan(model)

    def features(lifted: Value) -> Value:
        *skipped, maps = _levels(graph, plan.levels, lifted, model.N)
        for convolutions, skip in zip(plan.up, reversed(skipped), strict=True):
            maps = activated(graph, convolutions, graph.concat((up_sampled(graph, maps), skip), 1), "gelu")
        return maps

    return _patches(graph, model, plan, inputs, features)


def hybrid_resnet_patches(graph: Graph, model: ModelConfig, inputs: Value) -> Parts:
    """Return the patches of 'hybrid_resnet'; arguments and result as for `cnn_patches`."""
    plan = hybrid_resnet_plan(model)

    def features(lifted: Value) -> Value:
        maps = convolve(graph, plan.enter, _levels(graph, plan.levels, lifted, model.N)[-1])
        for pair in plan.bottleneck:
            maps = _residual(graph, pair, maps)
        for layer in plan.up:
            maps = activate(graph, "gelu", convolve_transposed(graph, layer, maps))
        return maps

    return _patches(graph, model, plan, inputs, features)


def _patches(graph: Graph, model: ModelConfig, plan: Plan, inputs: Value, features: Callable[[Value], Value]) -> Parts:
    lifted = _lifted(graph, plan.lifting, _transformed(graph, model, inputs), model.N)
    maps = features(lifted)
    first, second = (convolve(graph, head, maps) for head in plan.heads)
    parts = first, second
    if model.generator_output_mode != "real_imag":
        bounded = model.generator_output_mode == "amp_phase"
        amplitude = activate(graph, "sigmoid" if bounded else model.amp_activation, first)
        parts = from_polar(graph, amplitude, activate(graph, "phase", second))
    if model.pad_object and not model.probe_big:
        central = patch_window(model.N, central_only=True)
        window = graph.constant(np.outer(central, central))
        parts = graph.node("Mul", parts[0], window), graph.node("Mul", parts[1], window)
    return parts


def _transformed(graph: Graph, model: ModelConfig, inputs: Value) -> Value:
    name = model.fno_input_transform
    if name == "sqrt":
        return graph.node("Sqrt", graph.node("Add", inputs, graph.constant(SQUARE_ROOT_FLOOR)))
    if name == "log1p":
        return graph.node("Log", graph.node("Add", inputs, graph.constant(1.0)))
    if name == "instancenorm":
        ones, zeros = graph.constant(np.ones(model.channels)), graph.constant(np.zeros(model.channels))
        return graph.node("InstanceNormalization", inputs, ones, zeros, epsilon=INSTANCE_NORM_EPSILON)
    return inputs


def _lifted(graph: Graph, lifting: Convolution, inputs: Value, N: int) -> Value:
    """Return the lifting of patterns and coordinates; what it makes of the coordinates is a constant."""
    line = np.linspace(-1, 1, N)
    coordinates = graph.constant(np.stack(np.meshgrid(line, line, indexing="ij"))[np.newaxis])
    parts = lifting.in_channels - COORDINATE_MAPS, COORDINATE_MAPS
    of_patterns, of_coordinates = graph.split(graph.weight(lifting.kernel), parts, 1)
    bias = graph.weight(f"{lifting.name}/bias")
    found = graph.node("Conv", inputs, of_patterns, bias, kernel_shape=(1, 1))
    return graph.node("Add", found, graph.node("Conv", coordinates, of_coordinates, kernel_shape=(1, 1)))


def _fourier(graph: Graph, block: FourierBlock, maps: Value, side: int) -> Value:
    mixed = graph.node("Add", filtered(graph, block.spectral, maps, side), convolve(graph, block.local, maps))
    return activate(graph, "gelu", mixed)


def _factorised(graph: Graph, block: FactorisedBlock, maps: Value, side: int) -> Value:
    rows, columns = (filtered(graph, layer, maps, side) for layer in (block.rows, block.columns))
    hidden = activated(graph, (block.expand,), graph.node("Add", rows, columns), "gelu")
    return graph.node("Add", maps, convolve(graph, block.contract, hidden))


def _residual(graph: Graph, pair: ResidualPair, maps: Value) -> Value:
    return graph.node("Add", maps, convolve(graph, pair[1], activated(graph, pair[:1], maps, "gelu")))


def _levels(graph: Graph, levels: Iterable[FourierBlock], maps: Value, side: int) -> list[Value]:
    found: list[Value] = []
    for block in levels:
        if found:
            maps, side = pooled(graph, maps, "AveragePool"), side // 2
        maps = _fourier(graph, block, maps, side)
        found.append(maps)
    return found
