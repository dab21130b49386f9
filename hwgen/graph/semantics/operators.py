"""The imported ONNX operators: one table of kinds, operand counts, attributes, shape and float semantics.

A new operator of a known kind is a row here, and a function in :mod:`hwgen.graph.semantics.float_elementwise`,
``float_layout`` or ``float_ops`` that computes it; its shape, if no other's, follows in
:mod:`hwgen.graph.semantics.shapes`. Which operators a pass or the lowering treats alike is asked of the table:
:func:`of_kind`, and the sets at the end.

Every attribute that ONNX defines, in any version of the operator from ``MIN_OPSET`` to ``MAX_OPSET``, is listed; a
test compares the table with the schemas of the ``onnx`` package.
"""

from collections.abc import Mapping
from types import MappingProxyType

from hwgen.graph.semantics import float_elementwise, float_layout, float_ops, shapes, shapes_layout
from hwgen.graph.semantics.kinds import Attribute, Kind, OnnxOperator

MIN_OPSET, MAX_OPSET = 7, 28  # the schemas of the operators below were compared over this range


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


def _unary(
    name: str, kind: Kind = Kind.UNARY, monotone: int = 0, host: bool = False, opset: int = 0, **attributes: Attribute
) -> OnnxOperator:
    compute = getattr(float_elementwise, name)
    return OnnxOperator(kind, (1, 1), shapes.same, compute, attributes, monotone=monotone, host=host, opset=opset)


def _binary(name: str, monotone: int, own_site: str = "") -> OnnxOperator:
    compute = getattr(float_elementwise, name)
    return OnnxOperator(Kind.ARITHMETIC, (2, 2), shapes.broadcast, compute, monotone=monotone, own_site=own_site)


def _variadic(name: str) -> OnnxOperator:
    return OnnxOperator(Kind.NARY, (1, MANY), shapes.broadcast, getattr(float_elementwise, name), monotone=MANY)


def _reduction(name: str, host: bool = False, opset: int = 0) -> OnnxOperator:
    compute = getattr(float_layout, name)
    return OnnxOperator(
        Kind.REDUCTION, (1, 2), shapes_layout.reduce, compute, _REDUCTION, {"axes": 1}, host=host, opset=opset
    )


def _layout(
    name: str, kind: Kind, operands: tuple[int, int], host: bool = False, **attributes: Attribute
) -> OnnxOperator:
    return OnnxOperator(
        kind, operands, getattr(shapes_layout, name), getattr(float_layout, name), attributes, host=host
    )


