"""Follows integers through a quantised graph and finds its sites.

Node by node, each tensor is given a :class:`~hwgen.graph.lower.value.Value`: what stream it comes from, what its
numbers mean, and how the dimensions that ONNX sees lie in that stream. A float operator stays *pending*, with the
element-wise ones after it, until a QuantizeLinear says what its result becomes; then they are a
:class:`~hwgen.graph.network.Site`. Operators that only move elements about are no more than another order, until
somebody needs a stream in which they lie in rows.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hwgen.graph.errors import ONE_INPUT, quoted
from hwgen.graph.expression import identity, joined
from hwgen.graph.ir import Graph, Node
from hwgen.graph.lower.emit import KERNELS, Emitter, plain
from hwgen.graph.lower.entrance import Entrance
from hwgen.graph.lower.operands import constant_operand, fixed, joint, padding
from hwgen.graph.lower.site import affine
from hwgen.graph.lower.value import (
    NOWHERE,
    Leaf,
    Pending,
    Size,
    Value,
    laid_out,
    standard,
    stream_map,
    stream_places,
    turned,
)
from hwgen.graph.network import QuantizedTensor
from hwgen.graph.semantics.float_model import node_results
from hwgen.graph.semantics.kinds import Kind
from hwgen.graph.semantics.operators import ELEMENTWISE, MOVES, OPERATORS, of_kind
from hwgen.graph.semantics.shapes_layout import reduced_axes
from hwgen.graph.types import IntType, Quantization
from hwgen.graph.weights import find_weight

REMEDY = "quantise it with QuantizeLinear and DequantizeLinear, or give the float model"
_MOVED = MOVES | of_kind(Kind.PAD)
#: Computed in floating point, operand by operand: there is no integer form of them.
_IN_FLOAT = of_kind(Kind.RESIZE, Kind.SOFTMAX, Kind.NORMALIZATION, Kind.REDUCTION) | {"MatMul"}


class Trace:
    """The walk over one graph; ``problems`` collects what it trips over."""

    def __init__(self, graph: Graph, warn: Callable[[str], None]):
        self.graph = graph
        self.emitter = Emitter(graph, warn)
        self.problems = self.emitter.problems
        self.values: dict[str, Value] = {}
        self.entrance = Entrance(graph)
        self.refused: set[str] = set()  # names of nodes

    def run(self) -> "Trace":
        """Walk over all nodes; ``problems`` then has a line for each that has no place in a network."""
        graph = self.graph
        if len(graph.inputs) != 1:
            self.problems.add(ONE_INPUT.format(len(graph.inputs)))
            return self
        self.values[graph.inputs[0]] = self.entrance.frame
        for node in graph.nodes:
            if any(name in self.values for name in node.inputs):
                try:
                    results = self.visit(node)
                    results = results if isinstance(results, tuple) else (results,)
                    self.values |= dict(zip(node.outputs, results, strict=False))
                except ValueError as error:
                    self.problems.add(f"{node.place}: {error}")
                    self.refused.add(node.name)
        return self

    def visit(self, node: Node) -> Value | tuple[Value, ...]:
        """What the results of ``node`` are; ValueError where it has no integer form."""
        if node.op in ELEMENTWISE:
            return self.elementwise(node)
        if node.op == "Concat":
            return self.concat(node)
        if node.inputs[0] in self.values:
            value = self.values[node.inputs[0]]
            kind = OPERATORS[node.op].kind.name.lower()
            visitor = getattr(self, f"visit_{node.op}", None) or getattr(self, f"visit_{kind}", None)
            if visitor is not None:
                return visitor(node, value)
            if node.op in _MOVED:
                return self.moved(node, value)
        if node.op in _IN_FLOAT:
            return self.in_float(node)
        raise ValueError("it has no integer form here; leave it to the host or rewrite the model")

    # Quantisation

    def visit_QuantizeLinear(self, node: Node, value: Value) -> Value:
        """What is pending becomes a stream; a stream is requantised where its integers change."""
        quantization = self.quantization(node, node.outputs[0])
        limits = node.attributes.get("limits")
        if (
            value.tensor is None
            and value.pending is None
            and (value.entering is None or self.entered(value.entering, value.limits, node))
        ):
            return value if value.entering else replace(value, entering=quantization, limits=limits)
        if value.pending is not None and value.pending.of_the_input and len(value.pending.leaves) == 1:
            function = value.pending.expression
            return replace(value, map=None, pending=None, entering=quantization, limits=limits, before=function)
        if value.pending is None:
            value = self.source(node, value)
        odd = len(value.shape) in (3, 4) and value.map is not None and value.layout is None
        parts = 2 <= len(value.shape) <= 4 and (odd or not value.whole)
        name = node.outputs[0]
        value = self.limited(node, value, quantization)
        value = self.emitter.quantized(value, f"{name}/whole" if parts else name, quantization, node.name)
        if limits:
            self.emitter.ranges[value.stream.name] = limits
        return self.emitter.arranged(value, standard(value.shape), name) if parts else value

    def entered(self, entering: Quantization, limits: tuple[int, int] | None, node: Node) -> bool:
        """Whether a value that is quantised so as it enters its stream is what the QuantizeLinear makes of it."""
        least, most = limits or entering.type.ends
        low, high = node.attributes.get("limits") or (least, most)
        return entering == self.quantization(node, node.outputs[0]) and low <= least and most <= high

    def limited(self, node: Node, value: Value, quantization: Quantization) -> Value:
        """``value``, clipped where the limits of the QuantizeLinear are narrower than its integers."""
        low, high = node.attributes.get("limits") or quantization.type.ends
        least, most = quantization.type.ends
        if value.tensor is not None and value.tensor.quantization == quantization:
            least, most = self.emitter.ranges.get(value.tensor.name, (least, most))
        if low <= least and most <= high:
            return value
        pending = value.pending or plain(value.stream.name, value)
        names = [f"{node.outputs[0]}/low", f"{node.outputs[0]}/high"]
        ends = quantization.dequantize(np.array([low, high]))
        clip = Node(f"{node.name}/limits", "Clip", (pending.expression.output, *names), (f"{node.outputs[0]}/real",))
        expression = joined([pending.expression], clip, dict(zip(names, ends, strict=True)))
        return replace(value, tensor=None, pending=Pending(pending.leaves, expression))

    def visit_DequantizeLinear(self, node: Node, value: Value) -> Value:
        """The same integers, which mean real numbers from here on."""
        quantization = self.quantization(node, node.inputs[0])
        if value.tensor is None and value.entering not in (None, quantization):  # it means something else from here on
            value = self.start(value, node.inputs[0])
        if value.tensor is None and value.entering is None:  # frames of integers keep their numpy type
            least = 9 if self.graph.tensors[node.inputs[0]].dtype.itemsize > 1 else 1
            kind = IntType(max(quantization.type.width, least), quantization.type.signed)
            return replace(value, entering=replace(quantization, type=kind), limits=node.attributes["limits"])
        if value.tensor is None:
            return replace(value, entering=quantization)
        return replace(value, tensor=replace(value.tensor, quantization=quantization))

    def quantization(self, node: Node, integers: str) -> Quantization:
        """Scale and zero point of an activation, ``integers`` being the side that has integers."""
        dtype = self.graph.tensors[integers].dtype
        if dtype.kind not in "iu" or dtype.itemsize > 2:
            raise ValueError(f"activations of type {dtype}; integers of 8 and 16 bits are supported")
        if (found := affine(self.graph, node, integers)) is None:
            raise ValueError("scale and zero point of an activation must be constants of one value")
        return found

    # Operands

    def start(self, value: Value, name: str) -> Value:
        """The graph's input enters its stream."""
        started = self.entrance.start(value)
        self.emitter.ranges.setdefault(started.stream.name, self.entrance.range)
        return self.settled(started, None, name)

    def source(self, node: Node, value: Value, name: str | None = None) -> Value:
        """The operand ``name`` (the first unless given) of an operator, which must be a stream."""
        name = name or node.inputs[0]
        if value.entering:
            return self.start(value, name)
        if value.tensor is None:
            raise ValueError(f"it reads {quoted(name)}, which is not quantised; {REMEDY}")
        return value

    def feature_map(self, node: Node, value: Value) -> Value:
        """The operand of an operator that looks at rows and columns, channels last in its stream."""
        value = self.source(node, value)
        return self.emitter.arranged(value, standard(value.shape), f"{node.inputs[0]}/arranged")

    def settled(self, value: Value, axes: tuple[int, ...] | None, name: str) -> Value:
        """``value`` as a whole stream of its own, where it is but a part of one."""
        if value.whole or not 2 <= len(value.shape) <= 4:
            return value
        return self.emitter.arranged(value, axes or standard(value.shape), name)

    def operand(self, node: Node, name: str) -> Value:
        """An operand in real numbers: pending, or a stream."""
        value = self.values[name]
        if value.pending:
            return value
        return self.entrance.real(value) or self.source(node, value, name)

    def integer_name(self, name: str, *tensors: QuantizedTensor) -> str:
        """The name under which ONNX has the integers of ``name``, where they are quantised as ``tensors`` are, all that
        it is made of."""
        readers = self.graph.consumers(name)
        if len(readers) != 1 or readers[0].op != "QuantizeLinear":
            return name
        integers = readers[0].outputs[0]
        wanted = self.quantization(readers[0], integers)
        low, high = readers[0].attributes["limits"] or wanted.type.ends
        for tensor in tensors:
            least, most = self.emitter.ranges.get(tensor.name, wanted.type.ends)
            if tensor.quantization != wanted or least < low or most > high:
                return name
        return integers

    # Operators with weights or windows

    def pend(self, node: Node, *sources: Value, size: Size | None = None, order: np.ndarray | None = None) -> Value:
        """The result of ``node`` on ``sources``, until it is known what it is quantised to; map and order of its stream
        are the usual ones unless given."""
        name = node.outputs[0]
        shape = self.graph.tensors[name].shape
        size = size or stream_map(shape)
        return Value(shape, size, order, pending=Pending({name: Leaf(node, sources, size)}, identity(name)))

    def visit_product(self, node: Node, value: Value) -> Value:
        """A convolution, or an average: it looks at rows and columns."""
        return self.pend(node, self.feature_map(node, value))

    visit_average = visit_product

    def visit_Gemm(self, node: Node, value: Value) -> Value:
        """Takes its features in any order: that of the weights follows."""
        if node.attributes["transA"] or not node.attributes["transB"]:
            raise ValueError("it is not a product with a constant matrix and vector; rewrite it as a Gemm")
        return self.pend(node, self.source(node, value))

    def visit_maximum(self, node: Node, value: Value) -> Value:
        """Picks among integers, so that quantisation stays."""
        if value.pending:
            if value.layout != standard(value.shape):
                raise ValueError(f"it reads {quoted(node.inputs[0])}, which is not quantised; {REMEDY}")
            return self.pend(node, value)
        source = self.feature_map(node, value)
        shape = self.graph.tensors[node.outputs[0]].shape
        return self.picked(node, (source,), stream_map(shape))

    def picked(
        self, node: Node, sources: tuple[Value, ...], size: Size, order: np.ndarray | None = None, moved: bool = False
    ) -> Value:
        """A stream with the quantisation of ``sources``, made of their elements; ``moved`` if not in ONNX's order."""
        name = node.outputs[0]
        shape = self.graph.tensors[name].shape
        tensors = [source.stream for source in sources]
        quantization = tensors[0].quantization
        called = f"{name}/turned" if moved else self.integer_name(name, *tensors)
        output = self.emitter.stream(called, size, quantization)
        self.emitter.add(node, sources, output, quantization.type.ends)
        return Value(shape, size, order, output)

    def visit_ReduceMean(self, node: Node, value: Value) -> Value:
        """Over rows and columns it is a global average."""
        value = self.source(node, value)
        noop, given = bool(node.attributes["noop_with_empty_axes"]), self.graph.constants.get(node.input(1))
        layout, axes = value.layout, reduced_axes(len(value.shape), given, noop)
        over = {layout[axis - 1] for axis in axes} if layout and 0 not in axes else {2}
        if 2 in over or any(value.size[axis] > 1 for axis in {0, 1} - over):
            return self.in_float(node)
        shape, channels = self.graph.tensors[node.outputs[0]].shape, value.size[2]
        pool = Node(node.name, "GlobalAveragePool", node.inputs[:1], node.outputs)
        return self.pend(pool, value, size=(1, 1, channels), order=np.arange(channels).reshape(shape[1:]))

    def visit_MatMul(self, node: Node, value: Value) -> Value:
        """With a constant matrix, on the last dimension, it is a 1x1 convolution."""
        weight = find_weight(self.graph, node.inputs[1])
        shape = self.graph.tensors[node.outputs[0]].shape
        if weight is None or weight.values.ndim != 2 or len(shape) not in (3, 4):
            return self.in_float(node)
        axes = (0, 1, 2)[-len(shape) + 1 :]
        source = self.emitter.arranged(self.source(node, value), axes, f"{node.inputs[0]}/arranged")
        size = laid_out(shape, axes)
        return self.pend(node, source, size=size, order=stream_places(size, axes))

    # Element by element

    def elementwise(self, node: Node) -> Value:
        """Pends, together with what its operands are pending for."""
        info = self.graph.tensors[node.outputs[0]]
        if info.dtype.kind != "f" and not self.rounding(node):
            raise ValueError("it works on integers, between QuantizeLinear and DequantizeLinear; not supported yet")
        self.admit_constants(node)
        names = [name for name in dict.fromkeys(node.inputs) if name in self.values]
        operands = self.aligned(node, names)
        pendings = [value.pending or plain(name, value) for name, value in operands.items()]
        size, order = joint(info.shape, list(operands.values()))
        result = Value(info.shape, size, order)
        constants = {
            name: constant_operand(self.graph, node, name, result) for name in node.inputs if name and name not in names
        }
        # What only moved elsewhere on the way to this node is still called what it was.
        known = {name: pending.expression.output for name, pending in zip(operands, pendings, strict=True)}
        renamed = replace(node, inputs=tuple(known.get(name, name) for name in node.inputs))
        expression = joined([pending.expression for pending in pendings], renamed, constants)
        leaves = {name: leaf for pending in pendings for name, leaf in pending.leaves.items()}
        fill = next(iter(operands.values())).fill
        if fill and not result.whole:
            raise ValueError("it follows a Pad with a number that is not 0; quantise in between")
        return replace(result, pending=Pending(leaves, expression))

    def rounding(self, node: Node) -> bool:
        """Whether it belongs to a step in which real numbers are scaled as int64, and nobody else sees those."""
        name = node.outputs[0]
        readers = self.graph.consumers(name)
        if self.graph.tensors[name].dtype.kind == "f":
            return True
        if self.graph.tensors[name].dtype != np.int64 or name in self.graph.outputs or not readers:
            return False
        return all(reader.op in ELEMENTWISE and self.rounding(reader) for reader in readers)

    def admit_constants(self, node: Node) -> None:
        """Quantised constants that ONNX Runtime adds or multiplies as integers become streams that never change."""
        readers = self.graph.consumers(node.outputs[0])
        streams = [self.values[name] for name in node.inputs if name in self.values]
        if node.op not in KERNELS or [reader.op for reader in readers] != ["QuantizeLinear"]:
            return
        if any(value.pending or not 2 <= len(value.shape) <= 4 for value in streams):
            return
        for name in node.inputs:
            weight = None if name in self.values else find_weight(self.graph, name)
            if weight is None or weight.scale is None or weight.scale.size > 1 or weight.values.dtype.itemsize > 1:
                continue
            rank = len(streams[0].shape)
            shape = (1,) * (rank - weight.values.ndim) + weight.values.shape
            kind, zero = IntType.of(weight.values.dtype), int(weight.zero_points.item())
            quantization = Quantization(kind, float(weight.scale.item()), zero)
            self.values[name] = self.emitter.constant(
                self.graph.maker(name).inputs[0], weight.values.reshape(shape), quantization
            )

    def aligned(self, node: Node, names: list[str]) -> dict[str, Value]:
        """The operands, elements that belong together lying alike."""
        operands = {name: self.operand(node, name) for name in names}
        values = list(operands.values())
        same = all(v.map == values[0].map and np.array_equal(v.places(), values[0].places()) for v in values)
        layouts = {value.layout for value in values}
        if same or (len(layouts) == 1 and None not in layouts):
            return operands
        for name, value in operands.items():
            if value.pending and value.layout != standard(value.shape):
                raise ValueError(f"it reads {quoted(name)}, which is not quantised; {REMEDY}")
            if not value.pending:
                operands[name] = self.emitter.arranged(value, standard(value.shape), f"{name}/arranged")
        return operands

    # Elements elsewhere

    def moved(self, node: Node, value: Value) -> Value | tuple[Value, ...]:
        """What happens to elements happens to their places."""
        weights = [find_weight(self.graph, name) if name else None for name in node.inputs[1:]]
        if any(name and weight is None for name, weight in zip(node.inputs[1:], weights, strict=True)):
            raise ValueError("all its operands but the first must be constant")
        constants = [None if weight is None else weight.real for weight in weights]
        fill = value.fill
        if node.op == "Pad" and node.attributes["mode"] == "constant":
            fill = padding(value, constants)
            constants = [constants[0], np.array(NOWHERE), *constants[2:]]
        with_batch = value.places().reshape(1, *value.shape[1:])
        results = list(node_results(node, [with_batch, *constants]).values())
        if any(result.shape[:1] != (1,) for result in results):
            raise ValueError(f"it moves elements into the batch: {list(value.shape)} to {list(results[0].shape)}")
        axes = value.layout
        moved = []
        for name, places in zip(node.outputs, results, strict=False):
            result = replace(value, shape=places.shape, order=places[0], fill=fill)
            keeps = axes if axes and len(axes) == places.ndim - 1 else None
            if value.tensor:
                result = self.settled(result, keeps, self.integer_name(name, value.tensor))
            moved.append(result)
        return tuple(moved)

    def visit_resize(self, node: Node, value: Value) -> Value | tuple[Value, ...]:
        """To the nearest pixel it only moves elements about."""
        return self.moved(node, value) if node.attributes["mode"] == "nearest" else self.in_float(node)

    def concat(self, node: Node) -> Value:
        """Along rows, columns or channels; what is the same for every frame, never first."""
        operands = self.aligned(node, [name for name in dict.fromkeys(node.inputs) if name in self.values])
        shape, axes = self.graph.tensors[node.outputs[0]].shape, next(iter(operands.values())).layout
        if axes is None:
            axes = standard(shape)
            operands = {n: self.feature_map(replace(node, inputs=(n,)), v) for n, v in operands.items()}
        axis = node.attributes["axis"] % len(shape)
        if axis == 0:
            raise ValueError("it joins along the batch")
        size = laid_out(shape, axes)
        order = None if axes == standard(shape) else stream_places(size, axes)
        values = [operands[name] if name in operands else fixed(self.graph, name, axes) for name in node.inputs]
        first = next(n for n, name in enumerate(node.inputs) if name in operands)
        whole = replace(node, attributes={"axis": axes[axis - 1]})
        if first:
            order = turned(stream_places(size, axes), axis - 1, sum(value.shape[axis] for value in values[:first]))
            whole = replace(whole, inputs=(*node.inputs[first:], *node.inputs[:first]))
            values = [*values[first:], *values[:first]]
        kinds = {value.tensor.quantization if value.tensor else None for value in values if value.constant is None}
        kind = kinds.pop() if len(kinds) == 1 else None
        if kind is None or not all(value.constant is None or kind.holds(value.constant) for value in values):
            return self.pend(whole, *values, size=size, order=order)
        given = zip(whole.inputs, values, strict=True)
        sources = [
            v if v.constant is None else self.emitter.fixed(v, v.constant[None], f"{n}/quantized", kind)
            for n, v in given
        ]
        return self.picked(whole, tuple(sources), size, order, moved=bool(first))

    # In floating point

    def in_float(self, node: Node) -> Value:
        """An operator without an integer form: golden computes it as ONNX Runtime does."""
        shape = self.graph.tensors[node.outputs[0]].shape
        names = [name for name in node.inputs if name in self.values]
        sources = tuple(self.source(node, self.values[name], name) for name in names)
        constants = []
        for name in node.inputs:
            weight = find_weight(self.graph, name) if name and name not in names else None
            constants.append(None if weight is None else weight.real)
        axes = standard(shape)
        size = laid_out(shape, axes)
        settings = {
            "node": node,
            "constants": tuple(constants),
            "orders": tuple(source.places() for source in sources),
            "streams": tuple(name in names for name in node.inputs),
            "places": stream_places(size, axes),
        }
        return self.pend(Node(node.name, "Float", tuple(names), node.outputs, settings), *sources)
