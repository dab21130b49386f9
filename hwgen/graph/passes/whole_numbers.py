"""Networks that compute with whole numbers in float tensors: Floor and Clip stand for QuantizeLinear, or a Cast from
integers and Clip.

NEMO and DORY export them so. Scale 1 makes integers of whole numbers, and nothing is rounded on the way.
"""

from dataclasses import replace

import numpy as np

from ..editor import Editor
from ..ir import Graph, Node
from ..types import IntType
from ..weights import Weight

_WEIGHTED = ("Conv", "Gemm", "MatMul")
_ROUNDED = ("Floor", "Round", "Ceil")
_LIMIT = 1 << 15  # of weights and activations


def quantize_whole_numbers(graph: Graph) -> Graph:
    """Where all weights are whole numbers and activations are rounded and clipped to some, they become integers.

    The input is taken to have the type that the first Clip gives, as these formats mean it.
    """
    clips = {node.name: kind for node in graph.nodes if node.op == "Clip" and (kind := _kind(graph, node))}
    weighted = [node for node in graph.nodes if node.op in _WEIGHTED]
    quantised = any(node.op in ("QuantizeLinear", "DequantizeLinear") for node in graph.nodes)
    if quantised or not clips or len(graph.inputs) != 1 or not all(_whole(graph, node) for node in weighted):
        return graph
    editor = Editor(graph)
    _insert_pair(editor, graph.inputs[0], next(iter(clips.values())))
    for node in graph.nodes:
        if node.name in clips:
            _insert_pair(editor, node.outputs[0], clips[node.name])
    for node in [node for node in editor.nodes if node.op in _WEIGHTED]:
        _integer_weights(editor, node)
    return editor.done()


def _kind(graph: Graph, node: Node) -> IntType | None:
    """The integers that a Clip of rounded numbers gives."""
    maker = graph.producer(node.inputs[0])
    bounds = [graph.constants.get(name) for name in node.inputs[1:]]
    if (
        maker is None
        or not _is_rounded(graph, maker)
        or len(bounds) != 2
        or any(b is None or b.size != 1 for b in bounds)
    ):
        return None
    low, high = (float(bound.item()) for bound in bounds)
    if low != np.rint(low) or high != np.rint(high) or not -_LIMIT <= low <= 0 < high < 2 * _LIMIT:
        return None
    return IntType.holding(int(low), int(high))


def _is_rounded(graph: Graph, node: Node) -> bool:
    """Whether it gives whole numbers as real ones."""
    return node.op in _ROUNDED or (node.op == "Cast" and graph.tensors[node.inputs[0]].dtype.kind in "iu")


def _whole(graph: Graph, node: Node) -> bool:
    values = [graph.constants.get(name) for name in node.inputs[1:]]
    small = values[:1] and values[0] is not None and np.abs(values[0]).max(initial=0) < _LIMIT
    return bool(small) and all(value is not None and (value == np.rint(value)).all() for value in values)


def _insert_pair(editor: Editor, name: str, kind: IntType) -> None:
    """Whoever reads ``name`` reads it quantised with scale 1."""
    one = editor.constant(f"{name}/one", np.ones((), np.float32))
    zero = editor.constant(f"{name}/zero_point", np.zeros((), kind.dtype))
    integers, real = editor.fresh(f"{name}/integers"), editor.fresh(f"{name}/real")
    full = IntType(8 * kind.dtype.itemsize, kind.signed) == kind
    limits = None if full else (kind.min, kind.max)
    editor.redirect(name, real)
    editor.insert_after(
        name,
        editor.node("QuantizeLinear", editor.fresh(f"{name}/quantize"), (name, one, zero), integers, limits=limits),
        editor.node("DequantizeLinear", editor.fresh(f"{name}/dequantize"), (integers, one, zero), real, limits=limits),
    )


def _integer_weights(editor: Editor, node: Node) -> None:
    """Weights and bias of ``node`` as integers of scale 1."""
    names, before = [], ()
    for what, name in zip(("weight", "bias"), node.inputs[1:], strict=False):
        values = editor.constants[name]
        width = IntType.holding(int(values.min(initial=0)), int(values.max(initial=0))).width
        dtype = np.int32 if what == "bias" else IntType(max(width, 8), True).dtype
        one = np.ones((), np.float32)
        stored, nodes = editor.weight(Weight(values.astype(dtype), one, np.zeros((), dtype)), f"{node.name}/{what}")
        names.append(stored)
        before += nodes
    current = next(each for each in editor.nodes if each.name == node.name)
    editor.replace(current, *before, replace(current, inputs=(current.inputs[0], *names)))
