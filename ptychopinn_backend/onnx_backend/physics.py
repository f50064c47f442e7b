"""What stands around the network, as operations of ONNX: back-projection before it, the frame of the group after it.

The formulas are those of `physics.back_projection` and `physics.placement`; tests tie them together.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray, Complex64Array, ComplexArray, Float32Array
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.config.generators import uses_back_projection
from ptychopinn_backend.onnx_backend.convolutional import Parts
from ptychopinn_backend.onnx_backend.graph import Graph, Value
from ptychopinn_backend.physics.back_projection import probe_terms, vacuum_amplitude
from ptychopinn_backend.physics.forward import overlap_weights
from ptychopinn_backend.physics.placement import MINIMUM_COVERAGE

LOCAL_OFFSETS: Final = "local_offsets"
OVERLAP_WEIGHT: Final = "overlap_weight"


@dataclass(frozen=True)
class ProbeInputs:
    """What a graph with back-projection is given of a scan; the names are those of its inputs."""

    probe_phase: Float32Array
    """Real and imaginary part of the phase of the probe's far field (2, N, N), zero frequency at the array centre."""
    probe_factor: Float32Array
    """Real and imaginary part of the factor on the exit wave (2, N, N)."""
    vacuum: Float32Array
    """Normalised amplitude without an object (N, N), put where the detector is bad."""
    valid_pixels: Float32Array
    """Detector pixels (N, N): 1 good, 0 bad."""

    @classmethod
    def of(cls, probe: Complex64Array, valid_pixels: Float32Array | None = None) -> ProbeInputs:
        """Compute them as both frameworks are given them, in NumPy.

        The phase of a far field that is dark is that of rounding; only the same computation gives the same one.

        Args:
            probe: normalised (mode, N, N).
            valid_pixels: (N, N); None takes all.

        Returns:
            The inputs.
        """
        phase, factor = probe_terms(probe)
        N = probe.shape[-1]
        valid = np.ones((N, N), np.float32) if valid_pixels is None else valid_pixels.astype(np.float32)
        vacuum = vacuum_amplitude(probe).astype(np.float32)
        return cls(_parts(np.fft.fftshift(phase)), _parts(factor), vacuum, valid)

    def as_inputs(self) -> dict[str, AnyArray]:
        """Return name of the input -> array."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


def _parts(values: ComplexArray) -> Float32Array:
    return np.stack((values.real, values.imag)).astype(np.float32)


def back_projected(graph: Graph, model: ModelConfig, amplitudes: Value, defaults: ProbeInputs | None) -> Value:
    """Return amplitude, real and imaginary part of the back-projection of every pattern.

    Args:
        graph: gets the operations.
        model: the configuration.
        amplitudes: normalised (group, channel, N, N).
        defaults: of the inputs that describe the probe; None makes them compulsory.

    Returns:
        (group * channel, 3, N, N).
    """
    N = model.N
    known = {} if defaults is None else defaults.as_inputs()
    shapes = {"probe_phase": (2, N, N), "probe_factor": (2, N, N), "vacuum": (N, N), "valid_pixels": (N, N)}
    given = {name: graph.input(name, shape, known.get(name)) for name, shape in shapes.items()}
    is_good = graph.node("Greater", given["valid_pixels"], graph.constant(0.0))
    filled = graph.reshape(graph.node("Where", is_good, amplitudes, given["vacuum"]), -1, 1, N, N)
    by_rows, by_columns = _inverse_transforms(N)
    # Real above imaginary part, then beside it: each transform is one product of real numbers.
    far_field = graph.reshape(graph.node("Mul", filled, given["probe_phase"]), -1, 2 * N, N)
    half = graph.node("MatMul", graph.constant(by_rows), far_field)
    beside = graph.concat(graph.split(half, (N, N), 1), 2)
    wave = graph.split(graph.node("MatMul", beside, graph.constant(by_columns)), (N, N), 2)
    wave = [graph.reshape(part, -1, 1, N, N) for part in wave]
    factor = graph.split(given["probe_factor"], (1, 1), 0)
    real = graph.node("Sub", graph.node("Mul", wave[0], factor[0]), graph.node("Mul", wave[1], factor[1]))
    imaginary = graph.node("Add", graph.node("Mul", wave[0], factor[1]), graph.node("Mul", wave[1], factor[0]))
    return graph.concat((filled, real, imaginary), 1)


def _inverse_transforms(N: int) -> tuple[AnyArray, AnyArray]:
    """Return the unitary inverse transform from centred frequencies as two real matrices (2N, 2N).

    The first acts from the left on the parts one above the other, the second from the right on the parts side by side.
    """
    frequencies = np.arange(N) - N // 2
    angle = np.outer(np.arange(N), frequencies) % N * (2 * np.pi / N)
    cosines, sines = np.cos(angle) / np.sqrt(N), np.sin(angle) / np.sqrt(N)
    left = np.block([[cosines, -sines], [sines, cosines]])
    return left, left.T


def group_patches(graph: Graph, model: ModelConfig, network: Parts) -> Parts:
    """Return the patches as the physics sees them, consistent within each group (`physics.forward.group_patches`).

    Args:
        graph: gets the operations.
        model: the configuration.
        network: what the network puts out.

    Returns:
        Real and imaginary part, (group, channel, N, N).
    """
    if model.channels == 1:
        return network
    N, channels = model.N, model.channels
    offsets = graph.input(LOCAL_OFFSETS, ("group", 1, 2, channels))
    largest = graph.node("ReduceMax", graph.node("Abs", offsets), keepdims=0)
    margin = graph.node("Ceil", largest)
    rows, columns = (_matrices(graph, part, margin, model) for part in _row_and_column_offsets(graph, offsets))
    rows_back, columns_back = (graph.transpose(item, 0, 1, 2, 4, 3) for item in (rows, columns))
    images = [graph.node("Unsqueeze", part, graph.constant([2])) for part in network]
    both = graph.concat(images, 2)

    def placed(planes: Value) -> Value:
        on_canvas = graph.node("MatMul", graph.node("MatMul", rows, planes), columns_back)
        return graph.node("ReduceSum", on_canvas, graph.constant([1]), keepdims=1)

    if model.object_big:
        weight = _overlap_weight(graph, model)
        total = placed(graph.node("Mul", both, weight))
        coverage = graph.node("Max", placed(weight), graph.constant(MINIMUM_COVERAGE))
        canvases = graph.node("Div", total, coverage)
    else:
        whole = graph.node("Cast", margin, to=7)
        side = graph.reshape(whole, 1)
        none = graph.constant([0, 0, 0])
        canvases = graph.node("Pad", both, graph.concat((none, side, side, none, side, side), 0))
    cut = graph.node("MatMul", graph.node("MatMul", rows_back, canvases), columns)
    real, imaginary = graph.split(cut, (1, 1), 2)
    return graph.reshape(real, 0, channels, N, N), graph.reshape(imaginary, 0, channels, N, N)


def _row_and_column_offsets(graph: Graph, offsets: Value) -> tuple[Value, Value]:
    along_x, along_y = graph.split(offsets, (1, 1), 2)
    return along_y, along_x


def _matrices(graph: Graph, offsets: Value, margin: Value, model: ModelConfig) -> Value:
    """Return W[i, j] = hat(i - j - margin + offset) (group, channel, 1, canvas, N) of one axis of the offsets."""
    shifts = graph.reshape(offsets, 0, model.channels, 1, 1, 1)
    one, side = graph.constant(1.0), graph.constant(float(model.N))
    last = graph.node("Add", side, margin)
    # Counted from -margin: whole numbers first, so that a fraction of a pixel keeps all its digits.
    pixels = graph.node("Range", graph.node("Neg", margin), last, one)
    within = graph.constant(np.arange(model.N, dtype=np.float32))
    lag = graph.node("Sub", graph.reshape(pixels, -1, 1), within)
    distance = graph.node("Abs", graph.node("Add", graph.reshape(lag, 1, 1, 1, -1, model.N), shifts))
    return graph.node("Relu", graph.node("Sub", one, distance))


def _overlap_weight(graph: Graph, model: ModelConfig) -> Value:
    """Return the weight of every patch pixel (1, 1, 1, N, N); of the probe where that decides it."""
    if uses_back_projection(model.architecture):
        weight = graph.input(OVERLAP_WEIGHT, (model.N, model.N))
        weight = graph.reshape(weight, 1, 1, 1, model.N, model.N)
    else:
        ones = np.ones((1, 1, model.N, model.N), np.complex64)
        weight = graph.constant(overlap_weights(model, ones)[np.newaxis, np.newaxis])
    # The coverage counts a patch for every member of the group.
    return graph.node("Expand", weight, graph.constant([1, model.channels, 1, 1, 1]))
