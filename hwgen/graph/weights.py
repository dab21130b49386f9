"""Constants as operators see them: plain numbers, or integers behind a DequantizeLinear."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from hwgen.graph.semantics.float_ops import dequantize_linear

from .complete import complete
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

    @property
    def zero_points(self) -> np.ndarray:
        """``zero_point`` as a vector of int64, of one element where it is one for all; 0 where there is none."""
        return np.zeros(1, np.int64) if self.zero_point is None else self.zero_point.reshape(-1).astype(np.int64)

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
    zero_point = graph.constants.get(node.input(2))
    axis = node.attributes["axis"] % max(values.ndim, 1)
    return Weight(values, scale, zero_point, axis, node.attributes["limits"])


def real_operands(graph: Graph, layer: Node) -> list[Weight] | None:
    """Weights and bias, if any, of a layer; None where they are not all constant, or some are quantised."""
    operands = [find_weight(graph, name) for name in layer.inputs[1:]]
    return complete(weight if weight and weight.scale is None else None for weight in operands)


def clip_bounds(
    node: Node, constants: Mapping[str, np.ndarray], ends: tuple[float, float] = (-np.inf, np.inf)
) -> tuple[float, float] | None:
    """Least and greatest number that a Relu or Clip leaves of those between ``ends``; None where it says so by what is
    no constant."""
    names = node.input(1), node.input(2)
    if any(name and name not in constants for name in names):
        return None
    low, high = (constants[name].item() if name else end for name, end in zip(names, ends, strict=True))
    return (0.0 if node.op == "Relu" else low), high
