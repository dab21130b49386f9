"""Models of u8 activations and s8 weights as models of u8 weights, which give the same integers.

For processors on which a runtime's kernels for u8 and s8 saturate: weights are 128 more, and so are their zero points,
so that every product is what it was.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import TypeGuard

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hwgen.graph.semantics.operators import PRODUCTS

_ZERO_POINTS = {"QLinearConv": 5, "QLinearMatMul": 5, "QGemm": 5, "MatMulInteger": 3, "ConvInteger": 3}  # of weights
#: What a runtime moves DequantizeLinear nodes past.
_MOVES = ("Flatten", "MaxPool", "Pad", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")
_ZERO = np.zeros((), np.int8)


def with_unsigned_weights(model: bytes) -> tuple[bytes, Mapping[str, bool]]:
    """``model`` with u8 weights in all products of u8 activations, and the nodes where that cannot be done, since what
    they multiply by is no constant: whether they multiply integers as they are written, by name."""
    made = _Unsigned(onnx.load_from_string(model))
    return made.model.SerializeToString(), {name: op in _ZERO_POINTS for name, op in made.left.items()}


def saturation_probe(terms: int = 64) -> bytes:
    """A model with the input x, u8 [1, ``terms``], and the result y, int32: the sum of x times 127, which is s8."""
    weights = numpy_helper.from_array(np.full((terms, 1), 127, np.int8), "w")
    source = helper.make_tensor_value_info("x", TensorProto.UINT8, [1, terms])
    result = helper.make_tensor_value_info("y", TensorProto.INT32, [1, 1])
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w"], ["y"])], "probe", [source], [result], [weights]
    )
    probe = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
    return probe.SerializeToString()


class _Unsigned:
    """``model`` with u8 weights in all products of u8 activations; ``left`` are the nodes where that cannot be done,
    by name, with their operators."""

    def __init__(self, model: onnx.ModelProto):
        self.model = model
        self.left: dict[str, str] = {}
        self.made: dict[tuple[str, ...], str] = {}  # what stands for a tensor and its zero point
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}
        constants = [node for node in model.graph.node if node.op_type == "Constant"]
        self.constants |= {node.output[0]: a.t for node in constants for a in node.attribute if a.name == "value"}
        self.makers = {output: node for node in model.graph.node for output in node.output}
        self.types = {name: tensor.data_type for name, tensor in self.constants.items()}
        self.types |= {value.name: value.type.tensor_type.elem_type for value in model.graph.input}
        nodes = [each for node in model.graph.node for each in self.nodes(node)]
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        model.ir_version = max(model.ir_version, 4)  # the first whose constants need not be inputs, too

    def nodes(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """What stands for ``node``, in order."""
        if node.op_type == "QuantizeLinear":
            self.types[node.output[0]] = self.zero_point_type(node)
        if node.op_type in _ZERO_POINTS:
            yield from self.integer_product(node, _ZERO_POINTS[node.op_type])
        elif node.op_type in PRODUCTS:  # with DequantizeLinear in front: QDQ
            yield from self.real_product(node)
        else:
            yield node

    def zero_point_type(self, node: onnx.NodeProto) -> int:
        """Of a QuantizeLinear or DequantizeLinear: u8 where it has none and its input does not say."""
        names = [name for name in (node.input[2:3] or node.input[:1]) if name]
        return next((self.types[name] for name in names if name in self.types), TensorProto.UINT8)

    def integer_product(self, node: onnx.NodeProto, zero: int) -> Iterator[onnx.NodeProto]:
        """A product whose operands are integers, and the zero point of whose weights is operand ``zero``."""
        weight = zero - 2
        activations = node.input[2] if zero == 5 else node.input[0]  # of the same type as their zero point
        if self.types.get(node.input[weight]) == TensorProto.INT8 and self.is_u8(activations):
            if node.input[weight] in self.constants:
                node.input.extend([""] * (zero + 1 - len(node.input)))
                node.input[zero] = self.shifted(node.input[zero], np.zeros((), np.int8))
                node.input[weight] = self.shifted(node.input[weight])
            else:
                self.left[node.name or node.output[0]] = node.op_type
        yield node

    def real_product(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """A product of dequantised operands, which optimisation makes one of integers."""
        activations, weights = self.dequantizer(node.input[0]), self.makers.get(node.input[1])
        if _dequantizes(activations) and _dequantizes(weights):
            signed = self.zero_point_type(weights) == TensorProto.INT8
            if signed and self.zero_point_type(activations) == TensorProto.UINT8:
                yield from self.dequantised(node, weights)
        yield node

    def dequantizer(self, name: str) -> onnx.NodeProto | None:
        """What makes the activations ``name``, which a runtime may move elsewhere before it looks for products."""
        maker = self.makers.get(name)
        while maker is not None and maker.op_type in _MOVES:
            maker = self.makers.get(maker.input[0])
        return maker

    def dequantised(self, node: onnx.NodeProto, weights: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """The nodes that make the weights of ``node`` of u8 ones, which it then reads."""
        stored = weights.input[0]
        key, steps = (weights.output[0],), [weights]
        if stored not in self.constants:
            maker = self.makers.get(stored)
            if maker is None or maker.op_type != "QuantizeLinear" or maker.input[0] not in self.constants:
                self.left[node.name or node.output[0]] = node.op_type
                return
            steps = [maker, weights]
        if key not in self.made:
            self.made[key] = f"{weights.output[0]}/unsigned"
            yield from self.unsigned_steps(steps)
        node.input[1] = self.made[key]

    def unsigned_steps(self, steps: list[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
        """A QuantizeLinear of constant weights, if any, and their DequantizeLinear, with u8 between."""
        name = steps[0].input[0]
        source = self.shifted(name) if len(steps) == 1 else name
        for step in steps:
            scales = numpy_helper.to_array(self.constants[step.input[1]])
            zero = self.shifted(step.input[2] if len(step.input) > 2 else "", np.zeros(scales.shape, np.int8))
            copy = deepcopy(step)
            copy.input[:] = [source, step.input[1], zero]
            copy.name, source = f"{step.name}/unsigned", f"{step.output[0]}/unsigned"
            copy.output[:] = [source]
            yield copy

    def shifted(self, name: str, default: np.ndarray = _ZERO) -> str:
        """The u8 constant that stands for the s8 constant ``name``, or for ``default`` where there is none."""
        values = numpy_helper.to_array(self.constants[name]) if name else default
        key = (name, str(values.shape))
        if key not in self.made:
            self.made[key] = f"{name}/u8" if name else f"unsigned_zero_point/{len(self.made)}"
            shifted = (values.astype(np.int16) + 128).astype(np.uint8)
            self.model.graph.initializer.append(numpy_helper.from_array(shifted, self.made[key]))
        return self.made[key]

    def is_u8(self, name: str) -> bool:
        return self.types.get(name, TensorProto.UINT8) == TensorProto.UINT8


def _dequantizes(node: onnx.NodeProto | None) -> TypeGuard[onnx.NodeProto]:
    return node is not None and node.op_type == "DequantizeLinear"
