"""Which layer of a Keras model is which of the plan of 'cnn', found by how the layers are joined.

Names and numbers of layers change with what else a process built before; how they are joined does not. Every layer on
the way is looked at, so that a network that computes something else is refused, not misread.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from ptychopinn_backend.archive.foreign.keras_graph import KerasGraph, KerasLayer
from ptychopinn_backend.errors import UnsupportedModelError

_SILU: Final = ("silu", "swish")
_MOST_STAGES: Final = 16


@dataclass(frozen=True)
class KerasNetwork:
    """What a graph says of a network."""

    N: int
    """Side of a pattern in pixels."""
    channels: int
    """Patterns in a group."""
    amp_activation: str
    """Activation of the amplitude head."""
    pad_object: bool
    probe_big: bool
    object_big: bool
    border_maps: int
    """Maps the centre is made without."""
    roles: dict[str, KerasLayer]
    """Canonical prefix of a convolution, for example 'encoder/stage0/conv0', -> its layer."""


def read_network(graph: KerasGraph) -> KerasNetwork:
    """Return the network of a graph.

    Args:
        graph: layers of a 'diffraction_to_obj' model.

    Returns:
        Its options and the role of every convolution.

    Raises:
        UnsupportedModelError: it is not the network this package calls 'cnn'; says where they part.
    """
    combined = graph.of_kind("CombineComplexLayer")
    if len(combined) != 1:
        raise UnsupportedModelError(f"its network has {len(combined)} layers 'CombineComplexLayer' instead of one")
    if combined[0].config.get("use_polar") is not True:
        raise UnsupportedModelError(
            "its network was trained between July 2025 and February 2026, when PtychoPINN put out amplitude + i phase "
            "instead of amplitude exp(i phase), so that its weights mean something else"
        )
    outputs = graph.before(combined[0])
    if len(outputs) != 2:
        raise UnsupportedModelError(f"its patch is made of {len(outputs)} parts instead of amplitude and phase")
    reader = _Reader(graph)
    amplitude, phase = reader.branch("amplitude", outputs[0]), reader.branch("phase", outputs[1])
    if amplitude.shape != phase.shape:
        raise UnsupportedModelError("its amplitude and its phase are made in different ways")
    if (phase.activation, phase.scale) != ("tanh", math.pi):
        raise UnsupportedModelError(f"its phase is {phase.scale!r} times {phase.activation!r} instead of pi times tanh")
    if amplitude.scale != 1.0:
        raise UnsupportedModelError(f"its amplitude is {amplitude.scale!r} times {amplitude.activation!r}")
    N, channels = reader.encoder(amplitude.encoder)
    reader.require_padding(N)
    return KerasNetwork(
        N,
        channels,
        "swish" if amplitude.activation in _SILU else amplitude.activation,
        amplitude.pad_object,
        amplitude.probe_big,
        bool(graph.of_kind("ReassemblePatchesLayer")),
        amplitude.border_maps,
        reader.roles,
    )


@dataclass(frozen=True)
class _Branch:
    encoder: str
    """Name of the layer the decoder starts from."""
    activation: str
    scale: Any
    pad_object: bool
    probe_big: bool
    border_maps: int

    @property
    def shape(self) -> tuple[Any, ...]:
        """What both branches have in common."""
        return self.encoder, self.pad_object, self.probe_big, self.border_maps


class _Reader:
    """Walks from the output to the input and notes the convolutions it meets."""

    def __init__(self, graph: KerasGraph) -> None:
        self._graph = graph
        self._paddings: list[KerasLayer] = []
        self.roles: dict[str, KerasLayer] = {}

    def branch(self, name: str, output: KerasLayer) -> _Branch:
        """Note the convolutions of a decoder and its head."""
        if output.kind not in ("Add", "ZeroPadding2D"):
            activation, last = self._activated(output)
            source = self._block(f"{name}/full", last)
            return _Branch(self._stages(name, source), *activation, False, False, 0)
        padded, border = (output, None) if output.kind == "ZeroPadding2D" else self._sum(output)
        self._paddings.append(padded)
        activation, centre = self._activated(self._only(padded))
        source, border_maps = self._convolution(f"{name}/centre", centre, "linear"), 0
        if source.kind == "GetItem":
            source, border_maps = self._only(source), self._maps_left_out(source)
        if border is not None:
            part = self._block(f"{name}/border", self._masked(border))
            if part.kind != "GetItem" or part.slices[-1:] != ((-border_maps, None),) or self._only(part) != source:
                raise self._unlike(part, f"the last {border_maps} of the maps from which the centre is made")
        return _Branch(self._stages(name, source), *activation, True, border is not None, border_maps)

    def encoder(self, name: str) -> tuple[int, int]:
        """Note the convolutions of the encoder; return N and the channels of its input."""
        pairs: list[tuple[KerasLayer, KerasLayer]] = []
        layer = self._graph.layers[name]
        while layer.kind == "MaxPooling2D" and len(pairs) < _MOST_STAGES:
            if layer.config.get("pool_size") not in ([2, 2], 2) or layer.config.get("strides") not in ([2, 2], 2, None):
                raise self._unlike(layer, "a pooling of 2 x 2")
            second = self._only(layer)
            first = self._convolution("", second, "relu")
            pairs.append((first, second))
            layer = self._convolution("", first, "relu")
        for index, (first, second) in enumerate(reversed(pairs)):
            self.roles[f"encoder/stage{index}/conv0"] = first
            self.roles[f"encoder/stage{index}/conv1"] = second
        if layer.kind != "IntensityScaler":
            raise self._unlike(layer, "'IntensityScaler'")
        shape = self._only(layer).config.get("batch_shape")
        if not (
            isinstance(shape, list) and len(shape) == 4 and shape[1] == shape[2] and all(map(_is_count, shape[1:]))
        ):
            raise UnsupportedModelError(f"its input has shape {str(shape)[:60]} instead of (group, N, N, channel)")
        return shape[1], shape[3]

    def require_padding(self, N: int) -> None:
        """Raise unless what is padded fills the central N/2 pixels."""
        for layer in self._paddings:
            if layer.config.get("padding") != [[N // 4, N // 4], [N // 4, N // 4]]:
                raise self._unlike(layer, f"a padding by {N // 4} pixels")

    def _stages(self, name: str, layer: KerasLayer) -> str:
        pairs: list[tuple[KerasLayer, KerasLayer]] = []
        while layer.kind == "UpSampling2D" and len(pairs) < _MOST_STAGES:
            second = self._upsampled(layer)
            first = self._convolution("", second, "relu")
            pairs.append((first, second))
            layer = self._convolution("", first, "relu")
        for index, (first, second) in enumerate(reversed(pairs)):
            self.roles[f"{name}/stage{index}/conv0"] = first
            self.roles[f"{name}/stage{index}/conv1"] = second
        return layer.name

    def _block(self, name: str, last: KerasLayer) -> KerasLayer:
        second = self._upsampled(self._convolution(f"{name}/conv2", last, "linear"))
        first = self._convolution(f"{name}/conv1", second, "relu")
        return self._convolution(f"{name}/conv0", first, "relu")

    def _sum(self, layer: KerasLayer) -> tuple[KerasLayer, KerasLayer]:
        parts = self._graph.before(layer)
        padded = [part for part in parts if part.kind == "ZeroPadding2D"]
        border = [part for part in parts if part.kind == "Multiply"]
        if len(parts) != 2 or len(padded) != 1 or len(border) != 1:
            raise self._unlike(layer, "the sum of a padded centre and a border")
        return padded[0], border[0]

    def _masked(self, layer: KerasLayer) -> KerasLayer:
        """Return the convolution below a border: silu, times a mask."""
        parts = self._graph.before(layer)
        masks = [part for part in parts if part.kind == "CenterMaskLayer" and part.config.get("kind") == "border"]
        activated = [part for part in parts if part.kind != "CenterMaskLayer"]
        if len(parts) != 2 or len(masks) != 1 or len(activated) != 1:
            raise self._unlike(layer, "a border times its mask")
        (activation, _), convolution = self._activated(activated[0])
        if activation not in _SILU:
            raise self._unlike(activated[0], "silu")
        return convolution

    def _activated(self, layer: KerasLayer) -> tuple[tuple[str, Any], KerasLayer]:
        """Return name and factor of an activation, and the layer below."""
        name: Any
        if layer.kind in ("Silu", "Swish"):
            name, scale = "silu", 1.0
        elif layer.kind == "ActivationLayer":
            name, scale = layer.config.get("activation_name"), layer.config.get("scale", 1.0)
        elif layer.kind == "Activation":
            name, scale = layer.config.get("activation"), 1.0
        else:
            raise self._unlike(layer, "an activation")
        return (str(name)[:40], scale), self._only(layer)

    def _upsampled(self, layer: KerasLayer) -> KerasLayer:
        options = layer.config.get("size"), layer.config.get("interpolation")
        if layer.kind != "UpSampling2D" or options not in (([2, 2], "nearest"), (2, "nearest")):
            raise self._unlike(layer, "an up-sampling by 2 to nearest neighbours")
        return self._only(layer)

    def _maps_left_out(self, layer: KerasLayer) -> int:
        """Return how many of the last maps a slice leaves out."""
        start, stop = layer.slices[-1] if layer.slices else (None, None)
        if start is not None or type(stop) is not int or stop >= 0:
            raise self._unlike(layer, "all maps but the last few")
        return -stop

    def _convolution(self, role: str, layer: KerasLayer, activation: str) -> KerasLayer:
        """Note a convolution (without a role only look at it) and return the layer below."""
        config = layer.config
        found = {name: config.get(name) for name in _CONVOLUTION}
        if layer.kind != "Conv2D" or found != _CONVOLUTION or config.get("activation") != activation:
            raise self._unlike(layer, f"a 3 x 3 convolution with bias and activation '{activation}'")
        if role:
            self.roles[role] = layer
        return self._only(layer)

    def _only(self, layer: KerasLayer) -> KerasLayer:
        before = self._graph.before(layer)
        if len(before) != 1:
            raise self._unlike(layer, "a layer with one input")
        return before[0]

    @staticmethod
    def _unlike(layer: KerasLayer, expected: str) -> UnsupportedModelError:
        return UnsupportedModelError(
            f"its layer '{layer.name[:40]}' ({layer.kind[:40]}) stands where the network 'cnn' has {expected}"
        )


_CONVOLUTION: Final[dict[str, Any]] = {
    "kernel_size": [3, 3],
    "strides": [1, 1],
    "dilation_rate": [1, 1],
    "padding": "same",
    "data_format": "channels_last",
    "groups": 1,
    "use_bias": True,
}


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0
