"""Float weights and biases become integers."""

from dataclasses import replace

import numpy as np

from hwgen.graph.complete import complete
from hwgen.graph.editor import Editor
from hwgen.graph.ir import Graph, Node
from hwgen.graph.lower.site import SAME_SCALE
from hwgen.graph.types import S8, Quantization
from hwgen.graph.weights import Weight, find_weight

MIN_SCALE = 2.0**-40  # products and quotients of scales stay well inside float32
BIAS_MAX = np.iinfo(np.int32).max
BIAS_ROOM = 1 << 20  # steps a bias may take however many weights share its accumulator


def has_open_weights(graph: Graph, node: Node) -> bool:
    """Whether a layer has float constants left."""
    weights = [find_weight(graph, name) for name in node.inputs[1:]]
    return any(weight is None or weight.scale is None for weight in weights)


def quantize_layer(editor: Editor, node: Node, source: Quantization) -> None:
    """The weights (s8 per output channel) and bias (int32) of ``node``, whose input is quantised as ``source``.

    Integers that are there already stay. ValueError where weights are not constant, not finite or too large.
    """
    operands = complete(find_weight(editor.graph, name) for name in node.inputs[1:])
    if operands is None:
        raise ValueError("its weights and bias must be constant")
    if not all(np.isfinite(operand.real).all() for operand in operands):
        raise ValueError("its weights or bias overflow float32; check the scales before it")
    weight, bias = operands[0], operands[1] if len(operands) > 1 else None
    channels = editor.graph.tensors[node.outputs[0]].shape[1]
    bias = None if bias is None else bias.vector(channels)
    if weight.scale is None:
        weight = _weight(node, weight.values, None if bias is None else bias.real, source)
    elif bias is not None and (node.op != "ConvTranspose" or node.attributes["group"] == 1):
        weight = with_room(weight, bias.real, source.step, int(node.op == "ConvTranspose"))
    editor.replace(node, *editor.layer(node, weight, _bias(bias, weight, source.step, channels)))


def _weight(node: Node, values: np.ndarray, bias: np.ndarray | None, source: Quantization) -> Weight:
    """s8 per output channel. A channel's scale also grows until its bias fits beside the products in 32 bits."""
    axis = int(node.op == "ConvTranspose")
    rows = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
    together = axis == 1 and node.attributes["group"] > 1  # one number along that axis serves a channel of each group
    if together:
        rows = rows.reshape(1, -1)
    scale = np.abs(rows).max(axis=1).astype(np.float64) / S8.max
    dead = scale == 0
    scale[dead] = scale.max() or 1.0  # any scale will do for zeros; this one suits the bias
    if bias is not None:
        span = max(source.type.max - source.zero_point, source.zero_point - source.type.min)
        room = max((1 << 31) - 1 - rows.shape[1] * span * -S8.min, BIAS_ROOM)
        largest = np.abs(bias.astype(np.float64))
        scale = np.maximum(scale, (largest.max() if together else largest) / (source.step * room))
    scale = np.maximum(scale, MIN_SCALE).astype(np.float32)
    spread = scale.reshape([-1 if index == axis else 1 for index in range(values.ndim)])
    integers = np.clip(np.rint(values / spread), -S8.max, S8.max).astype(np.int8)
    return Weight(integers, scale, np.zeros(len(scale), np.int8), axis)


def with_room(weight: Weight, bias: np.ndarray, input_scale: float, along: int = 0) -> Weight:
    """Channels of zeros only whose bias overflows 32 bits get a scale that holds it: for zeros any scale will do.

    ``along`` is the axis of ``weight`` that counts channels.
    """
    rows = np.moveaxis(weight.values, along, 0).reshape(len(bias), -1)
    zero = np.broadcast_to(weight.zero_points, len(bias)).astype(weight.values.dtype)
    scale = np.broadcast_to(weight.scales, len(bias)).astype(np.float32)
    step = np.float64(np.float32(input_scale)) * scale
    largest = np.abs(bias.astype(np.float64))
    zeros = (rows == zero[:, np.newaxis]).all(axis=1)
    still = zeros & ((scale < MIN_SCALE) | (largest > step * BIAS_MAX))
    if not still.any():
        return weight
    scale[still] = np.maximum(largest[still] / (input_scale * (BIAS_MAX // 2)), MIN_SCALE)
    return replace(weight, scale=scale, zero_point=zero, axis=along)


def _bias(bias: Weight | None, weight: Weight, input_scale: float, channels: int) -> Weight | None:
    """int32 with the scale of the accumulator; one that has it already is kept."""
    if bias is None:
        return None
    scale = bias_scale(weight, input_scale)
    stored = bias.scale is not None and bias.values.dtype == np.int32
    if stored and (np.abs(bias.scale / scale - 1) < SAME_SCALE).all():
        return bias
    return bias_weight(bias.real, np.broadcast_to(scale, channels) if scale.size > 1 else scale)


def bias_scale(weight: Weight, input_scale: float) -> np.ndarray:
    """What one step of the accumulator is worth: one value, or one per output channel."""
    return np.float32(input_scale) * weight.scales.astype(np.float32)


def bias_weight(real: np.ndarray, scale: np.ndarray) -> Weight:
    """``real`` in steps of ``scale``; ValueError where 32 bits do not hold them."""
    with np.errstate(divide="ignore", invalid="ignore"):  # a scale of 0 holds a bias of 0
        steps = np.nan_to_num(np.rint(real.astype(np.float64) / scale), nan=0)
    if (np.abs(steps) > BIAS_MAX).any():
        worst = int(np.argmax(np.abs(steps)))
        raise ValueError(
            f"a bias of {np.abs(steps[worst]):.4g} steps does not fit into 32 bits: quantise its channel {worst} with "
            f"a larger weight scale, or give the float model"
        )
    return Weight(steps.astype(np.int32), scale.copy(), np.zeros(scale.size, np.int32), 0)
