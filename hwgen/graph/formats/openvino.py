"""OpenVINO's FakeQuantize, as NNCF exports it: quantises and dequantises in one, given the ends of a range."""

import numpy as np

from hwgen.graph.semantics.operators import Attribute

from ..types import IntType
from .call import Call, Foreign
from .qonnx import per_axis, quantize_dequantize

_EXACT = 1e-2  # of a step: quantisers compute the ends of a range from scale and zero point, in float32
_MAX_LEVELS = 1 << 16


def fake_quantize(call: Call) -> None:
    """x, least and greatest number going in, the same coming out."""
    levels = call.attributes["levels"]
    if not 2 <= levels <= _MAX_LEVELS:
        raise ValueError(f"{levels} levels; 2 to {_MAX_LEVELS} are supported")
    ends = [per_axis(call, place, what, np.float64) for place, what in enumerate(_ENDS, 1)]
    low, high, low_out, high_out = (value for value, _ in ends)
    if not (low == low_out).all() or not (high == high_out).all():
        raise ValueError("its ranges before and after are not the same; fold the scale between them when exporting")
    if (high <= low).any():
        raise ValueError("its range is empty")
    scale = (high - low) / (levels - 1)
    below = -low / scale  # steps below zero
    steps = np.rint(below)
    if np.abs(below - steps).max() > _EXACT or steps.min() < 0 or steps.max() > levels - 1:
        raise ValueError("its range does not hold zero exactly, which quantised padding needs")
    steps = steps.astype(np.int64)
    first = int(steps.max())
    if first == int(steps.min()) and _fits_signed(first, levels):  # zero point 0
        limits, zero = (-first, levels - 1 - first), np.zeros(steps.shape, np.int64)
    else:
        limits, zero = (0, levels - 1), steps
    dtype = IntType.holding(*limits).dtype
    axis = max(axis for _, axis in ends)
    quantize_dequantize(call, scale.astype(np.float32), zero.astype(dtype), axis, limits, "ROUND")


def _fits_signed(first: int, levels: int) -> bool:
    """Whether integers from ``-first`` on need no more bits than from 0 on."""
    half = 1 << ((levels - 1).bit_length() - 1)
    return first == 0 or (first <= half and levels - 1 - first < half)


_ENDS = ("input_low", "input_high", "output_low", "output_high")
OPENVINO_FORMATS = {"FakeQuantize": Foreign((5, 5), fake_quantize, {"levels": Attribute("int", 256)})}
