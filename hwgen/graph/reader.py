"""ONNX files to :class:`hwgen.graph.ir.Graph`. The ``onnx`` package is known to this,
``model_file``, ``precision``, ``tensor_data`` and ``writer`` only.

The file is not trusted: sizes are checked before memory is taken, and shapes are inferred in Python, so that a
corrupted file ends in a ModelError. Operators of older opsets are brought to the newest form on the way.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from .check import order_faults
from .cut import Cut, Wires, cut_at, cut_before
from .errors import InputError, ModelError, Problems
from .formats import expand_formats, find_format, format_names
from .infer import infer_shapes
from .input_shape import shape_of_input
from .ir import Graph, Node, Tail, TensorInfo
from .model_file import inlined, load
from .operators import ALIASES, MAX_OPSET, MIN_OPSET, OPERATORS, Attribute, Operator
from .precision import in_single_precision
from .tensor_data import INTEGERS, NARROW_TYPES, decode, type_name
from .writer import names_read, tail_model

_INPUT_TYPES = ("FLOAT", "INT8", "UINT8", "INT16", "UINT16")
_KINDS = {
    onnx.AttributeProto.INT: ("int", lambda a: int(a.i)),
    onnx.AttributeProto.INTS: ("ints", lambda a: tuple(a.ints)),
    onnx.AttributeProto.FLOAT: ("float", lambda a: float(a.f)),
    onnx.AttributeProto.FLOATS: ("floats", lambda a: tuple(a.floats)),
    onnx.AttributeProto.STRING: ("string", lambda a: a.s.decode("utf-8", "replace")),
    onnx.AttributeProto.TENSOR: ("tensor", lambda a: a.t),
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
    reader = _Reader(in_single_precision(model, path.parent), path, input_shape or {})
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
        self.constants: dict[str, np.ndarray] = {}
        self.nodes: list[Node] = []
        self.names: set[str] = set()
        self.limits: dict[str, tuple[int, int]] = {}  # of tensors of types narrower than numpy's
        self.unknown = False
        self.initial = {tensor.name for tensor in self.proto.initializer}
        self.read_names = {name for node in self.proto.node for name in node.input}
        self.read_names.update(value.name for value in self.proto.output)
        self.outputs = tuple(dict.fromkeys(value.name for value in self.proto.output))
        self.protos = {self.unused_name(p.name or f"{p.op_type}_{i}"): p for i, p in _ordered(self.proto.node)}
        self.kept = set(self.protos)
        self.cut: Cut | None = None

    def cut_off(self, outputs: tuple[str, ...], host: frozenset[str]) -> None:
        """Leave to the host what lies behind ``outputs``, or the nodes ``host`` and operators that are not known."""
        inputs = [value.name for value in self.proto.input if value.name not in self.initial]
        light = [
            replace(self.node(name, proto), inputs=tuple(names_read(proto))) for name, proto in self.protos.items()
        ]
        wires = Wires(light, inputs)
        if outputs:
            self.cut = cut_at(wires, self.outputs, outputs)
        else:
            host = {self.original(name) for name in host}
            host |= {
                n.name for n in light if n.op != "Constant" and _operator(n) is None and n.outputs[0] in wires.dynamic
            }
            self.cut = cut_before(wires, self.outputs, host - {None}) if host else None
        if self.cut is not None:
            self.outputs = self.cut.outputs
            self.kept = {node.name for node in wires.before(self.outputs)}
            self.read_names = {name for kept in self.kept for name in self.protos[kept].input} | set(self.outputs)

    def original(self, name: str) -> str | None:
        """The node of the file that ``name`` was made of: passes put words behind names."""
        while name and name not in self.protos:
            name = name.rpartition("/")[0]
        return name or None

    def read(self) -> Graph:
        self.opset = self.read_opset()
        self.refuse_features()
        for tensor in self.proto.initializer:
            if self.cut is None or tensor.name in self.read_names:
                self.add_constant(tensor.name, tensor, f"initializer {tensor.name!r}")
        inputs = self.read_inputs()
        for name, proto in self.protos.items():
            if name in self.kept:
                self.read_node(name, proto)
        if self.unknown:
            supported = ", ".join((*OPERATORS, *format_names()))
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
        graph = infer_shapes(graph)
        if self.opset < 13:
            _refuse_flattening_softmax(graph)
        return replace(graph, tail=self.tail(graph.tensors))

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

    def read_opset(self) -> int:
        versions = [entry.version for entry in self.model.opset_import if entry.domain in ("", "ai.onnx")]
        opset = max(versions, default=0)
        if not versions:
            self.problems.add("the model imports no standard operators (no opset version); export it again")
        elif not MIN_OPSET <= opset <= MAX_OPSET:
            self.problems.add(
                f"the model has opset {opset}; {MIN_OPSET} to {MAX_OPSET} are understood: "
                f"export it with opset 13, or convert it with onnx.version_converter"
            )
        return opset

    def refuse_features(self) -> None:
        for tensor in self.proto.sparse_initializer:
            self.problems.add(f"initializer {tensor.values.name!r} is sparse; store it as a dense tensor")

    # Tensors

    def add_constant(self, name: str, tensor: onnx.TensorProto, place: str) -> None:
        try:
            value = decode(tensor, self.path.parent)
        except ValueError as error:
            self.problems.add(f"{place}: {error}")
            value = np.zeros(0, np.float32)
        if name in self.constants:
            self.problems.add(f"{place}: a constant of this name exists already; export the model again")
        value.setflags(write=False)
        self.constants[name] = value
        if (kind := type_name(tensor.data_type)) in NARROW_TYPES:
            self.limits[name] = NARROW_TYPES[kind]

    def drop_double_precision(self) -> None:
        """Exporters leave constants in double precision beside float32 operands; no input has it."""
        casts = {node.attributes["to"] for node in self.nodes if node.op == "Cast"}
        if onnx.TensorProto.DOUBLE not in casts and not any(node.op == "CastLike" for node in self.nodes):
            doubles = [name for name, value in self.constants.items() if value.dtype == np.float64]
            self.constants |= {name: self.constants[name].astype(np.float32) for name in doubles}

    def read_inputs(self) -> dict[str, TensorInfo]:
        protos = {value.name: value for value in self.proto.input if value.name not in self.initial}
        for name in self.input_shape:
            if name not in protos:
                raise InputError(f"no input is named {name!r}; the model has {_listed(protos)}")
        read = {name: proto for name, proto in protos.items() if name in self.read_names}
        infos = {}
        for name, proto in (read or protos).items():  # one that nobody reads needs no frames
            try:
                infos[name] = _input_info(proto, self.input_shape.get(name))
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
                    f"constant {name!r} holds {int(bad.sum())} values that are NaN or infinite, the first at "
                    f"{first}; the training diverged or the file is damaged: export finite weights"
                )

    # Nodes

    def node(self, name: str, proto: onnx.NodeProto) -> Node:
        """The node without its attributes, its operator by the newest name."""
        domain = "" if proto.domain == "ai.onnx" else proto.domain
        op = ALIASES.get((domain, proto.op_type), proto.op_type)
        domain = "" if (domain, proto.op_type) in ALIASES else domain
        return Node(name, op, tuple(proto.input), tuple(proto.output), {}, domain)

    def read_node(self, name: str, proto: onnx.NodeProto) -> None:
        node = self.node(name, proto)
        if node.op == "Resize" and self.opset < 11:
            node = replace(node, op="Upsample")
        domain = node.domain
        if not domain and proto.op_type == "Constant":
            self.read_constant(node, proto)
        elif _operator(node) is None:
            full = f"{domain}.{proto.op_type}" if domain else proto.op_type
            self.problems.add(f"node {name!r}: operator {full} is not supported")
            self.unknown = True
        else:
            try:
                self.nodes.append(self.complete(node, proto.attribute))
            except ValueError as error:
                self.problems.add(f"{node.place}: {error}")

    def unused_name(self, wanted: str) -> str:
        name, count = wanted, 1
        while name in self.names:
            name, count = f"{wanted}_{count}", count + 1
        self.names.add(name)
        return name

    def read_constant(self, node: Node, proto: onnx.NodeProto) -> None:
        """A Constant node carries its value in one of several attributes."""
        if len(proto.attribute) != 1 or len(node.outputs) != 1:
            self.problems.add(f"{node.place}: {len(proto.attribute)} values; a constant has one")
            return
        attribute = proto.attribute[0]
        if attribute.name == "value" and attribute.type == onnx.AttributeProto.TENSOR:
            self.add_constant(node.outputs[0], attribute.t, node.place)
            return
        kind, read = _KINDS.get(attribute.type, ("", None))
        if attribute.name != f"value_{kind}" or kind in ("string", "tensor"):
            self.problems.add(f"{node.place}: its {attribute.name!r} is not supported; use a dense tensor")
            return
        dtype = np.float32 if kind.startswith("float") else np.int64
        self.constants[node.outputs[0]] = np.array(read(attribute), dtype)

    def complete(self, node: Node, protos: Iterable[onnx.AttributeProto]) -> Node:
        """The node in its newest form, with every attribute present; ValueError where that is impossible."""
        operator = _operator(node)
        given = self.attributes(operator, protos)
        inputs = list(node.inputs)
        for name, place in operator.moved.items():
            if name in given:
                inputs += [""] * (place + 1 - len(inputs))
                inputs[place] = self.attribute_as_constant(node, name, given.pop(name))
        attributes = {}
        for name, attribute in operator.attributes.items():
            if name not in operator.moved and attribute.kept:
                attributes[name] = given.get(name, attribute.default_at(self.opset))
        while inputs and not inputs[-1]:
            inputs.pop()
        least, most = operator.operands
        if not least <= len(inputs) <= most or not all(inputs[:least]):
            raise ValueError(f"{len(inputs)} operands; {least} to {most} are allowed")
        outputs = self.used_outputs(node)
        if "num_outputs" in attributes:  # of Split: what the number of results says, too
            attributes["num_outputs"] = len(outputs)
        if node.op in ("QuantizeLinear", "DequantizeLinear"):
            self.complete_type(node, inputs, attributes, protos)
        elif node.op == "CastLike" and inputs[1] in self.limits:
            raise ValueError("a cast to fewer than 8 bits; only QuantizeLinear makes such integers")
        return Node(node.name, node.op, tuple(inputs), outputs, attributes, node.domain)

    def complete_type(
        self, node: Node, inputs: list[str], attributes: dict[str, Any], protos: Iterable[onnx.AttributeProto]
    ) -> None:
        """The integer type, as a zero point and, where numpy has none so narrow, as ``limits``."""
        codes = [proto.i for proto in protos if proto.name == "output_dtype" and proto.i]
        if node.op == "QuantizeLinear" and codes and len(inputs) < 3:
            kind = type_name(codes[0])
            if kind not in (*INTEGERS, *NARROW_TYPES):
                raise ValueError(f"its result of type {kind} is not supported")
            low, high = NARROW_TYPES.get(kind, (0, 0))
            dtype = np.int8 if low else np.uint8 if high else onnx.helper.tensor_dtype_to_np_dtype(codes[0])
            inputs.append(self.attribute_as_constant(node, "zero_point", np.zeros((), dtype)))
            if high:
                self.limits[inputs[2]] = low, high
        source = inputs[2:3] if node.op == "QuantizeLinear" else inputs[:1] + inputs[2:3]
        limits = next((self.limits[name] for name in source if name in self.limits), None)
        if limits and node.op == "QuantizeLinear":
            self.limits[node.outputs[0]] = limits
        attributes["limits"] = limits

    def attributes(self, operator: Operator, protos: Iterable[onnx.AttributeProto]) -> dict[str, Any]:
        """The attributes given in the file, checked against the table; ValueError for what is not understood."""
        table = operator.attributes
        given = {}
        for proto in protos:
            if proto.name not in table or table[proto.name].own:
                raise ValueError(f"its attribute {proto.name!r} is not supported")
            given[proto.name] = _attribute(table[proto.name], proto, self.path.parent)
        for name, attribute in table.items():
            if attribute.required and name not in given:
                raise ValueError(f"its attribute {name!r} is missing")
        return given

    def attribute_as_constant(self, node: Node, name: str, value: Any) -> str:
        tensor = f"{node.outputs[0]}/{name}"
        while tensor in self.constants:
            tensor += "_"
        floats = isinstance(value, float) or (isinstance(value, tuple) and any(isinstance(v, float) for v in value))
        dtype = value.dtype if isinstance(value, np.ndarray) else np.float32 if floats else np.int64
        self.constants[tensor] = np.array(value, dtype)
        return tensor

    def used_outputs(self, node: Node) -> tuple[str, ...]:
        """The results that are supported; the others (masks, training statistics) may not be read by anyone."""
        if not node.outputs or not any(node.outputs):
            raise ValueError("its first result has no name")
        most = _operator(node).results[1]
        if most == 1 and not node.outputs[0]:
            raise ValueError("its first result has no name")
        used = self.read_names.intersection(node.outputs[most:]) - {""}
        if used:
            supported = "only the first is" if most == 1 else f"only {most} are"
            raise ValueError(f"its result {_listed(used)} is used; {supported} supported")
        return tuple(name or f"{node.name}/{index}" for index, name in enumerate(node.outputs[:most]))


def _operator(node: Node) -> Operator | None:
    """What is known of the node's operator, standard or of another format."""
    foreign = find_format(node.domain, node.op)
    return foreign or (None if node.domain else OPERATORS.get(node.op))


