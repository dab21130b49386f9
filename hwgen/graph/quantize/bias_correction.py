"""Takes the shift of each channel's mean, which rounding brings, out of the biases.

After Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (2019), with the means
measured on calibration frames: layer by layer, each behind those that are corrected already.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from hwgen.graph.batch import batches
from hwgen.graph.editor import Editor
from hwgen.graph.errors import ModelError
from hwgen.graph.ir import Graph, Node
from hwgen.graph.quantize.quantization_points import existing
from hwgen.graph.quantize.weight_quantization import bias_scale
from hwgen.graph.semantics.float_model import node_results
from hwgen.graph.weights import Weight, find_weight

FRAMES = 256  # at most are used; means need no more
HELD_BYTES = 1 << 29  # of one tensor, all frames together
PART_BYTES = 1 << 26  # likewise of the frames computed at a time
PART = 8  # of which there are no more

Parts = list[np.ndarray]


def correct_biases(graph: Graph, reference: Graph, frames: np.ndarray, layers: Iterable[str]) -> Graph:
    """``graph`` (QDQ) with the biases of ``layers`` changed so that the means of their results on ``frames`` are
    those of the nodes of the same names in ``reference``, the float graph.
    """
    wanted = frozenset(layers)
    parts = _parts(reference, frames)
    means: dict[str, np.ndarray] = {}

    def measure(node: Node, results: Parts) -> Parts:
        means[node.name] = _mean(results)
        return results

    editor = Editor(graph)

    def correct(node: Node, results: Parts) -> Parts:
        shift = _corrected(editor, node, means[node.name] - _mean(results))
        shape = (1, -1, *[1] * (results[0].ndim - 2))
        return [part + shift.reshape(shape) for part in results]

    _walk(reference, parts, wanted, measure)
    _walk(graph, parts, wanted, correct)
    return editor.done()


def _parts(graph: Graph, frames: np.ndarray) -> Parts:
    """Frames evenly spaced over those given, in parts."""
    largest = max(4 * math.prod(info.shape) for info in graph.tensors.values())
    count = int(np.clip(HELD_BYTES // largest, 1, FRAMES))
    frames = frames[np.unique(np.linspace(0, len(frames) - 1, count).astype(np.int64))]
    frames = frames.astype(graph.tensors[graph.inputs[0]].dtype, copy=False)
    step = int(np.clip(PART_BYTES // largest, 1, PART))
    return list(batches(graph, frames, step))


def _walk(graph: Graph, frames: Parts, wanted: frozenset[str], visit) -> None:
    """Runs ``graph``, ``visit`` seeing the results of every node in ``wanted`` before anybody reads them.

    A tensor is held no longer than somebody reads it.
    """
    last = {name: node.name for node in graph.nodes for name in node.inputs}
    constants, values = dict(graph.constants), {graph.inputs[0]: frames}
    for node in graph.nodes:
        streams = [name for name in node.inputs if name in values]
        if not streams:
            constants |= node_results(node, [constants[name] if name else None for name in node.inputs])
            continue
        operands: list[Sequence[np.ndarray | None]] = [
            values.get(name) or [constants[name] if name else None] * len(frames) for name in node.inputs
        ]
        results = [node_results(node, list(each)) for each in zip(*operands, strict=True)]
        for name in node.outputs:
            values[name] = [result[name] for result in results if name in result]
        if node.name in wanted:
            values[node.outputs[0]] = visit(node, values[node.outputs[0]])
        for name in streams:
            if last[name] == node.name:
                values.pop(name, None)


def _mean(parts: Parts) -> np.ndarray:
    """Of each channel."""
    sums = sum(part.astype(np.float64).mean(axis=tuple(range(2, part.ndim))).sum(axis=0) for part in parts)
    return sums / sum(len(part) for part in parts)


def _corrected(editor: Editor, node: Node, shift: np.ndarray) -> np.ndarray:
    """Adds ``shift`` to the bias of ``node``, as far as its steps can; returns what they make of it."""
    graph = editor.graph
    weight, source = find_weight(graph, node.inputs[1]), existing(graph, node.inputs[0])
    if weight is None or source is None:
        raise ModelError(f"{node.place}: only a layer with quantised weights and input has a bias in steps")
    scale = bias_scale(weight, source.step).astype(np.float64)
    bias = find_weight(graph, node.inputs[2]) if node.input(2) else None
    old = np.zeros((), np.int64) if bias is None else bias.values.astype(np.int64)
    limits = np.iinfo(np.int32)
    new = np.clip(old + np.rint(shift / scale).astype(np.int64), limits.min, limits.max)
    stored = np.broadcast_to(scale, shift.shape) if scale.size > 1 else scale
    if bias is not None:
        editor.constants[graph.maker(node.inputs[2]).inputs[0]] = new.astype(np.int32)
    else:
        bias = Weight(new.astype(np.int32), stored.astype(np.float32), np.zeros(stored.size, np.int32), 0)
        editor.replace(node, *editor.layer(node, None, bias))
    return ((new - old) * scale).astype(np.float32)
