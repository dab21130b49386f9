"""Nodes of an ONNX file in their newest form, with every attribute present."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from hwgen.graph.formats import find_format
from hwgen.graph.formats.call import Foreign
from hwgen.graph.ir import Node, without_absent
from hwgen.graph.onnx.tensor_data import INTEGERS, NARROW_TYPES, decode, type_name
from hwgen.graph.semantics.operators import ALIASES, STANDARD, Attribute, OnnxOperator

_REMEDIES = {
    "antialias": ": export the resize with antialias=0, or end the network before it with --outputs",
    "training_mode": ": export the model for inference, after model.eval()",
}
_KINDS: Mapping[int, tuple[str, Callable[[onnx.AttributeProto], Any]]] = {
    onnx.AttributeProto.INT: ("int", lambda a: int(a.i)),
    onnx.AttributeProto.INTS: ("ints", lambda a: tuple(a.ints)),
    onnx.AttributeProto.FLOAT: ("float", lambda a: float(a.f)),
    onnx.AttributeProto.FLOATS: ("floats", lambda a: tuple(a.floats)),
    onnx.AttributeProto.STRING: ("string", lambda a: a.s.decode("utf-8", "replace")),
    onnx.AttributeProto.TENSOR: ("tensor", lambda a: a.t),
}
_UNKNOWN = ("another kind", lambda a: None)


class NodeReader:
    """Understands the nodes of a model of ``opset`` in ``folder``.

    ``constants`` collects what stood in attributes of older opsets, ``limits`` the least and greatest integer of
    tensors of types narrower than numpy's. ``read_names`` are the tensors that somebody reads.
    """

    def __init__(self, opset: int, folder: Path, constants: dict[str, np.ndarray], read_names: Collection[str]):
        self.opset = opset
        self.folder = folder
        self.constants = constants
        self.read_names = set(read_names)
        self.limits: dict[str, tuple[int, int]] = {}

    def add_tensor(self, name: str, tensor: onnx.TensorProto) -> None:
        """A constant; ValueError where it cannot be read, and an empty one stands for it then."""
        self.constants[name] = np.zeros(0, np.float32)
        value = decode(tensor, self.folder)
        value.setflags(write=False)
        self.constants[name] = value
        if (kind := type_name(tensor.data_type)) in NARROW_TYPES:
            self.limits[name] = NARROW_TYPES[kind]

    def add_constant(self, proto: onnx.NodeProto) -> None:
        """What a Constant node holds, in one of several attributes; ValueError where it cannot be read."""
        if len(proto.attribute) != 1 or len(proto.output) != 1:
            raise ValueError(f"{len(proto.attribute)} values; a constant has one")
        attribute = proto.attribute[0]
        if attribute.name == "value" and attribute.type == onnx.AttributeProto.TENSOR:
            self.add_tensor(proto.output[0], attribute.t)
            return
        kind, read = _KINDS.get(attribute.type, _UNKNOWN)
        if attribute.name != f"value_{kind}" or kind in ("string", "tensor"):
            raise ValueError(f"its {attribute.name!r} is not supported; use a dense tensor")
        dtype = np.float32 if kind.startswith("float") else np.int64
        self.constants[proto.output[0]] = np.array(read(attribute), dtype)

    def read(self, node: Node, protos: Iterable[onnx.AttributeProto]) -> Node:
        """``node`` in its newest form, with every attribute present; ValueError where that is impossible."""
        if node.op == "Resize" and self.opset < 11:
            node = replace(node, op="Upsample")
        operator = operator_of(node)
        if operator is None:
            raise ValueError("its operator is not known")
        given = self.attributes(operator, protos)
        inputs, attributes = list(node.inputs), {}
        for name, attribute in operator.attributes.items():
            if attribute.operand and name in given:
                inputs += [""] * (attribute.operand + 1 - len(inputs))
                inputs[attribute.operand] = self.attribute_as_constant(node, name, given[name])
            elif attribute.kept:
                attributes[name] = given.get(name, attribute.default_at(self.opset))
        inputs = list(without_absent(inputs))
        least, most = operator.operands
        if not least <= len(inputs) <= most or not all(inputs[:least]):
            raise ValueError(f"{len(inputs)} operands; {least} to {most} are allowed")
        outputs = self.used_outputs(node, operator.results[1])
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

    def attributes(self, operator: OnnxOperator | Foreign, protos: Iterable[onnx.AttributeProto]) -> dict[str, Any]:
        """The attributes given in the file, checked against the table; ValueError for what is not understood."""
        table = operator.attributes
        given = {}
        for proto in protos:
            if proto.name not in table or table[proto.name].own:
                raise ValueError(f"its attribute {proto.name!r} is not supported")
            given[proto.name] = _attribute(table[proto.name], proto, self.folder)
        for name, attribute in table.items():
            if attribute.required and name not in given:
                raise ValueError(f"its attribute {name!r} is missing")
        return given

    def attribute_as_constant(self, node: Node, name: str, value: Any) -> str:
        """The name of a new constant with the ``value`` of an attribute, which newer opsets have as an operand."""
        tensor = f"{node.outputs[0]}/{name}"
        while tensor in self.constants:
            tensor += "_"
        floats = isinstance(value, float) or (isinstance(value, tuple) and any(isinstance(v, float) for v in value))
        dtype = value.dtype if isinstance(value, np.ndarray) else np.float32 if floats else np.int64
        self.constants[tensor] = np.array(value, dtype)
        return tensor

    def used_outputs(self, node: Node, most: int) -> tuple[str, ...]:
        """The first ``most`` results, which are supported; nobody may read the others (masks, training statistics)."""
        if not any(node.outputs[:1] if most == 1 else node.outputs):
            raise ValueError("its first result has no name")
        used = self.read_names.intersection(node.outputs[most:]) - {""}
        if used:
            supported = "only the first is" if most == 1 else f"only {most} are"
            raise ValueError(f"its result {', '.join(map(repr, sorted(used)))} is used; {supported} supported")
        return tuple(name or f"{node.name}/{index}" for index, name in enumerate(node.outputs[:most]))


def light_node(name: str, proto: onnx.NodeProto) -> Node:
    """The node without its attributes, its operator by the newest name."""
    domain = "" if proto.domain == "ai.onnx" else proto.domain
    op = ALIASES.get((domain, proto.op_type), proto.op_type)
    domain = "" if (domain, proto.op_type) in ALIASES else domain
    return Node(name, op, tuple(proto.input), tuple(proto.output), {}, domain)


def operator_of(node: Node) -> OnnxOperator | Foreign | None:
    """What is known of the node's operator, standard or of another format."""
    foreign = find_format(node.domain, node.op)
    return foreign or (None if node.domain else STANDARD.get(node.op))


def _attribute(attribute: Attribute, proto: onnx.AttributeProto, folder: Path) -> Any:
    kind, read = _KINDS.get(proto.type, _UNKNOWN)
    if kind != attribute.kind or proto.ref_attr_name:
        raise ValueError(f"its attribute {proto.name!r} must be of kind {attribute.kind}, not {kind}")
    value = decode(proto.t, folder) if kind == "tensor" else read(proto)
    if kind == "float" and math.isnan(value):
        raise ValueError(f"its attribute {proto.name!r} is not a number")
    if attribute.only and value not in attribute.only:
        allowed = " or ".join(map(str, attribute.only))
        remedy = _REMEDIES.get(proto.name, "")
        raise ValueError(f"its attribute {proto.name!r} is {value}; only {allowed} is supported{remedy}")
    return value
