"""The generators 'cnn' and 'backprojection_unet' (`networks.cnn`, `networks.backprojection_unet`) as operations."""

from __future__ import annotations

import numpy as np

from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.networks.attention import Attention, BlockAttention, EfficientChannelAttention
from ptychopinn_backend.networks.backprojection_unet import unet_plan
from ptychopinn_backend.networks.cnn import BOTTLENECK, CnnPlan, DecoderPlan, cnn_plan, stage_prefix
from ptychopinn_backend.networks.layers import Convolution
from ptychopinn_backend.onnx_backend.graph import Graph, Value
from ptychopinn_backend.onnx_backend.layers import (
    activate,
    activated,
    convolve,
    convolve_channels,
    convolve_up_sampled,
    normalise,
    pooled,
    up_sampled,
)

Parts = tuple[Value, Value]
"""Real and imaginary part of patches, (group, channel, N, N) each."""
Pair = tuple[Convolution, Convolution]


def cnn_patches(graph: Graph, model: ModelConfig, inputs: Value) -> Parts:
    """Return the patches of the generator 'cnn'.

    Args:
        graph: gets the operations.
        model: the configuration.
        inputs: scaled amplitudes (group, channel, N, N).

    Returns:
        (group, channel, N, N), or (group, 1, N, N) without object_big.
    """
    network = _Cnn(graph, model)
    maps = network.encoded(inputs)
    first, second = network.plan.decoders
    of_first = network.decoded(first, maps)
    of_second = of_first if network.plan.shares_decoder else network.decoded(second, maps)
    if model.cnn_output_mode == "real_imag":
        return network.head(first, of_first, "none", "none"), network.head(second, of_second, "none", "none")
    amplitude = network.head(first, of_first, model.amp_activation, "swish")
    return from_polar(graph, amplitude, network.head(second, of_second, "phase", "swish"))


def unet_patches(graph: Graph, model: ModelConfig, inputs: Value) -> Parts:
    """Return the patches 1 + r + i t of the generator 'backprojection_unet'.

    Args:
        graph: gets the operations.
        model: the configuration.
        inputs: scaled maps of every pattern by itself, (group * channel, 3, N, N).

    Returns:
        (group, channel, N, N).
    """
    plan = unet_plan(model)
    maps, skipped = inputs, []
    for level, pair in enumerate(plan.down):
        maps = activated(graph, pair, pooled(graph, maps) if level else maps, "swish")
        skipped.append(maps)
    for pair, skip in zip(plan.up, skipped[-2::-1], strict=True):
        maps = activated(graph, pair, graph.concat((up_sampled(graph, maps), skip), 1), "swish")
    real, imaginary = graph.split(convolve(graph, plan.last, maps), (1, 1), 1)
    real = graph.node("Add", real, graph.constant(1.0))
    shape = -1, model.channels, model.N, model.N
    return graph.reshape(real, *shape), graph.reshape(imaginary, *shape)


def from_polar(graph: Graph, amplitude: Value, phase: Value) -> Parts:
    """Return real and imaginary part of amplitude * exp(i phase)."""
    real = graph.node("Mul", amplitude, graph.node("Cos", phase))
    return real, graph.node("Mul", amplitude, graph.node("Sin", phase))


class _Cnn:
    """Stages and heads of 'cnn' in a graph."""

    def __init__(self, graph: Graph, model: ModelConfig) -> None:
        self.plan: CnnPlan = cnn_plan(model)
        self._graph, self._N = graph, model.N

    def encoded(self, maps: Value) -> Value:
        for stage in self.plan.encoder:
            maps = pooled(self._graph, self._stage(stage, maps))
        return self._attended(BOTTLENECK, maps)

    def decoded(self, plan: DecoderPlan, maps: Value) -> Value:
        first, *others = plan.stages
        maps = self._stage(first, maps)
        for stage in others:
            maps = self._stage(stage, up_sampled(self._graph, maps))
        return maps

    def head(self, plan: DecoderPlan, maps: Value, activation: str, of_border: str) -> Value:
        graph = self._graph
        if plan.full is not None:
            return activate(graph, activation, self._block(plan.full, maps))
        if plan.centre is None:
            raise AssertionError("a decoder without pad_object has a full head")
        for_border = None
        if plan.border is not None:
            maps, for_border = graph.split(maps, (plan.centre.in_channels, plan.border[0].in_channels), 1)
        elif plan.stages[-1][1].out_channels > plan.centre.in_channels:
            kept = plan.centre.in_channels
            maps = graph.split(maps, (kept, plan.stages[-1][1].out_channels - kept), 1)[0]
        centre = activate(graph, activation, convolve_up_sampled(graph, plan.centre, maps))
        quarter = self._N // 4
        padded = graph.node("Pad", centre, graph.constant([0, 0, quarter, quarter] * 2))
        if plan.border is None or for_border is None:
            return padded
        border = activate(graph, of_border, self._block(plan.border, for_border))
        outside = np.ones((self._N, self._N), np.float32)
        outside[quarter:-quarter, quarter:-quarter] = 0
        return graph.node("Add", padded, graph.node("Mul", border, graph.constant(outside)))

    def _block(self, block: tuple[Convolution, Convolution, Convolution], maps: Value) -> Value:
        pair = self._pair((block[0], block[1]), up_sampled(self._graph, maps))
        return convolve_up_sampled(self._graph, block[2], pair)

    def _stage(self, stage: Pair, maps: Value) -> Value:
        return self._attended(stage_prefix(stage), self._pair(stage, maps))

    def _pair(self, pair: Pair, maps: Value) -> Value:
        for convolution in pair:
            maps = convolve(self._graph, convolution, maps)
            normalisation = self.plan.normalisations.get(convolution.name)
            if normalisation is not None:
                maps = normalise(self._graph, normalisation, maps)
            maps = activate(self._graph, "relu", maps)
        return maps

    def _attended(self, prefix: str, maps: Value) -> Value:
        for attention in self.plan.attention.get(prefix, ()):
            maps = _attend(self._graph, attention, maps)
        return maps


def _attend(graph: Graph, attention: Attention, maps: Value) -> Value:
    if isinstance(attention, EfficientChannelAttention):
        line = graph.transpose(graph.node("GlobalAveragePool", maps), 0, 2, 3, 1)
        gate = graph.transpose(convolve_channels(graph, attention.channel, line), 0, 3, 1, 2)
        return graph.node("Mul", maps, graph.node("Sigmoid", gate))
    if isinstance(attention, BlockAttention):
        votes = []
        for operator in ("GlobalAveragePool", "GlobalMaxPool"):
            hidden = activated(graph, (attention.reduce,), graph.node(operator, maps), "relu")
            votes.append(convolve(graph, attention.expand, hidden))
        maps = graph.node("Mul", maps, graph.node("Sigmoid", graph.node("Add", *votes)))
    seen = [graph.node(operator, maps, axes=[1], keepdims=1) for operator in ("ReduceMean", "ReduceMax")]
    gate = convolve(graph, attention.spatial, graph.concat(seen, 1))
    return graph.node("Mul", maps, graph.node("Sigmoid", gate))
