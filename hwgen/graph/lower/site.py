"""The parts of a :class:`~hwgen.graph.network.Site`: window, integer weights, integer bias, clamp."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hwgen.graph.errors import quoted
from hwgen.graph.ir import Graph, Node
from hwgen.graph.network import QuantizedConstant, QuantizedTensor
from hwgen.graph.semantics.kinds import Kind
from hwgen.graph.semantics.operators import MAXIMA, OPERATORS, PRODUCTS, of_kind
from hwgen.graph.semantics.window import TransposedWindow, Window
from hwgen.graph.types import IntType, Quantization
from hwgen.graph.weights import find_weight

_POOLS = MAXIMA | of_kind(Kind.AVERAGE)
SAME_SCALE = 1e-5  # quantisers multiply the two scales in float32, or not; ONNX Runtime does not even look
INT32 = IntType(32, True)


def affine(graph: Graph, node: Node, integers: str) -> Quantization | None:
    """What the tensor ``integers`` before or behind ``node``, a DequantizeLinear or QuantizeLinear, means; None where
    scale and zero point are no constants of one value."""
    parameters = graph.single_values(node.inputs[1:])
    if parameters is None:
        return None
    scale, *zero = parameters
    zero_point = int(zero[0].item()) if zero else 0
    kind, limits = IntType.of(graph.tensors[integers].dtype), node.attributes["limits"]
    if limits:
        low, high = min(*limits, zero_point), max(*limits, zero_point)
        kind = IntType.holding(min(low, -1) if kind.signed else low, high)
    return Quantization(kind, float(scale.item()), zero_point)


def site_op(node: Node) -> str:
    """What sites of the node are called; a node that passes made up is called as it is."""
    return OPERATORS[node.op].site if node.op in OPERATORS else node.op


def site_attributes(graph: Graph, node: Node, source: QuantizedTensor) -> dict[str, Any]:
    """Complete, two-dimensional window settings; empty for operators without a window."""
    height, width, _ = source.map.shape
    if node.op in ("Concat", "Float"):
        return dict(node.attributes)
    if node.op == "ConvTranspose":
        spatial, kernel = (graph.tensors[name].shape[2:] for name in node.inputs[:2])
        spread = TransposedWindow.from_onnx(node.attributes, spatial, kernel)
        return {"window": spread, "group": node.attributes["group"]}
    if node.op in _POOLS and "kernel_shape" not in node.attributes:  # of everything
        window = Window((height, width))
    elif node.op == "MatMul":
        window = Window((1, 1))
    elif "kernel_shape" in node.attributes:
        spatial = graph.tensors[node.inputs[0]].shape[2:]
        kernel = node.attributes["kernel_shape"] or graph.tensors[node.inputs[1]].shape[2:]
        window = Window.from_onnx(node.attributes, spatial, kernel)
    else:
        return {}
    settings = {
        "kernel": window.kernel,
        "strides": window.strides,
        "dilations": window.dilations,
        "pads": window.pads,
        "group": node.attributes.get("group", 1),
    }
    if site_op(node) == "AveragePool":
        settings["count_include_pad"] = bool(node.attributes["count_include_pad"])
    return settings


def site_weight(graph: Graph, node: Node, order: np.ndarray) -> QuantizedConstant | None:
    """Integer weights of a Conv or Gemm; ``order`` gives the stream place of each feature of a Gemm."""
    if node.op not in PRODUCTS:
        return None
    weight = find_weight(graph, node.inputs[1])
    if weight is None:
        raise ValueError(f"its weights {quoted(node.inputs[1])} are not constant; only constant weights are supported")
    if weight.scale is None:
        raise ValueError(
            f"its weights {quoted(node.inputs[1])} are not quantised; store them as integers with DequantizeLinear"
        )
    values = weight.values
    if values.dtype.kind not in "iu" or values.dtype.itemsize > 2:
        raise ValueError(f"weights of type {values.dtype}; 8 and 16 bit integers are supported")
    along = 0 if node.op in ("Conv", "Gemm") else 1
    if weight.scale.size not in (1, values.shape[along]) or (weight.scale.size > 1 and weight.axis != along):
        raise ValueError(f"weights quantised along axis {weight.axis}; per tensor or per output channel is supported")
    if node.op == "MatMul":
        values = np.ascontiguousarray(values.T)[:, :, None, None]
    elif node.op == "Gemm":
        values = _reordered(values, order)
    elif values.ndim == 3:
        values = values[:, :, None]
    scale = weight.scale.reshape(-1).astype(np.float32)
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        raise ValueError(f"a weight scale of {scale.min():g}; scales must be positive and finite")
    return QuantizedConstant(values, scale, weight.zero_points)


def _reordered(values: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Columns, given in ONNX order, moved to where the stream has their features."""
    result = np.empty_like(values)
    result[:, order.reshape(-1)] = values
    return result


