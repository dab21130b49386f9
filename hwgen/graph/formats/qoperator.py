"""QOperator: integers in, integers out. Each is DequantizeLinear, the float operator, QuantizeLinear. Beside them the
functions that ONNX Runtime's optimiser makes of several operators.

https://onnx.ai/onnx/operators and, for com.microsoft, docs/ContribOperators.md of ONNX Runtime.
"""

from collections.abc import Callable

import numpy as np

from hwgen.graph.semantics.operators import MANY, STANDARD, Attribute

from .call import Call, Foreign

_AXIS = {"axis": Attribute("int", required=True)}
_LAST = {"channels_last": Attribute("int", 0)}


def _bias(call: Call, place: int, x_scale: int, w_scale: int) -> str:
    """int32 in units of input scale times weight scale."""
    if not call.has(place):
        return ""
    x, w = call.value(x_scale, "input scale"), call.value(w_scale, "weight scale")
    unit = x.astype(np.float32).reshape(-1) * w.astype(np.float32)
    scale = call.constant(unit.reshape(-1) if unit.size > 1 else unit.reshape(()), "bias_scale")
    return call.make("DequantizeLinear", (call.input(place), scale), "bias", axis=0)


def qlinear_conv(call: Call) -> None:
    """x, its scale and zero point, w and its, those of y, bias."""
    x, w = call.dequantize(0, "input"), call.dequantize(3, "weight", 0)
    call.quantize(call.compute("Conv", (x, w, _bias(call, 8, 1, 4)), **call.attributes), 6)


def qlinear_matmul(call: Call) -> None:
    """a, its scale and zero point, b and its, those of y."""
    a, b = call.dequantize(0, "input"), call.dequantize(3, "weight", len(call.operand(3).shape) - 1)
    call.quantize(call.compute("MatMul", (a, b)), 6)


def qgemm(call: Call) -> None:
    """a, its scale and zero point, b and its, bias, those of y; without the last the result is real."""
    attributes = call.attributes
    a, b = call.dequantize(0, "input"), call.dequantize(3, "weight", 0 if attributes["transB"] else 1)
    operands = a, b, _bias(call, 6, 1, 4)
    if call.has(7):
        call.quantize(call.compute("Gemm", operands, **attributes), 7)
    else:
        call.make("Gemm", operands, output=call.node.outputs[0], **attributes)


def _binary(op: str) -> Callable[[Call], None]:
    def expand(call: Call) -> None:
        """a, its scale and zero point, b and its, those of y."""
        call.quantize(call.compute(op, (call.dequantize(0, "a"), call.dequantize(3, "b"))), 6)

    return expand


def _unary(op: str) -> Callable[[Call], None]:
    def expand(call: Call) -> None:
        """x, its scale and zero point, those of y."""
        attributes = call.attributes
        last = attributes.pop("channels_last", 0)
        real = call.dequantize(0, "input")
        real = to_channels_first(call, real) if last else real
        real = call.compute(op, (real,), **attributes)
        call.quantize(to_channels_last(call, real) if last else real, 3)

    return expand


def _function(op: str) -> Callable[[Call], None]:
    def expand(call: Call) -> None:
        """x, and a bias that is added to it first."""
        x = call.make("Add", (call.input(0), call.input(1)), "sum") if call.has(1) else call.input(0)
        attributes = call.attributes if op == "Swish" else {"approximate": "tanh" if "Fast" in call.node.op else "none"}
        call.make(op, (x,), output=call.node.outputs[0], **attributes)

    return expand


def qlinear_softmax(call: Call) -> None:
    """x, its scale and zero point, those of y. Before opset 13 all dimensions from ``axis`` on were one."""
    attributes = call.attributes
    rank = len(call.operand(0).shape)
    if attributes.pop("opset") < 13 and attributes["axis"] not in (-1, rank - 1):
        raise ValueError("over several dimensions; export with opset 13")
    call.quantize(call.compute("Softmax", (call.dequantize(0, "input"),), **attributes), 3)


