"""Constants as operators see them: plain numbers, or integers behind a DequantizeLinear."""

from dataclasses import dataclass, replace

import numpy as np

from hwgen.graph.semantics.float_ops import dequantize_linear
from hwgen.graph.semantics.operators import OPERATORS

from .ir import Graph, Node


@dataclass(frozen=True, eq=False)
class Weight:
    """A constant operand. Where ``scale`` is None, ``values`` are the real numbers themselves."""

    values: np.ndarray
    scale: np.ndarray | None = None  # one value, or one per entry along ``axis``
    zero_point: np.ndarray | None = None
    axis: int = 0
    limits: tuple[int, int] | None = None  # least and greatest integer, where the type holds more

    @property
    def real(self) -> np.ndarray:
        """The real numbers, float32, dequantised if need be."""
        if self.scale is None:
            return self.values
        return dequantize_linear(self.values, self.scale, self.zero_point, axis=self.axis)

    @property
    def scales(self) -> np.ndarray:
        """``scale`` as a vector, of one element where it is one for all; ValueError for real numbers."""
        if self.scale is None:
            raise ValueError("its weights are not quantised")
        return self.scale.reshape(-1)

    def transposed(self) -> "Weight":
        """A matrix with rows and columns swapped."""
        return replace(self, values=np.ascontiguousarray(self.values.T), axis=1 - self.axis % 2)

    def vector(self, size: int) -> "Weight | None":
        """The same numbers as a vector of ``size``, one number repeated if need be; None where impossible."""
        if self.values.size not in (1, size):
            return None
        axis = 0 if self.scale is None or self.scale.size == 1 else self.axis
        if axis and self.values.shape[axis] != self.values.size:
            return None
        return replace(self, values=np.broadcast_to(self.values.reshape(-1), (size,)).copy(), axis=0)

    def scaled(self, factor: float) -> "Weight | None":
        """Times ``factor``; None where quantised numbers would need a scale that is not positive."""
        with np.errstate(all="ignore"):  # what overflows is found where weights are quantised
            if self.scale is None:
                return replace(self, values=(self.values * factor).astype(self.values.dtype))
            return replace(self, scale=(self.scale * factor).astype(self.scale.dtype)) if factor > 0 else None


def find_weight(graph: Graph, name: str) -> Weight | None:
    """The constant behind ``name``: stored as it is, or dequantised by a node. None where it is not constant."""
    if name in graph.constants:
        return Weight(graph.constants[name])
    node = graph.producer(name)
    if node is None or node.op != "DequantizeLinear" or any(i not in graph.constants for i in node.inputs if i):
        return None
    values, scale = (graph.constants[i] for i in node.inputs[:2])
    zero_point = graph.constants[node.inputs[2]] if len(node.inputs) > 2 else None
    axis = node.attributes["axis"]
    return Weight(values, scale, zero_point, axis % max(values.ndim, 1), node.attributes["limits"])


def weight_nodes(weight: Weight, name: str) -> tuple[dict[str, np.ndarray], tuple[Node, ...]]:
    """Constants and nodes that make ``weight`` available as the tensor ``name``."""
    if weight.scale is None:
        return {name: weight.values}, ()
    parts = {f"{name}_quantized": weight.values, f"{name}_scale": weight.scale}
    if weight.zero_point is not None:
        parts[f"{name}_zero_point"] = weight.zero_point
    attributes = OPERATORS["DequantizeLinear"].defaults | {"axis": weight.axis, "limits": weight.limits}
    return parts, (Node(f"{name}_dequantize", "DequantizeLinear", tuple(parts), (name,), attributes),)
