"""QONNX: Quant, BipolarQuant and Trunc, which quantise and dequantise in one; and its channels-last operators.

https://github.com/fastmachinelearning/qonnx, docs/qonnx-custom-ops.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hwgen.graph.semantics.float_ops import along_axis
from hwgen.graph.semantics.operators import STANDARD, Attribute

from ..types import IntType
from .call import Call, Foreign
from .qoperator import to_channels_first, to_channels_last

ROUNDINGS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "ROUND": np.rint,
    "HALF_EVEN": np.rint,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "DOWN": np.trunc,
    "ROUND_TO_ZERO": np.trunc,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - 0.5),
}
MAX_BITS = 32


def quant(call: Call) -> None:
    """x, scale, zero point, bit width."""
    attributes = call.attributes
    low, high = _limits(_bits(call, 3), bool(attributes["signed"]), bool(attributes["narrow"]))
    scale, axis = per_axis(call, 1, "scale", np.float32)
    zero, zero_axis = per_axis(call, 2, "zero point", np.float64)
    if (zero != np.rint(zero)).any() or (scale <= 0).any():
        raise ValueError("scales must be positive, and zero points whole numbers")
    zero, scale = (np.broadcast_to(value, np.broadcast_shapes(zero.shape, scale.shape)) for value in (zero, scale))
    kind = IntType.holding(min(low, int(zero.min())), max(high, int(zero.max())))
    dtype = IntType(kind.width, bool(attributes["signed"]) or kind.signed).dtype
    quantize_dequantize(call, scale, zero.astype(dtype), max(axis, zero_axis), (low, high), attributes["rounding_mode"])


def quantize_dequantize(
    call: Call, scale: np.ndarray, zero: np.ndarray, axis: int, limits: tuple[int, int], rounding: str
) -> None:
    """The node becomes a QuantizeLinear (its result, where the operand is known) and a DequantizeLinear."""
    full = (np.iinfo(zero.dtype).min, np.iinfo(zero.dtype).max)
    settings: dict[str, Any] = {"axis": max(axis, 0), "limits": None if limits == full else limits}
    parameters = call.constant(scale, "scale"), call.constant(zero, "zero_point")
    rounded = ROUNDINGS.get(rounding.upper())
    known = call.operand(0).value
    if known is not None and rounded is not None:
        steps = known / along_axis(scale, known.ndim, max(axis, 0)) + along_axis(zero, known.ndim, max(axis, 0))
        integers = call.constant(np.clip(rounded(steps), *limits).astype(zero.dtype), "integers")
    elif rounded is np.rint:
        integers = call.make("QuantizeLinear", (call.input(0), *parameters), "integers", **settings)
    else:
        raise ValueError(f"rounding mode {rounding!r} of an activation; only ROUND has an integer form")
    call.make("DequantizeLinear", (integers, *parameters), "", call.node.outputs[0], **settings)


def _bits(call: Call, place: int) -> int:
    bits = call.number(place, "bit width")
    if bits != int(bits) or not 1 <= bits <= MAX_BITS:
        raise ValueError(f"a width of {bits:g} bits; whole numbers from 1 to {MAX_BITS} are supported")
    return int(bits)


def _limits(bits: int, signed: bool, narrow: bool) -> tuple[int, int]:
    kind = IntType(bits, signed)
    if not narrow or bits == 1:
        return kind.min, kind.max
    return (kind.min + 1, kind.max) if signed else (kind.min, kind.max - 1)


def per_axis(call: Call, place: int, what: str, dtype: type[np.floating]) -> tuple[np.ndarray, int]:
    """A parameter as one number, with axis -1, or as a vector along the axis."""
    value = np.asarray(call.value(place, what), dtype)
    rank = len(call.operand(0).shape)
    shape = (1,) * (rank - value.ndim) + value.shape
    axes = [axis for axis, size in enumerate(shape) if size > 1]
    if len(axes) > 1 or len(shape) != rank or (axes and shape[axes[0]] != call.operand(0).shape[axes[0]]):
        raise ValueError(
            f"a {what} of shape {list(value.shape)} on shape {list(call.operand(0).shape)}; "
            f"one number, or one along one dimension, is supported"
        )
    return (value.reshape(-1), axes[0]) if axes else (value.reshape(()), -1)


def bipolar_quant(call: Call) -> None:
    """x, scale: plus or minus scale, plus where x is not negative."""
    scale, axis = per_axis(call, 1, "scale", np.float32)
    if (scale <= 0).any():
        raise ValueError("scales must be positive")
    parameters = call.constant(scale, "scale"), call.constant(np.zeros(scale.shape, np.int8), "zero_point")
    settings: dict[str, Any] = {"axis": max(axis, 0), "limits": (-1, 1)}
    known = call.operand(0).value
    if known is not None:
        integers = call.constant(np.where(known >= 0, 1, -1).astype(np.int8), "integers")
    else:
        half = call.constant(np.full((), 0.5, np.float32), "half")
        above = call.make("Add", (call.make("Sign", (call.input(0),), "sign"), half), "above")
        one = call.constant(np.ones(scale.shape, np.float32), "one")
        integers = call.make(
            "QuantizeLinear", (call.make("Sign", (above,), "bipolar"), one, parameters[1]), "integers", **settings
        )
    call.make("DequantizeLinear", (integers, *parameters), "", call.node.outputs[0], **settings)


def trunc(call: Call) -> None:
    """x, scale, zero point, bit width before and after: drops the lowest bits of an integer.

    Rounding down multiples of 1/n is rounding to nearest, half a unit less half a multiple earlier.
    """
    before, after = _bits(call, 3), _bits(call, len(call.operands) - 1)
    scale, zero = call.number(1, "scale"), call.number(2, "zero point")
    kept = call.number(4, "output scale") if len(call.operands) > 5 else scale
    steps = 2 ** max(before - after, 0)
    rounding = call.attributes["rounding_mode"].upper()
    if zero != 0 or rounding not in ("FLOOR", "ROUND", "HALF_EVEN"):
        raise ValueError(f"zero point {zero:g} and rounding mode {rounding!r}; 0 and FLOOR or ROUND are supported")
    real = call.input(0)
    if rounding == "FLOOR":
        offset = np.full((), -(0.5 - 0.5 / steps) * steps * scale, np.float32)
        real = call.make("Add", (real, call.constant(offset, "offset")), "shifted")
    limits = _limits(after, bool(call.attributes["signed"]), bool(call.attributes["narrow"]))
    zero_point = call.constant(np.zeros((), np.int8 if limits[0] < 0 else np.uint8), "zero_point")
    coarse = call.constant(np.full((), scale * steps, np.float32), "coarse_scale")
    integers = call.make("QuantizeLinear", (real, coarse, zero_point), "integers", limits=limits)
    fine = call.constant(np.full((), kept, np.float32), "scale")
    call.make("DequantizeLinear", (integers, fine, zero_point), "", call.node.outputs[0], limits=limits)


def _channels_last(op: str) -> Callable[[Call], None]:
    def expand(call: Call) -> None:
        first = to_channels_first(call, call.input(0))
        others = call.node.inputs[1:]
        if op == "Conv" and _kernel_in_the_middle(call):
            rank = len(call.operand(1).shape)
            perm = (0, rank - 1, *range(1, rank - 1))
            others = (call.make("Transpose", others[:1], "weight_channels_first", perm=perm), *others[1:])
        to_channels_last(call, call.compute(op, (first, *others), **call.attributes), call.node.outputs[0])

    return expand


def _kernel_in_the_middle(call: Call) -> bool:
    """Whether weights are [out, kh, kw, in] like the data, as they should be, and not [out, in, kh, kw]."""
    shape, channels = call.operand(1).shape, call.operand(0).shape[-1]
    kernel = tuple(call.attributes["kernel_shape"] or shape[1:-1])
    return shape[1:-1] == kernel and shape[-1] * call.attributes["group"] == channels


_ROUNDING = Attribute("string", "ROUND")
_QUANT = Foreign(
    (4, 4),
    quant,
    {"signed": Attribute("int", 1), "narrow": Attribute("int", 0), "rounding_mode": _ROUNDING},
)
GENERAL_FORMATS = {
    "BipolarQuant": Foreign((2, 2), bipolar_quant),
    "IntQuant": _QUANT,
    "Quant": _QUANT,
    "Trunc": Foreign(
        (5, 6),
        trunc,
        {
            "rounding_mode": Attribute("string", "FLOOR"),
            "signed": Attribute("int", 1),
            "narrow": Attribute("int", 0),
        },
    ),
}
CHANNELS_LAST_FORMATS = {
    op: Foreign(STANDARD[op].operands, _channels_last(op), dict(STANDARD[op].attributes))
    for op in ("BatchNormalization", "Conv", "MaxPool", "AveragePool")
}