def qlinear_concat(call: Call) -> None:
    """Scale and zero point of y, then each piece with its own."""
    pieces = range(2, len(call.operands), 3)
    reals = [call.dequantize(place, f"piece{index}") for index, place in enumerate(pieces)]
    call.quantize(call.compute("Concat", reals, **call.attributes), 0, like=2)


def _integer(op: str, weight_axis: int) -> Callable[[Call], None]:
    def expand(call: Call) -> None:
        """x, w, their zero points; int32 out. Integers are real numbers of scale 1."""
        one = call.constant(np.ones((), np.float32), "one")
        reals = []
        for place, what in ((0, "input"), (1, "weight")):
            zero = call.zero_point(place + 2, call.operand(place).dtype)
            axis = weight_axis % max(len(call.operand(place).shape), 1)
            scale = one
            if place == 1 and call.has(3) and (size := int(np.prod(call.operand(3).shape))) > 1:
                scale = call.constant(np.ones(size, np.float32), "ones")
            reals.append(call.make("DequantizeLinear", (call.input(place), scale, zero), what, axis=axis))
        real = call.compute(op, reals, **call.attributes)
        call.make("Cast", (real,), "integers", call.node.outputs[0], to=6)

    return expand


def to_channels_first(call: Call, name: str) -> str:
    """[N, ..., C] as [N, C, ...]."""
    rank = call.operand(0).rank(3, 4)
    return call.make("Transpose", (name,), "channels_first", perm=(0, rank - 1, *range(1, rank - 1)))


def to_channels_last(call: Call, name: str, output: str = "") -> str:
    """[N, C, ...] as [N, ..., C]."""
    rank = len(call.operand(0).shape)
    return call.make("Transpose", (name,), "channels_last", output, perm=(0, *range(2, rank), 1))


_CONV = dict(STANDARD["Conv"].attributes)
_POOL = dict(STANDARD["AveragePool"].attributes)
_GEMM = {name: a for name, a in STANDARD["Gemm"].attributes.items() if name != "beta"}
_SOFTMAX = {"axis": Attribute("int", -1), "opset": Attribute("int", 13)}

STANDARD_FORMATS = {
    "ConvInteger": Foreign((2, 4), _integer("Conv", 0), _CONV),
    "MatMulInteger": Foreign((2, 4), _integer("MatMul", -1)),
    "QLinearConv": Foreign((8, 9), qlinear_conv, _CONV),
    "QLinearMatMul": Foreign((8, 8), qlinear_matmul),
}
MICROSOFT_FORMATS = STANDARD_FORMATS | {
    "BiasGelu": Foreign((2, 2), _function("Gelu")),
    "FastGelu": Foreign((1, 2), _function("Gelu")),
    "Gelu": Foreign((1, 1), _function("Gelu")),
    "QGemm": Foreign((6, 9), qgemm, _GEMM),
    "QLinearAdd": Foreign((7, 8), _binary("Add")),
    "QLinearAveragePool": Foreign((4, 5), _unary("AveragePool"), _POOL | _LAST),
    "QLinearConcat": Foreign((3, MANY), qlinear_concat, _AXIS),
    "QLinearGlobalAveragePool": Foreign((4, 5), _unary("GlobalAveragePool"), _LAST),
    "QLinearLeakyRelu": Foreign((4, 5), _unary("LeakyRelu"), {"alpha": Attribute("float", 0.01)}),
    "QLinearMul": Foreign((7, 8), _binary("Mul")),
    "QLinearSigmoid": Foreign((4, 5), _unary("Sigmoid")),
    "QLinearSoftmax": Foreign((4, 5), qlinear_softmax, _SOFTMAX),
    "QuickGelu": Foreign((1, 1), _function("Swish"), {"alpha": Attribute("float", 1.702)}),
}
