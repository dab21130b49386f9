"""Makes sites of float operators once it is known what their results are quantised to.

See :mod:`hwgen.graph.lower.trace`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hwgen.graph.errors import ModelError, Problems
from hwgen.graph.expression import Expression, identity
from hwgen.graph.ir import Graph, Node, fresh
from hwgen.graph.lower.site import integer_clamp, site_attributes, site_bias, site_op, site_weight, sum_quantization
from hwgen.graph.lower.value import NOWHERE, Leaf, Pending, Size, Value, laid_out, standard, stream_places
from hwgen.graph.network import QuantizedConstant, QuantizedTensor, Site
from hwgen.graph.semantics.kinds import Kind
from hwgen.graph.semantics.operators import MAXIMA, PRODUCTS, of_kind
from hwgen.graph.types import FeatureMap, Quantization
from hwgen.graph.weights import Weight

PICKS = MAXIMA | of_kind(Kind.JOIN)  # their results are some of their operands, so that quantising may come first
LINEAR = PRODUCTS | of_kind(Kind.AVERAGE)  # their results are sums
KERNELS = ("Add", "Mul")  # computed on integers by ONNX Runtime, where a QuantizeLinear follows


class Emitter:
    """Collects the sites of a graph in topological order, and ``problems`` on the way."""

    def __init__(self, graph: Graph, warn: Callable[[str], None]):
        self.graph = graph
        self.warn = warn
        self.problems = Problems(ModelError)
        self.sites: list[Site] = []
        self.streams: set[str] = set(graph.inputs)
        self.names: set[str] = set()
        self.constants: dict[str, np.ndarray] = {}
        self.ranges: dict[str, tuple[int, int]] = {}  # least and greatest integer of streams
        self.raw: set[str] = set()  # streams of sums
        self.biases: dict[str, Weight] = {}  # of nodes whose sums are quantised, in steps of those sums
        self.summed_nodes: set[str] = set()  # whose sums are not
        self.done: dict[tuple[int, Quantization], tuple[Pending, QuantizedTensor]] = {}
        self.sums: dict[int, tuple[Leaf, Value, np.ndarray | None]] = {}

    def stream(self, name: str, size: Size, quantization: Quantization) -> QuantizedTensor:
        """A new stream, called ``name`` if none is yet."""
        return QuantizedTensor(fresh(name, self.streams), FeatureMap(*size, quantization.type), quantization)

    def constant(self, name: str, values: np.ndarray, quantization: Quantization) -> Value:
        """A stream that is the same for every frame, from integers in ONNX's order (batch of one first)."""
        axes = standard(values.shape)
        size = laid_out(values.shape, axes)
        stream = np.empty(values.size, values.dtype)
        stream[stream_places(size, axes).reshape(-1)] = values.reshape(-1)
        tensor = self.stream(name, size, quantization)
        self.constants[tensor.name] = stream.reshape(1, *size)
        return Value(values.shape, size, None, tensor)

    def fixed(self, value: Value, real: np.ndarray, name: str, quantization: Quantization) -> Value:
        """``real`` [1, H, W, C], which is made of the ``constant`` of ``value``, as a stream that never changes."""
        tensor = self.stream(name, value.size, quantization)
        self.constants[tensor.name] = quantization.quantize(real)
        return replace(value, tensor=tensor, constant=None)

    # Quantising

    def quantized(self, value: Value, name: str, quantization: Quantization, layer: str = "") -> Value:
        """``value`` as a stream of integers, called ``name`` if it is new; ``layer`` is who quantises."""
        if value.tensor is not None and value.tensor.quantization == quantization:
            return value
        pending = value.pending or plain(value.stream.name, value)
        key = id(pending), quantization  # made once for all that quantise it alike
        if key not in self.done:
            output = self.stream(name, value.size, quantization)
            self._emit(pending, output, layer or name)
            self.done[key] = pending, output
        return replace(value, tensor=self.done[key][1], pending=None)

    def _emit(self, pending: Pending, output: QuantizedTensor, layer: str) -> None:
        if pending.of_the_input:
            raise ValueError("it combines the input with something else before it is quantised; quantise it first")
        leaf, function = pending.only, pending.expression
        if leaf and leaf.node and leaf.node.op in PICKS:
            self._emit_pick(function, leaf.node, leaf.sources, output)
        elif leaf:
            last = function.nodes[-1] if function.nodes else Node(layer, "", (), ())
            node = leaf.node or replace(last, op="Requantize")
            self.add(node, leaf.sources, output, *clamped(function, output.quantization))
        else:
            self._emit_elementwise(pending, output)

    def _emit_elementwise(self, pending: Pending, output: QuantizedTensor) -> None:
        pending = self.summed(pending)
        first, *rest = pending.expression.nodes
        names = tuple(pending.leaves)
        kernel = None
        read = [source.stream.name for leaf in pending.leaves.values() for source in leaf.sources]
        if self.raw.isdisjoint(read) and first.op in KERNELS and set(first.inputs) == set(names):
            after = replace(pending.expression, nodes=tuple(rest), inputs=first.outputs)
            kernel = after.bounds()
        if kernel is None:
            sources = tuple(pending.leaves[name].sources[0] for name in pending.expression.inputs)
            last = pending.expression.nodes[-1]
            ends = output.quantization.type.ends
            self.add(replace(last, op="Elementwise"), sources, output, ends, pending.expression)
            return
        sources = tuple(pending.leaves[name].sources[0] for name in first.inputs)
        self.add(first, sources, output, integer_clamp(output.quantization, kernel))

    def _emit_pick(
        self, function: Expression, node: Node, operands: tuple[Value, ...], output: QuantizedTensor
    ) -> None:
        """Quantising goes before picking, and so does what is computed on the result."""
        if not (function.per_tensor and (node.op == "Concat" or function.bounds())):
            raise ValueError(f"what follows it ({function}) cannot go before it; quantise its result")
        sources = []
        for name, value in zip(node.inputs, operands, strict=False):
            if value.constant is not None:
                real = function(value.constant[None])
                sources.append(self.fixed(value, real, f"{name}/quantized", output.quantization))
                continue
            before = value if not function.nodes else replace(value, tensor=None, pending=continued(value, function))
            sources.append(self.quantized(before, f"{name}/quantized", output.quantization))
        self.add(node, tuple(sources), output, output.quantization.type.ends)

    # Sums that nothing quantises

    def summed(self, pending: Pending) -> Pending:
        """The same real numbers, computed of streams only: sums of linear operators become streams of their own."""
        leaves, expression = {}, pending.expression
        for name, leaf in pending.leaves.items():
            if leaf.node is None:
                leaves[name] = leaf
                continue
            value, bias = self._sum(name, leaf, leaf.node)
            if bias is not None:
                expression = expression.after_adding(name, bias)
            leaves[name if bias is None else f"{name}/sum"] = Leaf(None, (value,))
        return Pending(leaves, expression)

    def _sum(self, name: str, leaf: Leaf, node: Node) -> tuple[Value, np.ndarray | None]:
        """The sums of ``leaf``, which ``node`` computes, as a stream, and a bias that is no multiple of their scale: it
        is the host's to add."""
        if id(leaf) not in self.sums:
            try:
                self.sums[id(leaf)] = leaf, *self._raw(name, node, leaf.sources[0], leaf.map)
            except ValueError as error:
                place = node.attributes.get("node", node).place
                raise ValueError(f"it takes the result of {place} before it is quantised: {error}") from None
        return self.sums[id(leaf)][1:]

    def _raw(self, name: str, node: Node, source: Value, size: Size | None) -> tuple[Value, np.ndarray | None]:
        if node.op not in LINEAR or size is None:
            raise ValueError("it is no sum of integers; quantise its result")
        weight = site_weight(self.graph, node, source.places())
        bias = site_bias(self.graph, node, source.stream, weight, None)
        real = None if bias is None or bias.dtype.kind != "f" else bias.astype(np.float32).reshape(1, 1, -1)
        bias = bias if real is None else None
        attributes = site_attributes(self.graph, node, source.stream)
        before = source.stream.quantization
        quantization = sum_quantization(node, before, weight, bias, attributes, size[2])
        output = self.stream(name, size, quantization)
        full = quantization.type.ends
        layer, inputs = fresh(node.name, self.names), (source.stream,)
        self.sites.append(Site(layer, site_op(node), inputs, output, attributes, full, weight, bias, raw=True))
        self.raw.add(output.name)
        self.summed_nodes.add(node.name)
        return Value((1, *size), size, None, output), real

    # Sites

    def add(
        self,
        node: Node,
        sources: tuple[Value, ...],
        output: QuantizedTensor,
        clamp: tuple[int, int],
        function: Expression | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """The site of ``node`` on ``sources``, which are streams."""
        source = sources[0].stream
        try:
            weight = site_weight(self.graph, node, sources[0].places())
            bias = site_bias(self.graph, node, source, weight, self.warn)
            attributes = attributes or site_attributes(self.graph, node, source)
        except ValueError as error:
            self.problems.add(f"{node.place}: {error}")
            return
        if bias is not None and weight is not None:
            self.biases[node.name] = _computed(bias, source.quantization, weight)
        inputs = tuple(value.stream for value in sources)
        name = fresh(node.name, self.names)
        self.ranges[output.name] = self._range(node, inputs, clamp, attributes)
        fixed = {tensor.name: self.constants[tensor.name] for tensor in inputs if tensor.name in self.constants}
        self.sites.append(
            Site(name, site_op(node), inputs, output, attributes, clamp, weight, bias, function, constants=fixed)
        )

    def _range(
        self, node: Node, inputs: tuple[QuantizedTensor, ...], clamp: tuple[int, int], attributes: Mapping[str, Any]
    ) -> tuple[int, int]:
        """The least and greatest integer of a result; what is picked or moved is in the range of the operands."""
        if node.op not in (*PICKS, "Rearrange"):
            return clamp
        ends = [self.ranges.get(tensor.name, tensor.map.type.ends) for tensor in inputs]
        if node.op == "Rearrange" and (attributes["places"] < 0).any():
            ends.append((attributes["fill"], attributes["fill"]))
        return min(low for low, _ in ends), max(high for _, high in ends)

    def arranged(self, value: Value, axes: tuple[int, ...], name: str) -> Value:
        """A stream with the elements of ``value`` along ``axes``; ``value`` itself where it has them so."""
        size = laid_out(value.shape, axes)
        wanted = stream_places(size, axes)
        places = value.places()
        if size == value.map and (places == wanted).all():
            return replace(value, order=None if axes == standard(value.shape) else places)
        result = np.empty(places.size, np.int64)
        result[wanted.reshape(-1)] = places.reshape(-1)
        kind = value.stream.quantization
        fill = int(kind.quantize(value.fill))
        if (places == NOWHERE).any() and kind.dequantize(np.array(fill)) != np.float32(value.fill):
            raise ValueError(f"it pads with {value.fill:g}, which is not one of the numbers of {kind}; pad with 0")
        output = self.stream(name, size, kind)
        node = Node(output.name, "Rearrange", (), (name,))
        settings = {"places": result.reshape(size), "fill": fill}
        self.add(node, (value,), output, kind.type.ends, attributes=settings)
        order = None if axes == standard(value.shape) else wanted
        return Value(value.shape, size, order, output)


def _computed(bias: np.ndarray, source: Quantization, weight: QuantizedConstant) -> Weight:
    """Steps of the sums as a constant of the model: int32 with their scale."""
    scale = source.scales * weight.scale
    scale = np.resize(scale, len(bias)) if scale.size > 1 else scale
    return Weight(bias.astype(np.int32), scale, np.zeros(scale.size, np.int32), 0)


def plain(name: str, value: Value) -> Pending:
    """The dequantised stream ``value``, known as ``name``."""
    return Pending({name: Leaf(None, (replace(value, pending=None),))}, identity(name))


def continued(value: Value, function: Expression) -> Pending:
    """``function`` of one operand, applied to what ``value`` is or will be."""
    pending = value.pending or plain(value.stream.name, value)
    renamed = function.reading(function.inputs[0], pending.expression.output)
    both = Expression(
        (*pending.expression.nodes, *renamed.nodes),
        {**pending.expression.constants, **renamed.constants},
        pending.expression.inputs,
        renamed.output,
    )
    return Pending(pending.leaves, both)


def clamped(function: Expression, quantization: Quantization) -> tuple[tuple[int, int], Expression | None]:
    """Clips as a range of integers; anything else as it is."""
    bounds = function.bounds()
    if bounds is None:
        return quantization.type.ends, function
    return integer_clamp(quantization, bounds), None