def site_bias(
    graph: Graph,
    node: Node,
    source: QuantizedTensor,
    weight: QuantizedConstant | None,
    warn: Callable[[str], None] | None,
) -> np.ndarray | None:
    """Bias in units of input scale times weight scale.

    Integers quantised with that scale are taken as they are, and real numbers rounded to it in float32, like ONNX
    Runtime does. Integers of another scale are rounded likewise, and ``warn`` told: ONNX Runtime adds them as floats.
    Without ``warn`` it is returned as the real numbers that it is.
    """
    if weight is None or node.op == "MatMul" or len(node.inputs) < 3:
        return None
    bias = find_weight(graph, node.inputs[2])
    if bias is None:
        raise ValueError(f"its bias {quoted(node.inputs[2])} is not constant; only a constant bias is supported")
    channels = len(weight.values)
    if node.op == "ConvTranspose":
        channels = graph.tensors[node.outputs[0]].shape[1]
    bias = bias.vector(channels)
    if bias is None:
        raise ValueError(f"its bias {quoted(node.inputs[2])} does not have one number per output channel")
    unit = source.quantization.scales * np.resize(weight.scale, channels).astype(np.float64)
    if bias.scale is not None and (np.abs(bias.scale / unit - 1) < SAME_SCALE).all():
        return bias.values.astype(np.int64) - bias.zero_points
    if warn is None:
        return bias.real
    steps = bias.real.astype(np.float32) / (source.quantization.scales * weight.scale)
    result = np.rint(steps)
    if (np.abs(result) > INT32.max).any():
        raise ValueError(f"a bias of {np.abs(result).max():.4g} steps; it must fit into 32 bits: quantise anew")
    if bias.scale is not None and (result != steps).any():
        warn(f"{node.place}: its bias is quantised, but not with scale input*weight; it is rounded to that")
    return result.astype(np.int64)


def sum_quantization(
    node: Node,
    source: Quantization,
    weight: QuantizedConstant | None,
    bias: np.ndarray | None,
    attributes: Mapping[str, Any],
    channels: int,
) -> Quantization:
    """What the sums of a linear operator mean, bias in and zero points off, in the narrowest type that holds them."""
    kind, zero = source.type, source.zero_point
    if weight is None:
        if attributes.get("count_include_pad") is False and any(attributes["pads"]):
            raise ValueError(
                "its windows average different numbers of elements; quantise its result, or end the "
                "network before it with --outputs"
            )
        count = int(np.prod(attributes["kernel"]))
        scale = np.atleast_1d(source.scales / np.float32(count))
        taps = np.ones((1, count), np.int64)
    else:
        scale = source.scales * weight.scale
        taps = _taps(node, weight, attributes)
    ends = np.stack([taps * (kind.min - zero), taps * (kind.max - zero)])
    low, high = (end.sum(axis=1) + (0 if bias is None else bias) for end in (ends.min(axis=0), ends.max(axis=0)))
    type_ = IntType.holding(int(low.min()), int(high.max()))
    alike = (scale == scale[0]).all()
    return Quantization(type_, float(scale[0]) if alike else tuple(np.resize(scale, channels).tolist()))


def _taps(node: Node, weight: QuantizedConstant, attributes: Mapping[str, Any]) -> np.ndarray:
    """All that each output channel multiplies by: int64 [channels, ...], zero points taken off."""
    values = weight.values.astype(np.int64)
    along = 1 if node.op == "ConvTranspose" else 0
    values = values - weight.zero_point.reshape([-1 if at == along else 1 for at in range(values.ndim)])
    if node.op == "ConvTranspose":
        parts = np.stack(np.split(values, attributes["group"]))
        values = parts.swapaxes(1, 2).reshape(-1, *values.shape[2:], parts.shape[1])
    return values.reshape(len(values), -1)


def integer_clamp(quantization: Quantization, clamp: tuple[float, float]) -> tuple[int, int]:
    """The integers that real numbers within ``clamp`` become. Exact, as quantisation never falls."""
    kind = quantization.type
    low, high = clamp
    return (
        kind.min if low == -np.inf else int(quantization.quantize(low)),
        kind.max if high == np.inf else int(quantization.quantize(high)),
    )
