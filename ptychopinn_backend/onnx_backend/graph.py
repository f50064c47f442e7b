"""A graph of ONNX, put together operation by operation; values are the names of tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ptychopinn_backend.archive.onnx_file import PRODUCER
from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.networks.weights import onnx_layout

OPSET: Final = 17
"""Version of the operators; ONNX Runtime has known it since 2022."""
IR_VERSION: Final = 8
"""Version of the file format that belongs to it."""

Value: TypeAlias = str
"""Name of a tensor of the graph."""
Shape: TypeAlias = Sequence[int | str]
"""Sides; a name where a side differs from run to run."""


class Graph:
    """Collects operations, weights and constants."""

    def __init__(self, weights: Mapping[str, AnyArray]) -> None:
        """Start an empty graph.

        Args:
            weights: canonical name -> array, canonical layout.
        """
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._initialisers: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, shape: Shape, default: AnyArray | None = None) -> Value:
        """Declare a float32 tensor that the caller gives.

        Args:
            name: of the tensor.
            shape: its sides.
            default: taken where the caller gives none; None makes the input compulsory.

        Returns:
            The tensor.
        """
        self._inputs.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, list(shape)))
        if default is not None:
            self._initialisers[name] = _tensor(default.astype(np.float32), name)
        return name

    def output(self, name: str, value: Value, shape: Shape) -> None:
        """Declare a float32 tensor that the caller gets.

        Args:
            name: of the output.
            value: the tensor.
            shape: its sides.
        """
        self._nodes.append(helper.make_node("Identity", [value], [name], name=f"to {name}"))
        self._outputs.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, list(shape)))

    def weight(self, name: str) -> Value:
        """Return a weight by its canonical name, kernels as (out, in, height, width)."""
        if name not in self._initialisers:
            self._initialisers[name] = _tensor(onnx_layout(self._weights[name]).astype(np.float32), name)
        return name

    def constant(self, values: Any) -> Value:
        """Return a constant: float32, or int64 where all values are whole numbers of Python."""
        array = np.asarray(values)
        array = array.astype(np.int64 if array.dtype.kind == "i" else np.float32)
        name = f"constant_{len(self._initialisers)}"
        self._initialisers[name] = _tensor(array, name)
        return name

    def node(self, operator: str, *inputs: Value, **attributes: Any) -> Value:
        """Add an operation with one result.

        Args:
            operator: its name in ONNX.
            *inputs: tensors; an empty name leaves an optional one out.
            **attributes: those of the operator.

        Returns:
            The result.
        """
        return self.nodes(operator, 1, *inputs, **attributes)[0]

    def nodes(self, operator: str, count: int, *inputs: Value, **attributes: Any) -> list[Value]:
        """Add an operation with several results; see `node`."""
        number = len(self._nodes)
        results = [f"value_{number}_{index}" for index in range(count)]
        name = f"{operator}_{number}"
        self._nodes.append(helper.make_node(operator, list(inputs), results, name=name, **attributes))
        return results

    def reshape(self, value: Value, *shape: int) -> Value:
        """Return a tensor in another shape: 0 keeps the side at that place, -1 is what is left."""
        return self.node("Reshape", value, self.constant(list(shape)))

    def transpose(self, value: Value, *axes: int) -> Value:
        """Return a tensor with its axes in another order."""
        return self.node("Transpose", value, perm=axes)

    def concat(self, values: Sequence[Value], axis: int) -> Value:
        """Return tensors side by side along an axis."""
        return self.node("Concat", *values, axis=axis)

    def split(self, value: Value, sizes: Sequence[int], axis: int) -> list[Value]:
        """Return the parts of a tensor along an axis."""
        return self.nodes("Split", len(sizes), value, self.constant(list(sizes)), axis=axis)

    def model(self, description: str, metadata: Mapping[str, str]) -> onnx.ModelProto:
        """Return the graph as a model.

        Args:
            description: what it does, for a reader.
            metadata: key -> text that goes along with it.

        Returns:
            The model.
        """
        graph = helper.make_graph(
            self._nodes, "inference", self._inputs, self._outputs, list(self._initialisers.values())
        )
        made = helper.make_model(
            graph,
            producer_name=PRODUCER,
            doc_string=description,
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )
        helper.set_model_props(made, dict(metadata))
        return made


def _tensor(array: AnyArray, name: str) -> onnx.TensorProto:
    # 0-dimensional arrays would become 1-dimensional ones by ascontiguousarray.
    return numpy_helper.from_array(np.array(array, order="C"), name)
