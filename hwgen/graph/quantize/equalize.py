"""Scales channels between two layers, so that one quantisation suits them all.

Dividing an output channel of a layer by s and multiplying the weights that read it by s changes nothing in real numbers
where only functions with f(x / s) = f(x) / s stand in between. Quantised, the small channels then use more of the
integers. After Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (2019); here
weights have a scale per output channel, so that it is the activations that gain, and s follows from their ranges.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hwgen.graph.complete import complete
from hwgen.graph.ir import Graph, Node
from hwgen.graph.quantize.calibrate import chunks
from hwgen.graph.semantics.kinds import Kind
from hwgen.graph.semantics.operators import of_kind
from hwgen.graph.types import S8, U8

_ACTIVATIONS = of_kind(Kind.CLIP, Kind.SLOPE)
_SCALING = _ACTIVATIONS | of_kind(Kind.MAXIMUM, Kind.AVERAGE)
_LAYERS = ("Conv", "Gemm")
_LEAST = 1 / 64  # factors are no smaller: a channel that hardly ever speaks must hold what calibration missed
_HEADROOM = 2.0  # times the largest number seen in a channel still fits, where others are larger than that


@dataclass(frozen=True)
class Pair:
    """Two layers and the tensor ``between`` them that is quantised first, where channels are compared."""

    first: str
    between: str
    second: str


def equalize(graph: Graph, frames: np.ndarray) -> Graph:
    """``graph`` with float weights rescaled wherever that makes ranges alike; the same function of ``frames``.

    The first layer only makes channels larger, up to the largest, so that a Clip may stay as it is: a channel is then
    clipped earlier than before, but not below ``_HEADROOM`` times the largest number that calibration saw in it.
    """
    pairs = find_pairs(graph)
    if not pairs:
        return graph
    statistics = _statistics(graph, frames, [pair.between for pair in pairs])
    nodes = {node.name: node for node in graph.nodes}
    constants = dict(graph.constants)
    for pair in reversed(pairs):
        first, second = nodes[pair.first], nodes[pair.second]
        peaks, squares = statistics[pair.between]
        old = constants[second.inputs[1]]
        weight = _by_channel(second, old, len(peaks))
        factors = _factors(weight, peaks, squares)
        for name in first.inputs[1:]:
            constants[name] = _rows_divided(constants[name], factors)
        scaled = weight * factors.reshape(len(weight), 1, -1, 1)
        constants[second.inputs[1]] = scaled.reshape(old.shape).astype(old.dtype)
    return replace(graph, constants=constants)


# Which


def find_pairs(graph: Graph) -> list[Pair]:
    """Layers whose results only one other layer reads, past functions that scale with their argument."""
    pairs = []
    for node in graph.nodes:
        if _is_layer(graph, node):
            between, second = _follow(graph, node)
            if second is not None and _is_layer(graph, second):
                pairs.append(Pair(node.name, between, second.name))
    return pairs


def _is_layer(graph: Graph, node: Node) -> bool:
    """A Conv or Gemm with float constants of its own."""
    if node.op not in _LAYERS or (node.op == "Gemm" and not node.attributes["transB"]):
        return False
    names = [name for name in node.inputs[1:] if name]
    return all(
        name in graph.constants and graph.constants[name].dtype.kind == "f" and len(graph.consumers(name)) == 1
        for name in names
    )


def _follow(graph: Graph, node: Node) -> tuple[str, Node | None]:
    """The first tensor behind ``node`` and its activation, and the layer that alone reads it, or what becomes of it."""
    name, between = node.outputs[0], ""
    while name not in graph.outputs and len(readers := graph.consumers(name)) == 1:
        (reader,) = readers
        if reader.op in _LAYERS and reader.inputs[0] == name:
            return between or name, reader
        if not _scales(graph, reader):
            break
        between = between or (name if reader.op not in _ACTIVATIONS else "")
        name = reader.outputs[0]
    return "", None


def _scales(graph: Graph, node: Node) -> bool:
    """Whether a positive factor of each channel goes through; of a Clip, as :func:`equalize` says."""
    if node.op == "Clip":
        bounds = graph.single_values(node.inputs[1:])
        return bounds is not None and bool("".join(node.inputs[1:2])) and bounds[0].item() == 0
    if node.op == "Pad":
        constants = complete(graph.constants.get(name) for name in node.inputs[1:] if name)
        return constants is not None and (not node.inputs[2:3] or not constants[1].any())
    if node.op == "Reshape":
        before, after = (graph.tensors[name].shape for name in (node.inputs[0], node.outputs[0]))
        return len(after) == 2 and after[1] == np.prod(before[1:])
    return node.op in _SCALING


# How much


def _statistics(graph: Graph, frames: np.ndarray, names: Sequence[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For each channel of each tensor the largest magnitude, and the mean of squares."""
    peaks: dict[str, np.ndarray] = {}
    sums: dict[str, np.ndarray] = {}
    count = 0
    for values in chunks(graph, frames):
        for name in names:
            x = np.abs(values[name]).astype(np.float64)
            x = np.moveaxis(x, 1, 0).reshape(x.shape[1], -1)
            peaks[name] = np.maximum(peaks.get(name, 0), x.max(axis=1))
            sums[name] = sums.get(name, 0) + (x * x).mean(axis=1) * len(values[graph.inputs[0]])
        count += len(values[graph.inputs[0]])
    return {name: (peaks[name], sums[name] / count) for name in peaks}


def _factors(weight: np.ndarray, peaks: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """What to multiply the weights of each input channel by, from ``_LEAST`` to 1; ``weight`` as :func:`_by_channel`.

    The noise of a channel in the sums is ``(s * step * |w|)**2`` from the activation and ``(weight step * |x| / s)**2``
    from the weights, of uniform steps; this s has the least sum of both. In a depthwise convolution the weight step
    shrinks with s, so that the smallest is best.
    """
    largest = peaks.max() or 1.0
    least = np.where(peaks > 0, np.clip(_HEADROOM * peaks / largest, _LEAST, 1.0), 1.0)
    groups, _, channels, taps = weight.shape
    if groups > 1 and channels == 1:
        return least
    steps = np.abs(weight).max(axis=(2, 3)) / S8.max
    weight_noise = ((steps**2).sum(axis=1)[:, None] * taps).repeat(channels, axis=1).reshape(-1) * squares
    noise = (largest / U8.max) ** 2 * (weight**2).sum(axis=(1, 3)).reshape(-1)
    wanted = (weight_noise / np.maximum(noise, np.finfo(np.float64).tiny)) ** 0.25
    return np.clip(wanted, least, 1.0)


def _by_channel(node: Node, weight: np.ndarray, channels: int) -> np.ndarray:
    """The weights of the layer that reads ``channels``: [groups, outputs, channels, taps], each of one group."""
    groups = node.attributes["group"] if node.op == "Conv" else 1
    return weight.reshape(groups, len(weight) // groups, channels // groups, -1).astype(np.float64)


def _rows_divided(constant: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Weights or bias of the first layer, output channels first."""
    return (constant / factors.reshape(-1, *[1] * (constant.ndim - 1))).astype(constant.dtype)
