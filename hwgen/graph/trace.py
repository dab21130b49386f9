"""Follows integers through a quantised graph and finds its sites.

Node by node, each tensor is given a :class:`Value`: what stream it comes from, what its numbers mean, and how the
dimensions that ONNX sees lie in that stream. A float operator stays *pending* until a QuantizeLinear says what its
result becomes; then the two, with the Relu or Clip between them, are a :class:`~hwgen.graph.network.Site`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .errors import ModelError, Problems
from .ir import Graph, Node
from .network import QuantizedTensor, Site
from .site import int_type, integer_clamp, site_attributes, site_bias, site_op, site_weight
from .types import FeatureMap, Quantization

Size = tuple[int, int, int]
UNBOUNDED = (-np.inf, np.inf)
REMEDY = "quantise it with QuantizeLinear and DequantizeLinear, or give the float model"


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the graph: ``shape`` is ONNX's, ``map`` (height, width, channels) that of its stream.

    ``order``, of ``shape`` without the batch, holds each element's place in the stream; None where the stream is
    simply channels last. ``tensor`` is None for a ``pending`` result and for the graph's input before it enters a
    stream, ``order`` being the place in the frame as given; ``entering`` is what it will be quantised to.
    """

    shape: tuple[int, ...]
    map: Size | None = None
    order: np.ndarray | None = None
    tensor: QuantizedTensor | None = None
    pending: "Pending | None" = None
    entering: Quantization | None = None

    def places(self) -> np.ndarray:
        """``order``, made explicit."""
        if self.order is not None:
            return self.order
        if self.map is None:
            return _count(self.shape[1:])
        return _count(self.map).transpose(2, 0, 1).reshape(self.shape[1:])

    def reordered(self, shape: tuple[int, ...], places: np.ndarray) -> "Value":
        return replace(self, shape=shape, order=places)


@dataclass(frozen=True, eq=False)
class Pending:
    """A float operator on ``source`` whose result is not quantised yet."""

    node: Node
    source: Value
    clamp: tuple[float, float] = UNBOUNDED

    def clipped(self, low: float, high: float) -> "Pending":
        first, last = (min(max(bound, low), high) for bound in self.clamp)
        return replace(self, clamp=(first, last))


def stream_map(shape: tuple[int, ...]) -> Size:
    """(height, width, channels) of an ONNX tensor [1, C, H, W], [1, C, W] or [1, C]."""
    if shape[:1] != (1,) or not 2 <= len(shape) <= 4:
        raise ValueError(f"its tensor of shape {list(shape)} is not [1, C, H, W], [1, C, W] or [1, C]")
    height, width = (1, 1, *shape[2:])[-2:]
    return height, width, shape[1]


