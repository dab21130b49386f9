"""The imported ONNX operators: one table of operand counts, attributes, shape and float semantics.

A new operator is a line here, a function in :mod:`hwgen.graph.shapes` and one in :mod:`hwgen.graph.float_ops`.
Every attribute that ONNX defines, in any version of the operator from ``MIN_OPSET`` to ``MAX_OPSET``, is listed; a
test compares the table with the schemas of the ``onnx`` package.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from . import float_elementwise, float_layout, float_ops, shapes, shapes_layout

MIN_OPSET, MAX_OPSET = 7, 28  # the schemas of the operators below were compared over this range


@dataclass(frozen=True)
class Attribute:
    """One attribute: its kind ("int", "ints", "float", "string" or "tensor") and what may stand in it.

    ``older`` is (opset, value): the default below that opset. ``only`` lists the values that are understood.
    ``ignored`` marks those without influence on inference; they are read and dropped. ``own`` marks those that files do
    not have: passes set them.
    """

    kind: str
    default: Any = None
    required: bool = False
    older: tuple[int, Any] | None = None
    only: tuple[Any, ...] = ()
    ignored: bool = False
    own: bool = False

    @property
    def kept(self) -> bool:
        """Whether nodes carry it: values that must be what they are, or do not matter, are left out."""
        return not self.ignored and not self.only

    def default_at(self, opset: int) -> Any:
        return self.older[1] if self.older and opset < self.older[0] else self.default


@dataclass(frozen=True)
class Operator:
    """``moved`` maps attributes of older opsets to the operand that took their place.

    ``operands`` and ``results`` are least and most. Several results make ``infer`` and ``compute`` give tuples.
    """

    operands: tuple[int, int]
    infer: Callable[..., Any]
    compute: Callable[..., Any]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    moved: Mapping[str, int] = field(default_factory=dict)
    results: tuple[int, int] = (1, 1)

    @property
    def defaults(self) -> dict[str, Any]:
        """The attributes that every node of this operator carries, at their newest defaults."""
        return {name: a.default for name, a in self.attributes.items() if a.kept and name not in self.moved}


MANY = 1 << 16  # operands or results, where ONNX sets no limit

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
    "output_dtype": Attribute("int", 0, ignored=True),  # the reader makes a zero point of it
    "limits": Attribute("ints", own=True),
}
_REDUCTION = {
    "axes": Attribute("ints"),
    "keepdims": Attribute("int", 1),
    "noop_with_empty_axes": Attribute("int", 0),
}


def _unary(name: str, **attributes: Attribute) -> Operator:
    return Operator((1, 1), shapes.same, getattr(float_elementwise, name), attributes)


def _binary(name: str) -> Operator:
    return Operator((2, 2), shapes.broadcast, getattr(float_elementwise, name))


def _variadic(name: str) -> Operator:
    return Operator((1, MANY), shapes.broadcast, getattr(float_elementwise, name))


def _reduction(name: str) -> Operator:
    return Operator((1, 2), shapes_layout.reduce, getattr(float_layout, name), _REDUCTION, moved={"axes": 1})


def _layout(name: str, operands: tuple[int, int], **attributes: Attribute) -> Operator:
    return Operator(operands, getattr(shapes_layout, name), getattr(float_layout, name), attributes)


STANDARD: Mapping[str, Operator] = MappingProxyType(
    {
        "Abs": _unary("absolute"),
        "Acos": _unary("arccos"),
        "Acosh": _unary("arccosh"),
        "Add": _binary("add"),
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
        "Asin": _unary("arcsin"),
        "Asinh": _unary("arcsinh"),
        "Atan": _unary("arctan"),
        "Atanh": _unary("arctanh"),
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
        "BitShift": Operator(
            (2, 2),
            shapes.bit_shift,
            float_elementwise.bit_shift,
            {"direction": Attribute("string", required=True)},
        ),
        "Cast": _layout(
            "cast",
            (1, 1),
            to=Attribute("int", required=True),
            saturate=Attribute("int", ignored=True),
            round_mode=Attribute("string", ignored=True),
        ),
        "CastLike": _layout(
            "cast_like",
            (2, 2),
            saturate=Attribute("int", ignored=True),
            round_mode=Attribute("string", ignored=True),
        ),
        "Ceil": _unary("ceil"),
        "Celu": _unary("celu", alpha=Attribute("float", 1.0)),
        "Clip": Operator(
            (1, 3),
            shapes.same,
            float_elementwise.clip,
            {"min": Attribute("float"), "max": Attribute("float")},
            moved={"min": 1, "max": 2},
        ),
        "Concat": _layout("concat", (1, MANY), axis=Attribute("int", required=True)),
        "ConstantOfShape": _layout("constant_of_shape", (1, 1), value=Attribute("tensor")),
        "Conv": Operator(
            (2, 3),
            shapes.conv,
            float_ops.conv,
            _WINDOW | {"kernel_shape": Attribute("ints"), "group": Attribute("int", 1)},
        ),
        "ConvTranspose": Operator(
            (2, 3),
            shapes.conv_transpose,
            float_ops.conv_transpose,
            _WINDOW
            | {
                "kernel_shape": Attribute("ints"),
                "group": Attribute("int", 1),
                "output_padding": Attribute("ints"),
                "output_shape": Attribute("ints"),
            },
        ),
        "Cos": _unary("cos"),
        "Cosh": _unary("cosh"),
        "DepthToSpace": _layout(
            "depth_to_space", (1, 1), blocksize=Attribute("int", required=True), mode=Attribute("string", "DCR")
        ),
        "DequantizeLinear": Operator((2, 3), shapes.dequantize_linear, float_ops.dequantize_linear, _QUANTIZATION),
        "Div": _binary("div"),
        "Dropout": Operator(
            (1, 3),
            shapes.dropout,
            float_elementwise.identity,
            {"ratio": Attribute("float", ignored=True), "seed": Attribute("int", ignored=True)},
        ),
        "Elu": _unary("elu", alpha=Attribute("float", 1.0)),
        "Equal": _layout("equal", (2, 2)),
        "Erf": _unary("erf"),
        "Exp": _unary("exp"),
        "Expand": _layout("expand", (2, 2)),
        "Flatten": Operator((1, 1), shapes.flatten, float_ops.flatten, {"axis": Attribute("int", 1)}),
        "Floor": _unary("floor"),
        "Gather": _layout("gather", (2, 2), axis=Attribute("int", 0)),
        "Gelu": _unary("gelu", approximate=Attribute("string", "none")),
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
        "HardSigmoid": _unary("hard_sigmoid", alpha=Attribute("float", 0.2), beta=Attribute("float", 0.5)),
        "HardSwish": _unary("hard_swish"),
        "Identity": Operator((1, 1), shapes.same, float_elementwise.identity),
        "LRN": Operator(
            (1, 1),
            shapes.lrn,
            float_ops.lrn,
            {
                "alpha": Attribute("float", 1e-4),
                "beta": Attribute("float", 0.75),
                "bias": Attribute("float", 1.0),
                "size": Attribute("int", required=True),
            },
        ),
        "LeakyRelu": _unary("leaky_relu", alpha=Attribute("float", 0.01)),
        "Log": _unary("log"),
        "LogSoftmax": Operator(
            (1, 1), shapes.softmax, float_ops.log_softmax, {"axis": Attribute("int", -1, older=(13, 1))}
        ),
        "MatMul": Operator((2, 2), shapes.matmul, float_ops.matmul),
        "Max": _variadic("maximum"),
        "MaxPool": Operator(
            (1, 1),
            shapes.pool,
            float_ops.max_pool,
            _WINDOW | _KERNEL | _CEIL | {"storage_order": Attribute("int", ignored=True)},
        ),
        "Mean": _variadic("mean_all"),
        "Min": _variadic("minimum"),
        "Mish": _unary("mish"),
        "Mul": _binary("mul"),
        "Neg": _unary("negative"),
        "PRelu": Operator((2, 2), shapes.prelu, float_elementwise.prelu),
        "Pad": Operator(
            (2, 4),
            shapes_layout.pad,
            float_layout.pad,
            {"mode": Attribute("string", "constant"), "pads": Attribute("ints"), "value": Attribute("float")},
            moved={"pads": 1, "value": 2},
        ),
        "Pow": Operator((2, 2), shapes.power, float_elementwise.power),
        "QuantizeLinear": Operator(
            (2, 3),
            shapes.quantize_linear,
            float_ops.quantize_linear,
            _QUANTIZATION | {"precision": Attribute("int", 0, only=(0, 1)), "saturate": Attribute("int", ignored=True)},
        ),
        "Reciprocal": _unary("reciprocal"),
        "ReduceMax": _reduction("reduce_max"),
        "ReduceMean": _reduction("reduce_mean"),
        "ReduceSum": _reduction("reduce_sum"),
        "Relu": _unary("relu"),
        "Reshape": Operator(
            (2, 2), shapes.reshape, float_ops.reshape, {"allowzero": Attribute("int", 0)}, moved={"shape": 1}
        ),
        "Resize": _layout(
            "resize",
            (1, 4),
            mode=Attribute("string", "nearest"),
            coordinate_transformation_mode=Attribute("string", "half_pixel"),
            nearest_mode=Attribute("string", "round_prefer_floor"),
            axes=Attribute("ints"),
            keep_aspect_ratio_policy=Attribute("string", "stretch"),
            antialias=Attribute("int", 0, only=(0,)),
            cubic_coeff_a=Attribute("float", ignored=True),
            exclude_outside=Attribute("int", ignored=True),
            extrapolation_value=Attribute("float", ignored=True),
        ),
        "Round": _unary("round_"),
        "Selu": _unary("selu", alpha=Attribute("float", 1.6732632), gamma=Attribute("float", 1.0507010)),
        "Shape": _layout("shape", (1, 1), start=Attribute("int", 0), end=Attribute("int")),
        "Shrink": _unary("shrink", bias=Attribute("float", 0.0), lambd=Attribute("float", 0.5)),
        "Sigmoid": _unary("sigmoid"),
        "Sign": _unary("sign"),
        "Sin": _unary("sin"),
        "Sinh": _unary("sinh"),
        "Slice": Operator(
            (3, 5),
            shapes_layout.slice_,
            float_layout.slice_,
            {"starts": Attribute("ints"), "ends": Attribute("ints"), "axes": Attribute("ints")},
            moved={"starts": 1, "ends": 2, "axes": 3},
        ),
        "Softmax": Operator((1, 1), shapes.softmax, float_ops.softmax, {"axis": Attribute("int", -1, older=(13, 1))}),
        "Softplus": _unary("softplus"),
        "Softsign": _unary("softsign"),
        "SpaceToDepth": _layout(
            "space_to_depth", (1, 1), blocksize=Attribute("int", required=True), mode=Attribute("string", "DCR")
        ),
        "Split": Operator(
            (1, 2),
            shapes_layout.split,
            float_layout.split,
            {"axis": Attribute("int", 0), "split": Attribute("ints"), "num_outputs": Attribute("int")},
            moved={"split": 1},
            results=(1, MANY),
        ),
        "Sqrt": _unary("sqrt"),
        "Squeeze": Operator((1, 2), shapes.squeeze, float_ops.squeeze, {"axes": Attribute("ints")}, moved={"axes": 1}),
        "Sub": _binary("sub"),
        "Sum": _variadic("add_all"),
        "Swish": _unary("swish", alpha=Attribute("float", 1.0)),
        "Tan": _unary("tan"),
        "Tanh": _unary("tanh"),
        "ThresholdedRelu": _unary("thresholded_relu", alpha=Attribute("float", 1.0)),
        "TopK": Operator(
            (2, 2),
            shapes_layout.top_k,
            float_layout.top_k,
            {
                "axis": Attribute("int", -1),
                "k": Attribute("int"),
                "largest": Attribute("int", 1),
                "sorted": Attribute("int", 1),
            },
            moved={"k": 1},
            results=(1, 2),
        ),
        "Transpose": Operator((1, 1), shapes.transpose, float_ops.transpose, {"perm": Attribute("ints")}),
        "Unsqueeze": Operator(
            (2, 2), shapes.unsqueeze, float_ops.unsqueeze, {"axes": Attribute("ints")}, moved={"axes": 1}
        ),
        "Upsample": Operator(  # also what Resize was in opset 10
            (2, 2),
            shapes_layout.upsample,
            float_layout.upsample,
            {"mode": Attribute("string", "nearest"), "scales": Attribute("floats")},
            moved={"scales": 1},
        ),
        "Where": _layout("where", (3, 3)),
    }
)
#: With those that no file has, which passes make.
OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {
        **STANDARD,
        "Lookup": _unary(
            "lookup",
            table=Attribute("floats", own=True),
            scale=Attribute("float", own=True),
            first=Attribute("int", own=True),
        ),
    }
)

MICROSOFT = "com.microsoft"
#: Standard operators that quantisers put elsewhere, most of them because older opsets lacked a type.
ALIASES = MappingProxyType(
    {
        (domain, f"{prefix}{op}"): op
        for domain, prefix in (
            (MICROSOFT, ""),
            ("com.amd.quark", "Extended"),
            ("com.amd.quark", ""),
            ("com.vai.quantize", "Vitis"),
        )
        for op in ("QuantizeLinear", "DequantizeLinear")
    }
)
