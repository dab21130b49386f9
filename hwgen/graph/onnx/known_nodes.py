"""What is known before any frame arrives is computed at once where this package has no operator for it.

Exporters leave such arithmetic in files: the norms of weight normalisation, grids of positions, an If that asks for the
shape of its operand. The reference evaluator of the ``onnx`` package computes it, node by node; an If is replaced by
the branch that its condition takes. What is left is then read, or refused, as if it had been exported so.
"""

import math
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from hwgen.graph.errors import Problems
from hwgen.graph.formats import Expansion
from hwgen.graph.ir import TensorInfo
from hwgen.graph.onnx.evaluation import evaluate
from hwgen.graph.onnx.model_file import MAX_NODES, names_read, opset_of, ordered
from hwgen.graph.onnx.node_reader import NodeReader, light_node, operator_of
from hwgen.graph.onnx.subgraphs import branch_nodes
from hwgen.graph.onnx.tensor_data import input_info, type_name


def known_nodes_computed(
    model: onnx.ModelProto, folder: Path, input_shape: Mapping[str, tuple[int, ...]]
) -> onnx.ModelProto:
    """``model``, changed in place: where a node can only be computed now, a Constant stands for each of its results."""
    graph = model.graph
    strange = any(type_name(tensor.data_type).startswith("FLOAT8") for tensor in graph.initializer)
    if strange or any(_foreign(proto) for proto in graph.node):
        nodes = _Walk(model, folder, input_shape).run()
        del graph.node[:]
        graph.node.extend(nodes)
    return model


def _foreign(proto: onnx.NodeProto) -> bool:
    """Whether it is an operator that is not known, or one in a form that is not."""
    blocked = any(attribute.name == "block_size" and attribute.i for attribute in proto.attribute)
    return blocked or (proto.op_type != "Constant" and operator_of(light_node("", proto)) is None)


class _Walk:
    """One walk over the nodes, which knows shapes, and what does not depend on the input.

    What cannot be read is passed over: it is reported when the graph is read.
    """

    def __init__(self, model: onnx.ModelProto, folder: Path, input_shape: Mapping[str, tuple[int, ...]]):
        self.model, graph = model, model.graph
        self.tensors = {tensor.name: tensor for tensor in graph.initializer}
        self.reader = NodeReader(opset_of(model), folder, {}, ())
        for name, tensor in self.tensors.items():
            with suppress(ValueError):
                self.reader.add_tensor(name, tensor)
        inputs: dict[str, TensorInfo] = {}
        for value in graph.input:
            if value.name not in self.tensors:
                with suppress(ValueError):
                    inputs[value.name] = input_info(value, input_shape.get(value.name))
        self.shapes = Expansion([], inputs, self.reader.constants, Problems())
        self.makers: dict[str, onnx.NodeProto] = {}  # of what does not depend on the input
        self.known = set(self.tensors)
        self.names = {*self.tensors, *(value.name for value in graph.input)}
        self.names.update(name for proto in graph.node for name in proto.output)

    def run(self) -> list[onnx.NodeProto]:
        waiting = deque(proto for _, proto in ordered(self.model.graph.node))
        result: list[onnx.NodeProto] = []
        while waiting and len(result) <= MAX_NODES:
            proto = waiting.popleft()
            branch = self.branch(proto)
            if branch is None:
                result += self.visit(proto)
            else:
                waiting.extendleft(reversed(branch))
        return result

    def visit(self, proto: onnx.NodeProto) -> list[onnx.NodeProto]:
        """What stands for the node."""
        if proto.op_type == "Constant":
            with suppress(ValueError):
                self.reader.add_constant(proto)
                self.learn(proto.output[0], self.reader.constants[proto.output[0]])
            self.known.update(proto.output)
            return [proto]
        read = names_read(proto)
        constant = bool(read) and self.known.issuperset(read)
        if proto.op_type in ("Shape", "Size") and proto.input[0] in self.shapes.tensors:
            constant = True
        if not self.follow(proto) and constant:
            with suppress(ValueError):
                return self.constants(proto, self.results(proto))
        if constant:
            self.known.update(proto.output)
            self.makers |= dict.fromkeys(proto.output, proto)
        return [proto]

    def follow(self, proto: onnx.NodeProto) -> bool:
        """Find the shapes of the node's results; whether it is understood."""
        node = light_node(self.shapes.fresh(proto.name or proto.op_type), proto)
        if operator_of(node) is None:
            return False
        try:
            node = self.reader.read(node, proto.attribute)
            for name in node.inputs:
                if name in self.reader.constants and name not in self.shapes.tensors:
                    self.learn(name, self.reader.constants[name])
            if all(name in self.shapes.tensors for name in node.inputs if name):
                self.shapes.visit(node)
        except ValueError:
            return False
        return True

    def learn(self, name: str, value: np.ndarray) -> None:
        self.known.add(name)
        self.shapes.tensors[name] = TensorInfo(value.shape, value.dtype)
        self.shapes.values[name] = value

    def constants(self, proto: onnx.NodeProto, results: Mapping[str, np.ndarray]) -> list[onnx.NodeProto]:
        """Nodes that hold ``results``, the first by the name of the node."""
        for name, value in results.items():
            self.learn(name, value)
        return [
            helper.make_node(
                "Constant", [], [name], name if index else proto.name, value=numpy_helper.from_array(value)
            )
            for index, (name, value) in enumerate(results.items())
        ]

    def results(self, proto: onnx.NodeProto) -> dict[str, np.ndarray]:
        """What a node gives whose operands are known; ValueError where it cannot be computed."""
        if proto.op_type == "Size":
            return {proto.output[0]: np.array(math.prod(self.shapes.tensors[proto.input[0]].shape), np.int64)}
        operands = {name: self.value(name) for name in proto.input if name}
        return evaluate(proto, operands, self.model.opset_import)

    def value(self, name: str) -> np.ndarray:
        """What is known by ``name``; ValueError where it cannot be computed."""
        if name in self.tensors and not self.shapes.values[name].size:  # of a type that nothing else takes
            return numpy_helper.to_array(self.tensors[name])
        if name not in self.shapes.values:
            if name not in self.makers:
                raise ValueError("it cannot be read")
            for result, value in self.results(self.makers[name]).items():
                self.learn(result, value)
        return self.shapes.values[name]

    def branch(self, proto: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        """The nodes that stand for an If; None where it is none, or its condition depends on the input."""
        if proto.op_type != "If" or not self.known.issuperset(proto.input):
            return None
        graphs = {attribute.name: attribute.g for attribute in proto.attribute}
        try:
            taken = graphs["then_branch" if bool(self.value(proto.input[0]).item()) else "else_branch"]
        except (KeyError, ValueError):
            return None
        return branch_nodes(proto, taken, self.names)