class Trace:
    """The walk over one graph; ``problems`` collects what it trips over."""

    def __init__(self, graph: Graph, warn: Callable[[str], None]):
        self.graph = graph
        self.warn = warn
        self.problems = Problems(ModelError)
        self.values: dict[str, Value] = {}
        self.sites: list[Site] = []
        self.input: QuantizedTensor | None = None
        self.input_order = "channels_last"
        self.entry: np.ndarray | None = None

    def run(self) -> "Trace":
        graph = self.graph
        if len(graph.inputs) != 1 or len(graph.outputs) != 1:
            self.problems.add(
                f"the model has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; one of each is supported"
            )
            return self
        self.values[graph.inputs[0]] = Value(graph.tensors[graph.inputs[0]].shape)
        for node in graph.nodes:
            if any(name in self.values for name in node.inputs):
                try:
                    self.values[node.outputs[0]] = self.visit(node)
                except ValueError as error:
                    self.problems.add(f"{node.place}: {error}")
        return self

    def visit(self, node: Node) -> Value:
        visitor = getattr(self, f"visit_{node.op}", None)
        if visitor is None or node.inputs[0] not in self.values:
            raise ValueError("it has no integer form here; leave it to the host or rewrite the model")
        return visitor(node, self.values[node.inputs[0]])

    # Quantisation

    def visit_QuantizeLinear(self, node: Node, value: Value) -> Value:
        quantization = self.quantization(node, node.outputs[0])
        if value.pending:
            return self.finish(value, node.outputs[0], quantization)
        if value.tensor is None and value.entering in (None, quantization):
            return replace(value, entering=quantization)
        value = self.source(node, value)
        if value.tensor.quantization == quantization:
            return value
        again = Pending(replace(node, op="Requantize"), value)
        return self.finish(replace(value, tensor=None, pending=again), node.outputs[0], quantization)

    def visit_DequantizeLinear(self, node: Node, value: Value) -> Value:
        quantization = self.quantization(node, node.inputs[0])
        if value.tensor is None:
            return replace(value, entering=quantization)
        return replace(value, tensor=replace(value.tensor, quantization=quantization))

    def quantization(self, node: Node, integers: str) -> Quantization:
        """Scale and zero point of an activation, ``integers`` being the side that has integers."""
        dtype = self.graph.tensors[integers].dtype
        constants = [self.graph.constants.get(name) for name in node.inputs[1:] if name]
        if any(constant is None or constant.size != 1 for constant in constants):
            raise ValueError("scale and zero point of an activation must be constants of one value")
        if dtype.kind not in "iu" or dtype.itemsize > 2:
            raise ValueError(f"activations of type {dtype}; integers of 8 and 16 bits are supported")
        zero_point = int(constants[1].item()) if len(constants) > 1 else 0
        return Quantization(int_type(dtype), float(constants[0].item()), zero_point)

    def start(self, value: Value) -> Value:
        """The graph's input enters its stream, whose order the host can make of the frame's."""
        if self.input is None:
            self.input, self.input_order, self.entry = self.entrance(value)
        if self.input.quantization != value.entering:
            raise ValueError(f"the input {self.input.name!r} is quantised in two ways; quantise it once")
        return Value(value.shape, self.input.map.shape, self.entry[value.places()], self.input)

    def entrance(self, value: Value) -> tuple[QuantizedTensor, str, np.ndarray]:
        """The input stream, its order, and where in it each element of the frame lies.

        The shape that the first operator sees is the stream's, where it is the frame's with channels first or
        last; otherwise the frame's own shape is.
        """
        name = self.graph.inputs[0]
        frame = Value(self.graph.tensors[name].shape)
        for seen in (value, frame):
            height, width, channels = stream_map(seen.shape)
            places = seen.places().reshape(channels, height, width)
            raster = places.transpose(1, 2, 0)
            if is_count(raster) or is_count(places):
                order = "flat" if is_count(raster) else "channels_last"
                break
        entry = np.empty(raster.size, np.int64)
        entry[raster.reshape(-1)] = np.arange(raster.size)
        tensor = FeatureMap(height, width, channels, value.entering.type)
        return QuantizedTensor(name, tensor, value.entering), order, entry

    def finish(self, value: Value, name: str, quantization: Quantization) -> Value:
        """The pending operator becomes a site that writes the stream ``name``."""
        pending = value.pending
        output = QuantizedTensor(name, FeatureMap(*value.map, quantization.type), quantization)
        self.add_site(pending.node, pending.source, output, integer_clamp(quantization, pending.clamp))
        return replace(value, tensor=output, pending=None)

    def add_site(self, node: Node, value: Value, output: QuantizedTensor, clamp: tuple[int, int]) -> None:
        if any(site.name == node.name for site in self.sites):
            raise ValueError("its result is quantised in two ways; quantise it once")
        source = value.tensor
        try:
            weight = site_weight(self.graph, node, value.places())
            bias = site_bias(self.graph, node, source, weight, self.warn)
            attributes = site_attributes(self.graph, node, source)
        except ValueError as error:
            self.problems.add(f"{node.place}: {error}")
            return
        site = Site(node.name, site_op(node), source, output, attributes, clamp, weight, bias)
        self.sites.append(site)

    # Operators

    def source(self, node: Node, value: Value) -> Value:
        """The operand of a float operator, which must be a stream."""
        if value.entering:
            return self.start(value)
        if value.tensor is None:
            raise ValueError(f"it reads {node.inputs[0]!r}, which is not quantised; {REMEDY}")
        return value

    def feature_map(self, node: Node, value: Value) -> Value:
        """The operand of an operator that looks at rows and columns."""
        value = self.source(node, value)
        size = stream_map(value.shape)
        places = value.places().reshape(size[2], *size[:2]).transpose(1, 2, 0)
        if value.order is not None and (size != value.map or not is_count(places)):
            raise ValueError("a Reshape or Transpose before it moves elements about; remove it from the model")
        return value

    def pend(self, node: Node, source: Value) -> Value:
        shape = self.graph.tensors[node.outputs[0]].shape
        return Value(shape, stream_map(shape), pending=Pending(node, source))

    def visit_Conv(self, node: Node, value: Value) -> Value:
        return self.pend(node, self.feature_map(node, value))

    visit_AveragePool = visit_GlobalAveragePool = visit_Conv

    def visit_Gemm(self, node: Node, value: Value) -> Value:
        """Takes its features in any order: that of the weights follows."""
        if node.attributes["transA"] or not node.attributes["transB"]:
            raise ValueError("it is not a product with a constant matrix and vector; rewrite it as a Gemm")
        return self.pend(node, self.source(node, value))

    def visit_MaxPool(self, node: Node, value: Value) -> Value:
        """Picks among integers, so that quantisation stays and nothing pends."""
        source = self.feature_map(node, value)
        shape = self.graph.tensors[node.outputs[0]].shape
        kind = source.tensor.map.type
        quantization = source.tensor.quantization
        output = QuantizedTensor(self.integer_name(node.outputs[0]), FeatureMap(*stream_map(shape), kind), quantization)
        self.add_site(node, source, output, (kind.min, kind.max))
        return Value(shape, stream_map(shape), None, output)

    def integer_name(self, name: str) -> str:
        """The name under which ONNX has the integers of ``name``, where it has them."""
        readers = self.graph.consumers(name)
        quantized = len(readers) == 1 and readers[0].op == "QuantizeLinear"
        return readers[0].outputs[0] if quantized else name

    visit_GlobalMaxPool = visit_MaxPool

    def visit_Relu(self, node: Node, value: Value) -> Value:
        return self.clipped(node, value, 0.0, np.inf)

    def visit_Clip(self, node: Node, value: Value) -> Value:
        bounds = [self.graph.constants.get(name) if name else None for name in (*node.inputs, "", "")[1:3]]
        if any(name and bound is None for name, bound in zip(node.inputs[1:], bounds, strict=False)):
            raise ValueError("its bounds must be constant")
        low, high = (
            default if bound is None else float(bound.item()) for bound, default in zip(bounds, UNBOUNDED, strict=True)
        )
        return self.clipped(node, value, low, high)

    def clipped(self, node: Node, value: Value, low: float, high: float) -> Value:
        if self.graph.tensors[node.outputs[0]].dtype.kind != "f":
            raise ValueError("it works on integers, between QuantizeLinear and DequantizeLinear; not supported yet")
        if value.pending:
            return replace(value, pending=value.pending.clipped(low, high))
        again = Pending(replace(node, op="Requantize"), self.source(node, value))
        return replace(value, tensor=None, pending=again.clipped(low, high))

    def visit_Reshape(self, node: Node, value: Value) -> Value:
        shape = self.graph.tensors[node.outputs[0]].shape
        if shape[:1] != (1,):
            raise ValueError(f"it moves elements into the batch: {list(value.shape)} to {list(shape)}")
        return value.reordered(shape, value.places().reshape(shape[1:]))

    def visit_Transpose(self, node: Node, value: Value) -> Value:
        perm = node.attributes["perm"] or tuple(reversed(range(len(value.shape))))
        if perm[0] != 0:
            raise ValueError(f"perm {list(perm)} moves the batch")
        places = value.places().transpose([axis - 1 for axis in perm[1:]])
        return value.reordered(self.graph.tensors[node.outputs[0]].shape, places)


def _count(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(int(np.prod(shape, dtype=np.int64))).reshape(shape)


def is_count(places: np.ndarray) -> bool:
    """Whether elements lie one after the other."""
    return bool((places.reshape(-1) == np.arange(places.size)).all())