STANDARD: Mapping[str, OnnxOperator] = MappingProxyType(
    {
        "Abs": _unary("absolute"),
        "Acos": _unary("arccos"),
        "Acosh": _unary("arccosh"),
        "Add": _binary("add", 2, "Add"),
        "ArgMax": OnnxOperator(
            Kind.RANKING,
            (1, 1),
            shapes.argmax,
            float_ops.argmax,
            {
                "axis": Attribute("int", 0),
                "keepdims": Attribute("int", 1),
                "select_last_index": Attribute("int", 0),
            },
            host=True,
        ),
        "Asin": _unary("arcsin"),
        "Asinh": _unary("arcsinh"),
        "Atan": _unary("arctan"),
        "Atanh": _unary("arctanh"),
        "AveragePool": OnnxOperator(
            Kind.AVERAGE,
            (1, 1),
            shapes.pool,
            float_ops.average_pool,
            _WINDOW | _KERNEL | _CEIL | {"count_include_pad": Attribute("int", 0)},
            own_site="AveragePool",
        ),
        "BatchNormalization": OnnxOperator(
            Kind.AFFINE,
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
        "BitShift": OnnxOperator(
            Kind.INTEGER,
            (2, 2),
            shapes.bit_shift,
            float_elementwise.bit_shift,
            {"direction": Attribute("string", required=True)},
        ),
        "Cast": _layout(
            "cast",
            Kind.UNARY,
            (1, 1),
            host=True,
            to=Attribute("int", required=True),
            saturate=Attribute("int", ignored=True),
            round_mode=Attribute("string", ignored=True),
        ),
        "CastLike": _layout(
            "cast_like",
            Kind.META,
            (2, 2),
            host=True,
            saturate=Attribute("int", ignored=True),
            round_mode=Attribute("string", ignored=True),
        ),
        "Ceil": _unary("ceil", Kind.ROUNDING, monotone=1),
        "Celu": _unary("celu", alpha=Attribute("float", 1.0)),
        "Clip": OnnxOperator(
            Kind.CLIP,
            (1, 3),
            shapes.same,
            float_elementwise.clip,
            {"min": Attribute("float"), "max": Attribute("float")},
            moved={"min": 1, "max": 2},
            monotone=1,
        ),
        "Concat": _layout("concat", Kind.JOIN, (1, MANY), axis=Attribute("int", required=True)),
        "ConstantOfShape": _layout("constant_of_shape", Kind.META, (1, 1), value=Attribute("tensor")),
        "Conv": OnnxOperator(
            Kind.PRODUCT,
            (2, 3),
            shapes.conv,
            float_ops.conv,
            _WINDOW | {"kernel_shape": Attribute("ints"), "group": Attribute("int", 1)},
            own_site="Conv",
        ),
        "ConvTranspose": OnnxOperator(
            Kind.PRODUCT,
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
            own_site="ConvTranspose",
        ),
        "Cos": _unary("cos", host=True),
        "Cosh": _unary("cosh"),
        "DepthToSpace": _layout(
            "depth_to_space",
            Kind.SHUFFLE,
            (1, 1),
            blocksize=Attribute("int", required=True),
            mode=Attribute("string", "DCR"),
        ),
        "DequantizeLinear": OnnxOperator(
            Kind.QUANTIZATION, (2, 3), shapes.dequantize_linear, float_ops.dequantize_linear, _QUANTIZATION
        ),
        "Div": _binary("div", 1),
        "Dropout": OnnxOperator(
            Kind.NOTHING,
            (1, 3),
            shapes.dropout,
            float_elementwise.identity,
            {"ratio": Attribute("float", ignored=True), "seed": Attribute("int", ignored=True)},
        ),
        "Elu": _unary("elu", alpha=Attribute("float", 1.0)),
        "Equal": _layout("equal", Kind.INTEGER, (2, 2), host=True),
        "Erf": _unary("erf"),
        "Exp": _unary("exp", host=True),
        "Expand": _layout("expand", Kind.MOVE, (2, 2)),
        "Flatten": OnnxOperator(Kind.RESHAPE, (1, 1), shapes.flatten, float_ops.flatten, {"axis": Attribute("int", 1)}),
        "Floor": _unary("floor", Kind.ROUNDING, monotone=1),
        "Gather": _layout("gather", Kind.MOVE, (2, 2), axis=Attribute("int", 0)),
        "Gelu": _unary("gelu", opset=20, approximate=Attribute("string", "none")),
        "Gemm": OnnxOperator(
            Kind.PRODUCT,
            (2, 3),
            shapes.gemm,
            float_ops.gemm,
            {
                "alpha": Attribute("float", 1.0),
                "beta": Attribute("float", 1.0),
                "transA": Attribute("int", 0),
                "transB": Attribute("int", 0),
            },
            own_site="Gemm",
        ),
        "GlobalAveragePool": OnnxOperator(
            Kind.AVERAGE, (1, 1), shapes.global_pool, float_ops.global_average_pool, own_site="GlobalAveragePool"
        ),
        "GlobalMaxPool": OnnxOperator(Kind.MAXIMUM, (1, 1), shapes.global_pool, float_ops.global_max_pool),
        "HardSigmoid": _unary("hard_sigmoid", monotone=1, alpha=Attribute("float", 0.2), beta=Attribute("float", 0.5)),
        "HardSwish": _unary("hard_swish", opset=14),
        "Identity": OnnxOperator(Kind.NOTHING, (1, 1), shapes.same, float_elementwise.identity),
        "LRN": OnnxOperator(
            Kind.NORMALIZATION,
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
        "LeakyRelu": _unary("leaky_relu", Kind.SLOPE, alpha=Attribute("float", 0.01)),
        "Log": _unary("log", host=True),
        "LogSoftmax": OnnxOperator(
            Kind.SOFTMAX,
            (1, 1),
            shapes.softmax,
            float_ops.log_softmax,
            {"axis": Attribute("int", -1, older=(13, 1))},
            host=True,
        ),
        "MatMul": OnnxOperator(Kind.PRODUCT, (2, 2), shapes.matmul, float_ops.matmul, own_site="Conv"),
        "Max": _variadic("maximum"),
        "MaxPool": OnnxOperator(
            Kind.MAXIMUM,
            (1, 1),
            shapes.pool,
            float_ops.max_pool,
            _WINDOW | _KERNEL | _CEIL | {"storage_order": Attribute("int", ignored=True)},
        ),
        "Mean": _variadic("mean_all"),
        "Min": _variadic("minimum"),
        "Mish": _unary("mish", opset=18),
        "Mul": _binary("mul", 2, "Mul"),
        "Neg": _unary("negative", monotone=1),
        "PRelu": OnnxOperator(Kind.SLOPE, (2, 2), shapes.prelu, float_elementwise.prelu),
        "Pad": OnnxOperator(
            Kind.PAD,
            (2, 4),
            shapes_layout.pad,
            float_layout.pad,
            {"mode": Attribute("string", "constant"), "pads": Attribute("ints"), "value": Attribute("float")},
            moved={"pads": 1, "value": 2},
        ),
        "Pow": OnnxOperator(Kind.NARY, (2, 2), shapes.power, float_elementwise.power, host=True),
        "QuantizeLinear": OnnxOperator(
            Kind.QUANTIZATION,
            (2, 3),
            shapes.quantize_linear,
            float_ops.quantize_linear,
            _QUANTIZATION | {"precision": Attribute("int", 0, only=(0, 1)), "saturate": Attribute("int", ignored=True)},
        ),
        "Reciprocal": _unary("reciprocal", host=True),
        "ReduceMax": _reduction("reduce_max", host=True, opset=18),
        "ReduceMean": _reduction("reduce_mean", opset=18),
        "ReduceSum": _reduction("reduce_sum", host=True),
        "Relu": _unary("relu", Kind.CLIP, monotone=1),
        "Reshape": OnnxOperator(
            Kind.RESHAPE,
            (2, 2),
            shapes.reshape,
            float_ops.reshape,
            {"allowzero": Attribute("int", 0)},
            moved={"shape": 1},
        ),
        "Resize": _layout(
            "resize",
            Kind.RESIZE,
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
        "Round": _unary("round_", Kind.ROUNDING, monotone=1),
        "Selu": _unary("selu", alpha=Attribute("float", 1.6732632), gamma=Attribute("float", 1.0507010)),
        "Shape": _layout("shape", Kind.META, (1, 1), start=Attribute("int", 0), end=Attribute("int")),
        "Shrink": _unary("shrink", bias=Attribute("float", 0.0), lambd=Attribute("float", 0.5)),
        "Sigmoid": _unary("sigmoid"),
        "Sign": _unary("sign", monotone=1),
        "Sin": _unary("sin", host=True),
        "Sinh": _unary("sinh"),
        "Slice": OnnxOperator(
            Kind.MOVE,
            (3, 5),
            shapes_layout.slice_,
            float_layout.slice_,
            {"starts": Attribute("ints"), "ends": Attribute("ints"), "axes": Attribute("ints")},
            moved={"starts": 1, "ends": 2, "axes": 3},
        ),
        "Softmax": OnnxOperator(
            Kind.SOFTMAX,
            (1, 1),
            shapes.softmax,
            float_ops.softmax,
            {"axis": Attribute("int", -1, older=(13, 1))},
            host=True,
        ),
        "Softplus": _unary("softplus"),
        "Softsign": _unary("softsign"),
        "SpaceToDepth": _layout(
            "space_to_depth",
            Kind.SHUFFLE,
            (1, 1),
            blocksize=Attribute("int", required=True),
            mode=Attribute("string", "DCR"),
        ),
        "Split": OnnxOperator(
            Kind.MOVE,
            (1, 2),
            shapes_layout.split,
            float_layout.split,
            {"axis": Attribute("int", 0), "split": Attribute("ints"), "num_outputs": Attribute("int")},
            moved={"split": 1},
            results=(1, MANY),
        ),
        "Sqrt": _unary("sqrt", host=True),
        "Squeeze": OnnxOperator(
            Kind.RESHAPE, (1, 2), shapes.squeeze, float_ops.squeeze, {"axes": Attribute("ints")}, moved={"axes": 1}
        ),
        "Sub": _binary("sub", 2),
        "Sum": _variadic("add_all"),
        "Swish": _unary("swish", alpha=Attribute("float", 1.0)),
        "Tan": _unary("tan"),
        "Tanh": _unary("tanh"),
        "ThresholdedRelu": _unary("thresholded_relu", alpha=Attribute("float", 1.0)),
        "TopK": OnnxOperator(
            Kind.RANKING,
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
            host=True,
        ),
        "Transpose": OnnxOperator(
            Kind.TRANSPOSE, (1, 1), shapes.transpose, float_ops.transpose, {"perm": Attribute("ints")}
        ),
        "Unsqueeze": OnnxOperator(
            Kind.RESHAPE, (2, 2), shapes.unsqueeze, float_ops.unsqueeze, {"axes": Attribute("ints")}, moved={"axes": 1}
        ),
        "Upsample": OnnxOperator(  # also what Resize was in opset 10
            Kind.RESIZE,
            (2, 2),
            shapes_layout.upsample,
            float_layout.upsample,
            {"mode": Attribute("string", "nearest"), "scales": Attribute("floats")},
            moved={"scales": 1},
        ),
        "Where": _layout("where", Kind.NARY, (3, 3), host=True),
    }
)
#: With those that no file has, which passes make.
OPERATORS: Mapping[str, OnnxOperator] = MappingProxyType(
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
