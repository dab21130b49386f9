"""Channels whose weights never matter: quantisers leave them beside a bias that their tiny scale cannot express.

Such a channel is its bias. It is given zeros for weights, and a scale in which 32 bits hold the bias.
"""

from dataclasses import replace

import numpy as np

from hwgen.graph.quantize.weight_quantization import BIAS_MAX, with_room
from hwgen.graph.semantics.float_model import run_node
from hwgen.graph.semantics.operators import CLIPS, LAYERS, MAXIMA, MOVES

from ..editor import Editor
from ..ir import Graph, Node
from ..types import IntType
from ..weights import Weight, find_weight

_MOVES = MAXIMA | MOVES
_MARGIN = 1e-5  # of a result, for whatever order the sums are rounded in


def still_channels(graph: Graph) -> Graph:
    """Where a bias overflows in steps of the sums, and no input changes the result, the weights become zeros."""
    editor = Editor(graph)
    for node in graph.nodes:
        if node.op in LAYERS and len(node.inputs) > 2:
            _still(editor, graph, node)
    return editor.done()


def _still(editor: Editor, graph: Graph, node: Node) -> None:
    weight, bias = (find_weight(graph, name) for name in node.inputs[1:3])
    source, quantizer = _source(graph, node.inputs[0]), _quantizer(graph, node.outputs[0])
    grouped = node.op == "ConvTranspose" and node.attributes["group"] > 1
    if weight is None or weight.scale is None or bias is None or source is None or quantizer is None or grouped:
        return
    channels, along = graph.tensors[node.outputs[0]].shape[1], int(node.op == "ConvTranspose")
    bias = bias.vector(channels)
    if (weight.axis != along and weight.scale.size > 1) or bias is None or weight.zero_points.size not in (1, channels):
        return
    scale, zero, low, high = source
    rows = np.moveaxis(weight.values, along, 0).reshape(channels, -1).astype(np.float64)
    offset = weight.zero_points[:, None].astype(np.float64)
    steps = np.float64(scale) * weight.scale.reshape(-1).astype(np.float64)
    products = np.stack([(rows - offset) * (low - zero), (rows - offset) * (high - zero), np.zeros_like(rows)])
    ends = [bias.real + steps * sums for sums in (products.min(0).sum(1), products.max(0).sum(1))]
    still = (np.abs(bias.real) > steps * BIAS_MAX) & _alike(graph, quantizer, ends)
    if still.any():
        _write(editor, node, (weight, bias, np.float64(scale)), still, along)


def _source(graph: Graph, name: str) -> tuple[float, int, int, int] | None:
    """Scale, zero point, least and greatest integer behind ``name``."""
    while (node := graph.producer(name)) is not None and node.op in _MOVES:
        name = node.inputs[0]
    if node is None or node.op != "DequantizeLinear":
        return None
    parameters = graph.single_values(node.inputs[1:])
    if parameters is None:
        return None
    zero = int(parameters[1].item()) if len(parameters) > 1 else 0
    limits = node.attributes["limits"] or IntType.of(graph.tensors[node.inputs[0]].dtype).ends
    return (float(parameters[0].item()), zero, *limits)


def _quantizer(graph: Graph, name: str) -> list[Node] | None:
    """What alone reads ``name``: a QuantizeLinear, at most behind clips."""
    chain = []
    while name not in graph.outputs and len(readers := graph.consumers(name)) == 1:
        (node,) = readers
        if any(each not in graph.constants for each in node.inputs[1:] if each):
            return None
        chain.append(node)
        name = node.outputs[0]
        if node.op == "QuantizeLinear":
            return chain if graph.constants[node.inputs[1]].size == 1 else None
        if node.op not in CLIPS:
            return None
    return None


def _alike(graph: Graph, chain: list[Node], ends: list[np.ndarray]) -> np.ndarray:
    """The channels of which all results from one end to the other are one integer: what never falls is alike at both
    ends, and in between."""
    low, high = ends
    slack = _MARGIN * np.maximum(np.abs(low), np.abs(high))
    values = np.stack([low - slack, high + slack]).astype(np.float32)
    for node in chain:
        values = run_node(node, [values, *(graph.constants[name] if name else None for name in node.inputs[1:])])
    return values[0] == values[1]


def _write(editor: Editor, node: Node, parts: tuple[Weight, Weight, np.float64], still: np.ndarray, along: int) -> None:
    """``node`` with zeros for the weights of the ``still`` channels, whose bias fits then."""
    weight, bias, input_scale = parts
    channels = len(still)
    rows = np.moveaxis(weight.values, along, 0).copy()
    rows[still] = np.broadcast_to(weight.zero_points, channels)[still].reshape(-1, *[1] * (rows.ndim - 1))
    weight = with_room(replace(weight, values=np.moveaxis(rows, 0, along)), bias.real, input_scale, along)
    if bias.scale is not None:
        unit = np.broadcast_to(bias.scale.reshape(-1), channels).astype(np.float32)
        given = bias.values - bias.zero_points
        unit = np.where(still, np.float32(input_scale) * weight.scales, unit).astype(np.float32)
        given = np.where(still, np.rint(bias.real / unit.astype(np.float64)), given).astype(np.int32)
        bias = Weight(given, unit, np.zeros(channels, np.int32))
    editor.replace(node, *editor.layer(node, weight, bias))
