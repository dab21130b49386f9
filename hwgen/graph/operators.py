"""The imported ONNX operators: one table of operand counts, attributes, shape and float semantics.

A new operator is a line here, a function in :mod:`hwgen.graph.shapes` and one in :mod:`hwgen.graph.float_ops`.
Every attribute that ONNX defines, in any version of the operator from ``MIN_OPSET`` to ``MAX_OPSET``, is listed; a
test compares the table with the schemas of the ``onnx`` package.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from . import float_ops, shapes

MIN_OPSET, MAX_OPSET = 7, 28  # the schemas of the operators below were compared over this range


@dataclass(frozen=True)
class Attribute:
    """One attribute: its kind ("int", "ints", "float" or "string") and what may stand in it.

    ``older`` is (opset, value): the default below that opset. ``only`` lists the values that are understood.
    ``ignored`` marks those without influence on inference; they are read and dropped.
    """

    kind: str
    default: Any = None
    required: bool = False
    older: tuple[int, Any] | None = None
    only: tuple[Any, ...] = ()
    ignored: bool = False

    @property
    def kept(self) -> bool:
        """Whether nodes carry it: values that must be what they are, or do not matter, are left out."""
        return not self.ignored and not self.only

    def default_at(self, opset: int) -> Any:
        return self.older[1] if self.older and opset < self.older[0] else self.default


@dataclass(frozen=True)
class Operator:
    """``moved`` maps attributes of older opsets to the operand that took their place."""

    operands: tuple[int, int]
    infer: Callable[..., Any]
    compute: Callable[..., Any]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    moved: Mapping[str, int] = field(default_factory=dict)

    @property
    def defaults(self) -> dict[str, Any]:
        """The attributes that every node of this operator carries, at their newest defaults."""
        return {name: a.default for name, a in self.attributes.items() if a.kept and name not in self.moved}


_WINDOW = {
    "auto_pad": Attribute("string", "NOTSET"),
    "dilations": Attribute("ints"),
    "pads": Attribute("ints"),
    "strides": Attribute("ints"),
}
_KERNEL = {"kernel_shape": Attribute("ints", required=True)}
_CEIL = {"ceil_mode": Attribute("int", 0)}
_QUANTIZATION = {
    "axis": Attribute("int", 1),
    "block_size": Attribute("int", 0, only=(0,)),
    "output_dtype": Attribute("int", 0, only=(0,)),
}

OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {
        "Add": Operator((2, 2), shapes.broadcast, float_ops.add),
        "ArgMax": Operator(
            (1, 1),
            shapes.argmax,
            float_ops.argmax,
            {
                "axis": Attribute("int", 0),
                "keepdims": Attribute("int", 1),
                "select_last_index": Attribute("int", 0),
            },
        ),
        "AveragePool": Operator(
            (1, 1),
            shapes.pool,
            float_ops.average_pool,
            _WINDOW | _KERNEL | _CEIL | {"count_include_pad": Attribute("int", 0)},
        ),
        "BatchNormalization": Operator(
            (5, 5),
            shapes.batch_normalization,
            float_ops.batch_normalization,
            {
                "epsilon": Attribute("float", 1e-5),
                "momentum": Attribute("float", ignored=True),
                "spatial": Attribute("int", 1, only=(1,)),
                "training_mode": Attribute("int", 0, only=(0,)),
            },
        ),
        "Clip": Operator(
            (1, 3),
            shapes.same,
            float_ops.clip,
            {"min": Attribute("float"), "max": Attribute("float")},
            moved={"min": 1, "max": 2},
        ),
        "Conv": Operator(
            (2, 3),
            shapes.conv,
            float_ops.conv,
            _WINDOW | {"kernel_shape": Attribute("ints"), "group": Attribute("int", 1)},
        ),
        "DequantizeLinear": Operator((2, 3), shapes.dequantize_linear, float_ops.dequantize_linear, _QUANTIZATION),
        "Dropout": Operator(
            (1, 3),
            shapes.dropout,
            float_ops.identity,
            {"ratio": Attribute("float", ignored=True), "seed": Attribute("int", ignored=True)},
        ),
        "Flatten": Operator((1, 1), shapes.flatten, float_ops.flatten, {"axis": Attribute("int", 1)}),
        "Gemm": Operator(
            (2, 3),
            shapes.gemm,
            float_ops.gemm,
            {
                "alpha": Attribute("float", 1.0),
                "beta": Attribute("float", 1.0),
                "transA": Attribute("int", 0),
                "transB": Attribute("int", 0),
            },
        ),
        "GlobalAveragePool": Operator((1, 1), shapes.global_pool, float_ops.global_average_pool),
        "GlobalMaxPool": Operator((1, 1), shapes.global_pool, float_ops.global_max_pool),
        "Identity": Operator((1, 1), shapes.same, float_ops.identity),
        "LogSoftmax": Operator(
            (1, 1), shapes.softmax, float_ops.log_softmax, {"axis": Attribute("int", -1, older=(13, 1))}
        ),
        "MatMul": Operator((2, 2), shapes.matmul, float_ops.matmul),
        "MaxPool": Operator(
            (1, 1),
            shapes.pool,
            float_ops.max_pool,
            _WINDOW | _KERNEL | _CEIL | {"storage_order": Attribute("int", ignored=True)},
        ),
        "QuantizeLinear": Operator(
            (2, 3),
            shapes.quantize_linear,
            float_ops.quantize_linear,
            _QUANTIZATION | {"precision": Attribute("int", 0, only=(0, 1)), "saturate": Attribute("int", ignored=True)},
        ),
        "Relu": Operator((1, 1), shapes.same, float_ops.relu),
        "Reshape": Operator(
            (2, 2), shapes.reshape, float_ops.reshape, {"allowzero": Attribute("int", 0)}, moved={"shape": 1}
        ),
        "Softmax": Operator((1, 1), shapes.softmax, float_ops.softmax, {"axis": Attribute("int", -1, older=(13, 1))}),
        "Squeeze": Operator((1, 2), shapes.squeeze, float_ops.squeeze, {"axes": Attribute("ints")}, moved={"axes": 1}),
        "Transpose": Operator((1, 1), shapes.transpose, float_ops.transpose, {"perm": Attribute("ints")}),
        "Unsqueeze": Operator(
            (2, 2), shapes.unsqueeze, float_ops.unsqueeze, {"axes": Attribute("ints")}, moved={"axes": 1}
        ),
    }
)

MICROSOFT = "com.microsoft"
ALIASES = MappingProxyType({(MICROSOFT, "QuantizeLinear"): "", (MICROSOFT, "DequantizeLinear"): ""})