def _ordered(protos: Iterable[onnx.NodeProto]) -> list[tuple[int, onnx.NodeProto]]:
    """Nodes with their places in the file, each behind those that write what it reads."""
    waiting = list(enumerate(protos))
    writers = {name for _, proto in waiting for name in proto.output if name}
    ordered: list[tuple[int, onnx.NodeProto]] = []
    while waiting:
        late = []
        for index, proto in waiting:
            if writers.isdisjoint(proto.input):
                ordered.append((index, proto))
                writers.difference_update(proto.output)
            else:
                late.append((index, proto))
        if len(late) == len(waiting):  # a circle: reported where the order is checked
            return ordered + late
        waiting = late
    return ordered


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


def _input_info(proto: onnx.ValueInfoProto, wanted: tuple[int, ...] | None) -> TensorInfo:
    tensor = proto.type.tensor_type
    kind = type_name(tensor.elem_type)
    if kind not in _INPUT_TYPES:
        raise ValueError(
            f"has the type {kind}; {', '.join(_INPUT_TYPES)} are supported: export the model with one of those"
        )
    dims = [dim.dim_value or dim.dim_param or "?" for dim in tensor.shape.dim]
    return TensorInfo(shape_of_input(proto.name, dims, wanted), onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))


def _attribute(attribute: Attribute, proto: onnx.AttributeProto, folder: Path) -> Any:
    kind, read = _KINDS.get(proto.type, ("another kind", None))
    if kind != attribute.kind or proto.ref_attr_name:
        raise ValueError(f"its attribute {proto.name!r} must be of kind {attribute.kind}, not {kind}")
    value = decode(proto.t, folder) if kind == "tensor" else read(proto)
    if kind == "float" and math.isnan(value):
        raise ValueError(f"its attribute {proto.name!r} is not a number")
    if attribute.only and value not in attribute.only:
        allowed = " or ".join(map(str, attribute.only))
        raise ValueError(f"its attribute {proto.name!r} is {value}; only {allowed} is supported")
    return value
