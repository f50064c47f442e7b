"""The graph of a Keras model, read from its config.json as plain JSON; no layer is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from ptychopinn_backend.archive.typed_json import load_json
from ptychopinn_backend.errors import DamagedArchiveError

MAX_LAYERS: Final = 1000
"""Layers a model may list."""
_DEEPEST: Final = 8
"""Nesting of lists in the arguments of a layer."""


@dataclass(frozen=True)
class KerasLayer:
    """One layer: what it is, and the layers whose outputs it is given."""

    kind: str
    """Name of its class."""
    name: str
    config: dict[str, Any]
    """Its options."""
    inputs: tuple[str, ...]
    """Names of the layers before it, in the order of its arguments."""
    slices: tuple[tuple[Any, Any], ...]
    """Start and stop of the slices among its arguments."""
    position: int
    """Number of earlier layers of its class; Keras numbers the weights in the file so."""


class KerasGraph:
    """All layers of a functional model."""

    def __init__(self, text: bytes) -> None:
        """Read a config.json.

        Args:
            text: its bytes.

        Raises:
            DamagedArchiveError: it does not describe a functional model.
        """
        try:
            document = load_json(text)
            entries = document["config"]["layers"]
            self.layers = dict(_layers(entries))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            reason = " ".join(str(error).split())[:80]
            raise DamagedArchiveError(
                f"the config.json of its network describes no functional model ({reason})"
            ) from error

    def of_kind(self, kind: str) -> list[KerasLayer]:
        """Return the layers of a class, in the order of the file."""
        return [layer for layer in self.layers.values() if layer.kind == kind]

    def before(self, layer: KerasLayer) -> list[KerasLayer]:
        """Return the layers whose outputs a layer is given.

        Args:
            layer: one of this graph.

        Returns:
            The layers, in the order of its arguments.

        Raises:
            DamagedArchiveError: it refers to one that is not there.
        """
        missing = [name for name in layer.inputs if name not in self.layers]
        if missing:
            raise DamagedArchiveError(f"its layer '{layer.name}' is given '{missing[0][:40]}', which is not there")
        return [self.layers[name] for name in layer.inputs]


def _layers(entries: Any) -> Iterator[tuple[str, KerasLayer]]:
    if not isinstance(entries, list) or len(entries) > MAX_LAYERS:
        raise ValueError("no list of layers")
    seen: dict[str, int] = {}
    for entry in entries:
        kind, name, config = entry["class_name"], entry["name"], entry["config"]
        if not (isinstance(kind, str) and isinstance(name, str) and isinstance(config, dict)):
            raise TypeError("a layer without class, name and options")
        inputs: list[str] = []
        slices: list[tuple[Any, Any]] = []
        for value in _flat(entry["inbound_nodes"], _DEEPEST):
            inside = value["config"]
            if value["class_name"] == "__keras_tensor__":
                inputs.append(str(inside["keras_history"][0]))
            elif value["class_name"] == "__slice__":
                slices.append((inside["start"], inside["stop"]))
        yield name, KerasLayer(kind, name, config, tuple(inputs), tuple(slices), seen.get(kind, 0))
        seen[kind] = seen.get(kind, 0) + 1


def _flat(value: Any, depth: int) -> Iterator[dict[str, Any]]:
    """Yield what stands for tensors and slices in the arguments of a layer, in order."""
    if isinstance(value, dict) and "class_name" in value:
        yield value
    elif isinstance(value, (list, dict)) and depth > 0:
        for item in value if isinstance(value, list) else value.values():
            yield from _flat(item, depth - 1)
