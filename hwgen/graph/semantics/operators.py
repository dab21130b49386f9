"""The imported ONNX operators: one table of kinds, operand counts, attributes, shape and float semantics.

A new operator of a known kind is a row here, and a function in :mod:`hwgen.graph.semantics.float_elementwise`,
``float_layout`` or ``float_ops`` that computes it, unless numpy has it; its shape, if no other's, follows in a function
of the same name in :mod:`hwgen.graph.semantics.shapes` or ``shapes_layout``. Which operators a pass or the lowering
treats alike is asked of the table: :func:`of_kind`, and the sets at the end.

Every attribute that ONNX defines, in any version of the operator from ``MIN_OPSET`` to ``MAX_OPSET``, is listed; a
test compares the table with the schemas of the ``onnx`` package.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np

from hwgen.graph.semantics import float_elementwise, float_layout, float_ops, shapes, shapes_layout
from hwgen.graph.semantics.kinds import Attribute, Kind, OnnxOperator

MIN_OPSET, MAX_OPSET = 7, 28  # the schemas of the operators below were compared over this range
MANY = 1 << 16  # operands or results, where ONNX sets no limit

_COMPUTE = (float_elementwise, float_layout, float_ops, np)
_INFER = (shapes, shapes_layout)

_int, _ints, _float, _floats, _string = (partial(Attribute, k) for k in ("int", "ints", "float", "floats", "string"))

_WINDOW: dict[str, Any] = {"auto_pad": _string("NOTSET"), "dilations": _ints(), "pads": _ints(), "strides": _ints()}
_POOL = _WINDOW | {"kernel_shape": _ints(required=True), "ceil_mode": _int(0)}
_CONV = _WINDOW | {"kernel_shape": _ints(), "group": _int(1)}
_CAST: dict[str, Any] = {"saturate": _int(ignored=True), "round_mode": _string(ignored=True)}
_SHUFFLE: dict[str, Any] = {"blocksize": _int(required=True), "mode": _string("DCR")}
_QUANTIZATION: dict[str, Any] = {
    "axis": _int(1),
    "block_size": _int(0, only=(0,)),
    "output_dtype": _int(0, ignored=True),  # the reader makes a zero point of it
    "limits": _ints(own=True),
}


def _found(name: str, modules: tuple[ModuleType, ...]) -> Callable[..., Any]:
    return next(getattr(module, name) for module in modules if hasattr(module, name))


def _row(
    name: str,
    kind: Kind,
    operands: tuple[int, int],
    infer: str = "",
    results: tuple[int, int] = (1, 1),
    monotone: int = 0,
    host: bool = False,
    opset: int = 0,
    own_site: str = "",
    **attributes: Attribute,
) -> OnnxOperator:
    """What the function ``name`` computes, whose shape that of the same name says, unless ``infer`` names another."""
    functions = _found(infer or name, _INFER), _found(name, _COMPUTE)
    return OnnxOperator(kind, operands, *functions, attributes, results, monotone, host, opset, own_site)


def _unary(name: str, kind: Kind = Kind.UNARY, **settings: Any) -> OnnxOperator:
    return _row(name, kind, (1, 1), "same", **settings)


def _binary(name: str, monotone: int, own_site: str = "") -> OnnxOperator:
    return _row(name, Kind.ARITHMETIC, (2, 2), "broadcast", monotone=monotone, own_site=own_site)


def _variadic(name: str) -> OnnxOperator:
    return _row(name, Kind.NARY, (1, MANY), "broadcast", monotone=MANY)


def _reduction(name: str, **settings: Any) -> OnnxOperator:
    settings |= {"axes": _ints(operand=1), "keepdims": _int(1), "noop_with_empty_axes": _int(0)}
    return _row(name, Kind.REDUCTION, (1, 2), "reduce", **settings)


STANDARD: Mapping[str, OnnxOperator] = MappingProxyType(
    {
        "Abs": _unary("absolute"),
        "Acos": _unary("arccos"),
        "Acosh": _unary("arccosh"),
        "Add": _binary("add", 2, "Add"),
        "ArgMax": _row(
            "argmax", Kind.RANKING, (1, 1), host=True, axis=_int(0), keepdims=_int(1), select_last_index=_int(0)
        ),
        "Asin": _unary("arcsin"),
        "Asinh": _unary("arcsinh"),
        "Atan": _unary("arctan"),
        "Atanh": _unary("arctanh"),
        "AveragePool": _row(
            "average_pool", Kind.AVERAGE, (1, 1), "pool", own_site="AveragePool", **_POOL, count_include_pad=_int(0)
        ),
        "BatchNormalization": _row(
            "batch_normalization",
            Kind.AFFINE,
            (5, 5),
            epsilon=_float(1e-5),
            momentum=_float(ignored=True),
            spatial=_int(1, only=(1,)),
            training_mode=_int(0, only=(0,)),
        ),
        "BitShift": _row("bit_shift", Kind.INTEGER, (2, 2), direction=_string(required=True)),
        "Cast": _row("cast", Kind.UNARY, (1, 1), host=True, to=_int(required=True), **_CAST),
        "CastLike": _row("cast_like", Kind.META, (2, 2), host=True, **_CAST),
        "Ceil": _unary("ceil", Kind.ROUNDING, monotone=1),
        "Celu": _unary("celu", alpha=_float(1.0)),
        "Clip": _row("clip", Kind.CLIP, (1, 3), "same", monotone=1, min=_float(operand=1), max=_float(operand=2)),
        "Concat": _row("concat", Kind.JOIN, (1, MANY), axis=_int(required=True)),
        "ConstantOfShape": _row("constant_of_shape", Kind.META, (1, 1), value=Attribute("tensor")),
        "Conv": _row("conv", Kind.PRODUCT, (2, 3), own_site="Conv", **_CONV),
        "ConvTranspose": _row(
            "conv_transpose",
            Kind.PRODUCT,
            (2, 3),
            own_site="ConvTranspose",
            **_CONV,
            output_padding=_ints(),
            output_shape=_ints(),
        ),
        "Cos": _unary("cos", host=True),
        "Cosh": _unary("cosh"),
        "DepthToSpace": _row("depth_to_space", Kind.SHUFFLE, (1, 1), **_SHUFFLE),
        "DequantizeLinear": _row("dequantize_linear", Kind.QUANTIZATION, (2, 3), **_QUANTIZATION),
        "Div": _binary("div", 1),
        "Dropout": _row(
            "identity", Kind.NOTHING, (1, 3), "dropout", ratio=_float(ignored=True), seed=_int(ignored=True)
        ),
        "Elu": _unary("elu", alpha=_float(1.0)),
        "Equal": _row("equal", Kind.INTEGER, (2, 2), host=True),
        "Erf": _unary("erf"),
        "Exp": _unary("exp", host=True),
        "Expand": _row("expand", Kind.MOVE, (2, 2)),
        "Flatten": _row("flatten", Kind.RESHAPE, (1, 1), axis=_int(1)),
        "Floor": _unary("floor", Kind.ROUNDING, monotone=1),
        "Gather": _row("gather", Kind.MOVE, (2, 2), axis=_int(0)),
        "Gelu": _unary("gelu", opset=20, approximate=_string("none")),
        "Gemm": _row(
            "gemm",
            Kind.PRODUCT,
            (2, 3),
            own_site="Gemm",
            alpha=_float(1.0),
            beta=_float(1.0),
            transA=_int(0),
            transB=_int(0),
        ),
        "GlobalAveragePool": _row(
            "global_average_pool", Kind.AVERAGE, (1, 1), "global_pool", own_site="GlobalAveragePool"
        ),
        "GlobalMaxPool": _row("global_max_pool", Kind.MAXIMUM, (1, 1), "global_pool"),
        "HardSigmoid": _unary("hard_sigmoid", monotone=1, alpha=_float(0.2), beta=_float(0.5)),
        "HardSwish": _unary("hard_swish", opset=14),
        "Identity": _unary("identity", Kind.NOTHING),
        "LRN": _row(
            "lrn",
            Kind.NORMALIZATION,
            (1, 1),
            alpha=_float(1e-4),
            beta=_float(0.75),
            bias=_float(1.0),
            size=_int(required=True),
        ),
        "LeakyRelu": _unary("leaky_relu", Kind.SLOPE, alpha=_float(0.01)),
        "Log": _unary("log", host=True),
        "LogSoftmax": _row("log_softmax", Kind.SOFTMAX, (1, 1), "softmax", host=True, axis=_int(-1, older=(13, 1))),
        "MatMul": _row("matmul", Kind.PRODUCT, (2, 2), own_site="Conv"),
        "Max": _variadic("maximum"),
        "MaxPool": _row("max_pool", Kind.MAXIMUM, (1, 1), "pool", **_POOL, storage_order=_int(ignored=True)),
        "Mean": _variadic("mean_all"),
        "Min": _variadic("minimum"),
        "Mish": _unary("mish", opset=18),
        "Mul": _binary("multiply", 2, "Mul"),
        "Neg": _unary("negative", monotone=1),
        "PRelu": _row("prelu", Kind.SLOPE, (2, 2)),
        "Pad": _row("pad", Kind.PAD, (2, 4), mode=_string("constant"), pads=_ints(operand=1), value=_float(operand=2)),
        "Pow": _row("power", Kind.NARY, (2, 2), host=True),
        "QuantizeLinear": _row(
            "quantize_linear",
            Kind.QUANTIZATION,
            (2, 3),
            **_QUANTIZATION,
            precision=_int(0, only=(0, 1)),
            saturate=_int(ignored=True),
        ),
        "Reciprocal": _unary("reciprocal", host=True),
        "ReduceMax": _reduction("reduce_max", host=True, opset=18),
        "ReduceMean": _reduction("reduce_mean", opset=18),
        "ReduceSum": _reduction("reduce_sum", host=True),
        "Relu": _unary("relu", Kind.CLIP, monotone=1),
        "Reshape": _row("reshape", Kind.RESHAPE, (2, 2), allowzero=_int(0)),
        "Resize": _row(
            "resize",
            Kind.RESIZE,
            (1, 4),
            mode=_string("nearest"),
            coordinate_transformation_mode=_string("half_pixel"),
            nearest_mode=_string("round_prefer_floor"),
            axes=_ints(),
            keep_aspect_ratio_policy=_string("stretch"),
            antialias=_int(0, only=(0,)),
            cubic_coeff_a=_float(ignored=True),
            exclude_outside=_int(ignored=True),
            extrapolation_value=_float(ignored=True),
        ),
        "Round": _unary("rint", Kind.ROUNDING, monotone=1),
        "Selu": _unary("selu", alpha=_float(1.6732632), gamma=_float(1.0507010)),
        "Shape": _row("shape", Kind.META, (1, 1), start=_int(0), end=_int()),
        "Shrink": _unary("shrink", bias=_float(0.0), lambd=_float(0.5)),
        "Sigmoid": _unary("sigmoid"),
        "Sign": _unary("sign", monotone=1),
        "Sin": _unary("sin", host=True),
        "Sinh": _unary("sinh"),
        "Slice": _row(
            "slice_", Kind.MOVE, (3, 5), starts=_ints(operand=1), ends=_ints(operand=2), axes=_ints(operand=3)
        ),
        "Softmax": _row("softmax", Kind.SOFTMAX, (1, 1), host=True, axis=_int(-1, older=(13, 1))),
        "Softplus": _unary("softplus"),
        "Softsign": _unary("softsign"),
        "SpaceToDepth": _row("space_to_depth", Kind.SHUFFLE, (1, 1), **_SHUFFLE),
        "Split": _row(
            "split", Kind.MOVE, (1, 2), results=(1, MANY), axis=_int(0), split=_ints(operand=1), num_outputs=_int()
        ),
        "Sqrt": _unary("sqrt", host=True),
        "Squeeze": _row("squeeze", Kind.RESHAPE, (1, 2), axes=_ints(operand=1)),
        "Sub": _binary("subtract", 2),
        "Sum": _variadic("add_all"),
        "Swish": _unary("swish", alpha=_float(1.0)),
        "Tan": _unary("tan"),
        "Tanh": _unary("tanh"),
        "ThresholdedRelu": _unary("thresholded_relu", alpha=_float(1.0)),
        "TopK": _row(
            "top_k",
            Kind.RANKING,
            (2, 2),
            results=(1, 2),
            host=True,
            axis=_int(-1),
            k=_int(operand=1),
            largest=_int(1),
            sorted=_int(1),
        ),
        "Transpose": _row("transpose", Kind.TRANSPOSE, (1, 1), perm=_ints()),
        "Unsqueeze": _row("unsqueeze", Kind.RESHAPE, (2, 2), axes=_ints(operand=1)),
        # also what Resize was in opset 10
        "Upsample": _row("upsample", Kind.RESIZE, (2, 2), mode=_string("nearest"), scales=_floats(operand=1)),
        "Where": _row("where", Kind.NARY, (3, 3), host=True),
    }
)
#: With those that no file has, which passes make.
OPERATORS: Mapping[str, OnnxOperator] = MappingProxyType(
    {
        **STANDARD,
        "Lookup": _unary("lookup", table=_floats(own=True), scale=_float(own=True), first=_int(own=True)),
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


def of_kind(*kinds: Kind) -> frozenset[str]:
    """The names of all operators of these kinds."""
    return frozenset(name for name, operator in OPERATORS.items() if operator.kind in kinds)


CLIPS = of_kind(Kind.CLIP)
#: Lines of one operand where the other is constant.
ARITHMETIC = of_kind(Kind.ARITHMETIC)
#: Operators that compute each element of their result from the same element of their operands.
ELEMENTWISE = CLIPS | ARITHMETIC | of_kind(Kind.UNARY, Kind.ROUNDING, Kind.SLOPE, Kind.NARY)
RESHAPES = of_kind(Kind.RESHAPE)
#: All elements, in other dimensions or another order.
LAYOUT = RESHAPES | of_kind(Kind.TRANSPOSE)
#: Elements of the first operand, unchanged, elsewhere.
MOVES = LAYOUT | of_kind(Kind.MOVE, Kind.SHUFFLE)
MAXIMA = of_kind(Kind.MAXIMUM)
PRODUCTS = of_kind(Kind.PRODUCT)
#: Products whose second operand is weights; that of a MatMul may be another stream.
LAYERS = PRODUCTS - {"MatMul"}
QUANTIZERS = of_kind(Kind.QUANTIZATION)
SCORES = of_kind(Kind.SOFTMAX, Kind.RANKING)
