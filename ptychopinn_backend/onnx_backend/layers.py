"""The layers of plans (`networks.layers`) as operations of ONNX; maps are (group, map, row, column)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import numpy as np

from ptychopinn_backend.arrays import Float64Array
from ptychopinn_backend.networks.layers import (
    BatchNormalisation,
    ChannelConvolution,
    Convolution,
    SpectralConvolution,
    TransposedConvolution,
)
from ptychopinn_backend.networks.upsampling import FOLDING
from ptychopinn_backend.onnx_backend.graph import Graph, Value

BATCH_NORM_EPSILON: Final = 1e-5
"""Added to the variance."""


def convolve(graph: Graph, layer: Convolution, maps: Value) -> Value:
    """Return the 'same' convolution with bias.

    Args:
        graph: gets the operations.
        layer: the layer.
        maps: (group, in, row, column).

    Returns:
        (group, out, row, column).
    """
    weights = graph.weight(layer.kernel), graph.weight(f"{layer.name}/bias")
    return graph.node("Conv", maps, *weights, kernel_shape=(layer.size,) * 2, pads=(layer.size // 2,) * 4)


def convolve_up_sampled(graph: Graph, layer: Convolution, maps: Value) -> Value:
    """Return the 3 x 3 convolution of the up-sampled maps, computed before up-sampling (`networks.upsampling`).

    The new kernel is made in the graph, so that weights stay what they are; a runtime computes it once.

    Args:
        graph: gets the operations.
        layer: the layer.
        maps: (group, in, row, column).

    Returns:
        (group, out, 2 row, 2 column).
    """
    out, seen = layer.out_channels, layer.in_channels
    flat = graph.reshape(graph.weight(layer.kernel), out * seen, 9)
    folded = graph.node("MatMul", flat, graph.constant(FOLDING.reshape(9, 36)))
    by_place = graph.transpose(graph.reshape(folded, out, seen, 4, 3, 3), 2, 0, 1, 3, 4)
    kernel = graph.reshape(by_place, 4 * out, seen, 3, 3)
    bias = graph.node("Tile", graph.weight(f"{layer.name}/bias"), graph.constant([4]))
    found = graph.node("Conv", maps, kernel, bias, kernel_shape=(3, 3), pads=(1, 1, 1, 1))
    return graph.node("DepthToSpace", found, blocksize=2, mode="DCR")


def convolve_transposed(graph: Graph, layer: TransposedConvolution, maps: Value) -> Value:
    """Return the transposed convolution of stride 2, (group, out, 2 row, 2 column)."""
    weights = graph.weight(f"{layer.name}/kernel"), graph.weight(f"{layer.name}/bias")
    pads = ((layer.size - 2) // 2,) * 4
    return graph.node("ConvTranspose", maps, *weights, kernel_shape=(layer.size,) * 2, strides=(2, 2), pads=pads)


def convolve_channels(graph: Graph, layer: ChannelConvolution, line: Value) -> Value:
    """Return the convolution along the maps of (group, 1, 1, map), the same shape."""
    half = layer.size // 2
    (kernel,) = layer.shapes
    return graph.node("Conv", line, graph.weight(kernel), kernel_shape=(1, layer.size), pads=(0, half, 0, half))


def normalise(graph: Graph, layer: BatchNormalisation, maps: Value) -> Value:
    """Return maps normalised by the running statistics."""
    weights = [graph.weight(f"{layer.name}/{part}") for part in ("scale", "shift", "mean", "variance")]
    return graph.node("BatchNormalization", maps, *weights, epsilon=BATCH_NORM_EPSILON)


def activated(graph: Graph, layers: Iterable[Convolution], maps: Value, activation: str) -> Value:
    """Return what convolutions, each followed by an activation of `ACTIVATIONS`, make of maps."""
    for layer in layers:
        maps = activate(graph, activation, convolve(graph, layer, maps))
    return maps


def activate(graph: Graph, activation: str, maps: Value) -> Value:
    """Return activated maps.

    Args:
        graph: gets the operations.
        activation: sigmoid, swish, softplus, relu, gelu, phase (pi tanh) or none.
        maps: any shape.

    Returns:
        The same shape.
    """
    if activation == "none":
        return maps
    if activation == "swish":
        return graph.node("Mul", maps, graph.node("Sigmoid", maps))
    if activation == "phase":
        return graph.node("Mul", graph.node("Tanh", maps), graph.constant(math.pi))
    if activation == "gelu":
        # As ONNX Runtime recognises it and computes it in one pass.
        share = graph.node("Erf", graph.node("Div", maps, graph.constant(math.sqrt(2.0))))
        doubled = graph.node("Mul", maps, graph.node("Add", share, graph.constant(1.0)))
        return graph.node("Mul", doubled, graph.constant(0.5))
    return graph.node({"sigmoid": "Sigmoid", "softplus": "Softplus", "relu": "Relu"}[activation], maps)


def up_sampled(graph: Graph, maps: Value) -> Value:
    """Return every pixel as two by two."""
    return graph.node(
        "Resize",
        maps,
        "",
        graph.constant([1.0, 1.0, 2.0, 2.0]),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def pooled(graph: Graph, maps: Value, operator: str = "MaxPool") -> Value:
    """Return the maximum, or with 'AveragePool' the mean, of every two by two pixels."""
    return graph.node(operator, maps, kernel_shape=(2, 2), strides=(2, 2))


def filtered(graph: Graph, layer: SpectralConvolution, maps: Value, side: int) -> Value:
    """Return maps filtered by a spectral convolution: products with cosines and sines, as few modes are kept.

    Args:
        graph: gets the operations.
        layer: the layer.
        maps: (group, in, side, side).
        side: rows and columns.

    Returns:
        (group, out, side, side).
    """
    if layer.column_modes == 0:
        return graph.transpose(_filtered_lines(graph, layer, graph.transpose(maps, 0, 1, 3, 2), side), 0, 1, 3, 2)
    if layer.row_modes == 0:
        return _filtered_lines(graph, layer, maps, side)
    return _filtered_image(graph, layer, maps, side)


def _spectral_kernel(graph: Graph, layer: SpectralConvolution) -> Value:
    """Return the complex matrices as real ones, (row frequency, column frequency, in * part, out * part)."""
    rows, columns, seen, out = next(iter(layer.shapes.values()))
    real, imaginary = (
        graph.reshape(graph.weight(f"{layer.name}/kernel_{part}"), out, 1, seen, 1, rows, columns)
        for part in ("real", "imaginary")
    )
    of_real = graph.concat((real, imaginary), 1)
    of_imaginary = graph.concat((graph.node("Neg", imaginary), real), 1)
    kernel = graph.transpose(graph.concat((of_real, of_imaginary), 3), 4, 5, 2, 3, 0, 1)
    return graph.reshape(kernel, rows, columns, 2 * seen, 2 * out)


def _waves(frequencies: Float64Array, side: int) -> tuple[Float64Array, Float64Array]:
    """Return cosines and sines of the unitary transform, (frequency, side)."""
    angle = frequencies[:, np.newaxis] * np.arange(side) % side * (2 * np.pi / side)
    return np.cos(angle) / math.sqrt(side), np.sin(angle) / math.sqrt(side)


def _line_transforms(side: int, modes: int) -> tuple[Float64Array, Float64Array]:
    """Return the matrix to the lowest frequencies of a real line, (side, part * frequency), and the one back."""
    cosines, sines = _waves(np.arange(modes, dtype=np.float64), side)
    # A negative frequency adds as much to a real line as the positive one; the mean has none.
    weight = np.full((modes, 1), 2.0)
    weight[0] = 1.0
    return np.concatenate((cosines, -sines)).T, np.concatenate((weight * cosines, -weight * sines))


def _filtered_lines(graph: Graph, layer: SpectralConvolution, lines: Value, side: int) -> Value:
    modes = layer.row_modes or layer.column_modes
    forth, back = _line_transforms(side, modes)
    spectrum = graph.reshape(graph.node("MatMul", lines, graph.constant(forth)), 0, 0, side, 2, modes)
    by_frequency = graph.reshape(graph.transpose(spectrum, 4, 0, 2, 1, 3), modes, -1, 2 * layer.in_channels)
    kernel = graph.reshape(_spectral_kernel(graph, layer), modes, 2 * layer.in_channels, 2 * layer.out_channels)
    mixed = graph.reshape(graph.node("MatMul", by_frequency, kernel), modes, -1, side, layer.out_channels, 2)
    ordered = graph.reshape(graph.transpose(mixed, 1, 3, 2, 4, 0), 0, 0, side, 2 * modes)
    return graph.node("MatMul", ordered, graph.constant(back))


def _filtered_image(graph: Graph, layer: SpectralConvolution, maps: Value, side: int) -> Value:
    seen, out, columns, rows = layer.in_channels, layer.out_channels, layer.column_modes, 2 * layer.row_modes
    forth, back = _line_transforms(side, columns)
    index = np.arange(rows, dtype=np.float64)
    cosines, sines = _waves(np.where(index < layer.row_modes, index, index - rows), side)
    # From (row, part) to (part, frequency); its transpose is the way back.
    to_real, to_imaginary = np.stack((cosines, sines), axis=2), np.stack((-sines, cosines), axis=2)
    across = np.stack((to_real, to_imaginary)).reshape(2 * rows, 2 * side)
    lines = graph.reshape(graph.node("MatMul", maps, graph.constant(forth)), 0, 0, 2 * side, columns)
    low = graph.reshape(graph.node("MatMul", graph.constant(across), lines), 0, 2 * seen, rows, columns)
    kernel = _spectral_kernel(graph, layer)
    mixed = graph.transpose(graph.node("MatMul", graph.transpose(low, 2, 3, 0, 1), kernel), 2, 3, 0, 1)
    images = graph.reshape(mixed, 0, out, 2 * rows, columns)
    lines = graph.reshape(graph.node("MatMul", graph.constant(across.T), images), 0, 0, side, 2 * columns)
    return graph.node("MatMul", lines, graph.constant(back))
