"""ONNX files to :class:`hwgen.graph.ir.Graph`. The ``onnx`` package is known to this,
``model_file``, ``precision``, ``tensor_data`` and ``writer`` only.

The file is not trusted: sizes are checked before memory is taken, and shapes are inferred in Python, so that a
corrupted file ends in a ModelError. Operators of older opsets are brought to the newest form on the way.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx

from hwgen.graph.check import order_faults
from hwgen.graph.cut import Cut, Wires, cut_at, cut_before
from hwgen.graph.errors import InputError, ModelError, Problems, quoted
from hwgen.graph.formats import expand_formats, format_names
from hwgen.graph.ir import Graph, Node, Tail, TensorInfo, fresh
from hwgen.graph.onnx.baked_batch import for_one_frame
from hwgen.graph.onnx.known_nodes import known_nodes_computed
from hwgen.graph.onnx.model_file import inlined, load, names_read, opset_of, ordered
from hwgen.graph.onnx.node_reader import NodeReader, light_node, operator_of
from hwgen.graph.onnx.precision import in_single_precision
from hwgen.graph.onnx.tensor_data import decode, input_info
from hwgen.graph.onnx.writer import tail_model
from hwgen.graph.semantics.infer import infer_shapes
from hwgen.graph.semantics.operators import MAX_OPSET, MIN_OPSET, STANDARD

_UNROLL = "its rounds are no layers; unroll it when exporting, or end the network before it with --outputs"
_DYNAMIC = "its scales depend on the frame; quantise the model statically, or give the float model"
_REASONS = {  # of operators that a remedy is known for
    "DynamicQuantizeLinear": _DYNAMIC,
    "com.microsoft.DynamicQuantizeMatMul": _DYNAMIC,
    "com.microsoft.FusedConv": "ONNX Runtime writes it where it saves an optimised model; give the model before that",
    "If": "its condition depends on the frame; export the model for one fixed input shape, with what it decides "
    "decided, or end the network before it with --outputs",
    "Loop": _UNROLL,
    "Scan": _UNROLL,
}


def read_model(
    path: str | Path,
    input_shape: Mapping[str, tuple[int, ...]] | None = None,
    outputs: Iterable[str] = (),
    host: Iterable[str] = (),
) -> Graph:
    """The graph in the ONNX file at ``path``, its batch fixed to 1.

    ``input_shape`` fixes the shapes of inputs (batch included) where the file leaves dimensions open. The graph ends at
    the tensors ``outputs`` where any are given, otherwise before the nodes ``host`` and before operators that are not
    known, if no layer comes behind those; ``Graph.tail`` has the rest. Raises ModelError with a line for everything
    that cannot be read, and InputError where ``input_shape`` or ``outputs`` do not fit.
    """
    path = Path(path)
    model = inlined(load(path))
    if not all(isinstance(name, str) for name in _names(model.graph)):  # protobuf gives bytes that are no text
        raise ModelError(f"{str(path)!r} is corrupted: a name in it is not text; export it again")
    model = in_single_precision(model, path.parent)
    model = known_nodes_computed(model, path.parent, input_shape or {})
    reader = _Reader(model, path, input_shape or {})
    reader.cut_off(tuple(outputs), frozenset(host))
    return reader.read()


def _names(graph: onnx.GraphProto) -> Iterator[str | bytes]:
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)
    for value in (*graph.input, *graph.output):
        yield value.name
        yield from (dim.dim_param for dim in value.type.tensor_type.shape.dim)
    for tensor in graph.initializer:
        yield tensor.name
        yield from (text for entry in tensor.external_data for text in (entry.key, entry.value))


class _Reader:
    """Collects the parts of a graph, and all problems with them."""

    def __init__(self, model: onnx.ModelProto, path: Path, input_shape: Mapping[str, tuple[int, ...]]):
        self.proto = model.graph
        self.model = model
        self.path = path
        self.input_shape = input_shape
        self.problems = Problems(ModelError)
        self.nodes: list[Node] = []
        self.unknown = False
        self.initial = {tensor.name for tensor in self.proto.initializer}
        self.read_names = {name for node in self.proto.node for name in node.input}
        self.read_names.update(value.name for value in self.proto.output)
        self.outputs = tuple(dict.fromkeys(value.name for value in self.proto.output))
        names: set[str] = set()
        self.protos = {fresh(p.name or f"{p.op_type}_{i}", names): p for i, p in ordered(self.proto.node)}
        self.constants: dict[str, np.ndarray] = {}
        self.forms = NodeReader(opset_of(model), path.parent, self.constants, self.read_names)
        self.kept = set(self.protos)
        self.cut: Cut | None = None

    def cut_off(self, outputs: tuple[str, ...], host: frozenset[str]) -> None:
        """Leave to the host what lies behind ``outputs``, or the nodes ``host`` and operators that are not known."""
        inputs = [value.name for value in self.proto.input if value.name not in self.initial]
        light = [
            replace(light_node(name, proto), inputs=tuple(names_read(proto))) for name, proto in self.protos.items()
        ]
        wires = Wires(light, inputs)
        if outputs:
            self.cut = cut_at(wires, self.outputs, outputs)
        else:
            left = {name for name in map(self.original, host) if name is not None}
            left |= {
                n.name for n in light if n.op != "Constant" and operator_of(n) is None and n.outputs[0] in wires.dynamic
            }
            self.cut = cut_before(wires, self.outputs, left) if host or left else None
        if self.cut is not None:
            self.outputs = self.cut.outputs
            self.kept = {node.name for node in wires.before(self.outputs)}
            self.read_names = {name for kept in self.kept for name in self.protos[kept].input} | set(self.outputs)
            self.forms.read_names = self.read_names

    def original(self, name: str) -> str | None:
        """The node of the file that ``name`` was made of: passes put words behind names."""
        while name and name not in self.protos:
            name = name.rpartition("/")[0]
        return name or None

    def read(self) -> Graph:
        self.read_opset()
        self.refuse_features()
        for tensor in self.proto.initializer:
            if tensor.name in self.read_names:
                add = partial(self.forms.add_tensor, tensor.name, tensor)
                self.add_constant(tensor.name, f"initializer {quoted(tensor.name)}", add)
        inputs = self.read_inputs()
        for name, proto in self.protos.items():
            if name in self.kept:
                self.read_node(name, proto)
        if self.unknown:
            supported = ", ".join((*STANDARD, *format_names()))
            self.problems.add(
                f"supported operators are {supported}; rewrite the others, or end the network before them with "
                f"--outputs"
            )
        self.problems.raise_any()
        self.drop_double_precision()
        nodes = expand_formats(self.nodes, inputs, self.constants, self.problems)
        self.problems.raise_any()
        outputs = self.outputs
        if not outputs:
            self.problems.add("the model has no output; export it with one")
        graph = Graph(self.path.stem, tuple(nodes), tuple(inputs), outputs, inputs, self.constants, results=outputs)
        self.problems.add(*order_faults(graph))
        self.check_finite()
        self.problems.raise_any()
        frames = self.frames(inputs)
        graph = infer_shapes(graph) if frames == 1 else for_one_frame(graph, frames)
        if self.forms.opset < 13:
            _refuse_flattening_softmax(graph)
        return replace(graph, tail=self.tail(graph.tensors))

    def frames(self, inputs: Mapping[str, TensorInfo]) -> int:
        """The batch that the file was made for, where one frame is wanted of it."""
        counts = {
            proto.type.tensor_type.shape.dim[0].dim_value
            for proto in self.proto.input
            if proto.name in inputs and inputs[proto.name].shape[:1] == (1,) and proto.type.tensor_type.shape.dim
        }
        return max(counts, default=1) if len(counts) == 1 and max(counts) > 1 else 1

    def tail(self, tensors: Mapping[str, TensorInfo]) -> Tail | None:
        """What was cut off."""
        if self.cut is None or not (self.cut.tail or self.cut.missing):
            return None
        protos = [self.protos[node.name] for node in self.cut.tail]
        read = {name for proto in protos for name in names_read(proto)}
        inputs = {name: tensors[name] for name in self.cut.outputs if name in read}
        outside = {
            tensor.name: self.constants.get(tensor.name, decode(tensor, self.path.parent))
            for tensor in self.proto.initializer
            if tensor.name in read and tensor.data_location == onnx.TensorProto.EXTERNAL
        }
        model = tail_model(self.model, protos, inputs, self.cut.results, outside)
        nodes = tuple((node.name, node.op) for node in self.cut.tail if node.op != "Constant")
        return Tail(nodes, tuple(inputs), self.cut.results, self.cut.missing, model)

    def read_opset(self) -> None:
        opset = self.forms.opset
        if not opset:
            self.problems.add("the model imports no standard operators (no opset version); export it again")
        elif not MIN_OPSET <= opset <= MAX_OPSET:
            self.problems.add(
                f"the model has opset {opset}; {MIN_OPSET} to {MAX_OPSET} are understood: "
                f"export it with opset 13, or convert it with onnx.version_converter"
            )

    def refuse_features(self) -> None:
        for tensor in self.proto.sparse_initializer:
            self.problems.add(f"initializer {quoted(tensor.values.name)} is sparse; store it as a dense tensor")

    # Tensors

    def add_constant(self, name: str, place: str, add: Callable[[], None]) -> None:
        if name in self.constants:
            self.problems.add(f"{place}: a constant of this name exists already; export the model again")
        with self.problems.at(place):
            add()

    def drop_double_precision(self) -> None:
        """Exporters leave constants in double precision beside float32 operands; no input has it."""
        casts = {node.attributes["to"] for node in self.nodes if node.op == "Cast"}
        if onnx.TensorProto.DOUBLE not in casts and not any(node.op == "CastLike" for node in self.nodes):
            doubles = [name for name, value in self.constants.items() if value.dtype == np.float64]
            self.constants.update({name: self.constants[name].astype(np.float32) for name in doubles})

    def read_inputs(self) -> dict[str, TensorInfo]:
        protos = {value.name: value for value in self.proto.input if value.name not in self.initial}
        for name in self.input_shape:
            if name not in protos:
                raise InputError(f"no input is named {name!r}; the model has {_listed(protos)}")
        read = {name: proto for name, proto in protos.items() if name in self.read_names}
        infos = {}
        for name, proto in (read or protos).items():  # one that nobody reads needs no frames
            try:
                infos[name] = input_info(proto, self.input_shape.get(name))
            except ValueError as error:
                self.problems.add(f"input {name!r} {error}")
        if not protos:
            self.problems.add("the model has no input; export it with one")
        return infos

    def check_finite(self) -> None:
        """Weights are numbers. Infinity may stand only where it means "no limit": in Clip and Pad."""
        bounds = {name for node in self.nodes if node.op in ("Clip", "Pad") for name in node.inputs[1:]}
        for name, value in self.constants.items():
            if value.dtype.kind != "f":
                continue
            bad = np.isnan(value) if name in bounds else ~np.isfinite(value)
            if bad.any():
                first = np.argwhere(bad)[0].tolist()
                self.problems.add(
                    f"constant {quoted(name)} holds {int(bad.sum())} values that are NaN or infinite, the first at "
                    f"{first}; the training diverged or the file is damaged: export finite weights"
                )

    # Nodes

    def read_node(self, name: str, proto: onnx.NodeProto) -> None:
        node = light_node(name, proto)
        domain = node.domain
        if not domain and proto.op_type == "Constant":
            self.add_constant(next(iter(proto.output), ""), node.place, partial(self.forms.add_constant, proto))
        elif operator_of(node) is None:
            full = f"{domain}.{proto.op_type}" if domain else proto.op_type
            reason = _REASONS.get(full)
            self.problems.add(f"node {quoted(name)}: operator {full} is not supported{f': {reason}' if reason else ''}")
            self.unknown = self.unknown or not reason
        else:
            with self.problems.at(node.place):
                self.nodes.append(self.forms.read(node, proto.attribute))


def _refuse_flattening_softmax(graph: Graph) -> None:
    """Before opset 13 Softmax worked on everything from ``axis`` on, taken as one dimension."""
    problems = Problems(ModelError)
    for node in graph.nodes:
        if node.op in ("Softmax", "LogSoftmax"):
            shape = graph.tensors[node.inputs[0]].shape
            axis = node.attributes["axis"] % len(shape)
            if math.prod(shape[axis:]) != shape[axis]:
                problems.add(f"{node.place}: over several dimensions of {list(shape)}; export with opset 13")
    problems.raise_any()


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names)) or "none"
