"""What is known before any frame arrives is computed once; what does nothing is dropped."""

import numpy as np

from hwgen.graph.semantics.float_model import node_results
from hwgen.graph.semantics.kinds import Kind
from hwgen.graph.semantics.operators import MANY, OPERATORS, of_kind

from ..editor import Editor
from ..ir import Graph, Node

_NOTHING = of_kind(Kind.NOTHING)
_JOINING = frozenset(name for name, operator in OPERATORS.items() if operator.operands[1] == MANY)


def remove_identities(graph: Graph) -> Graph:
    """Identity; Dropout, which does nothing at inference; and what joins several operands where there is one."""
    editor = Editor(graph)
    for node in graph.nodes:
        if node.op in _NOTHING or (node.op in _JOINING and len(node.inputs) == 1):
            editor.drop(node)
    return editor.done()


def dequantize_by_hand(graph: Graph) -> Graph:
    """Stored integers that a Cast, maybe a Sub, and a Mul make real numbers of are those of a DequantizeLinear."""
    editor = Editor(graph)
    for node in [node for node in graph.nodes if node.op == "Mul"]:
        for source, scale in (node.inputs, node.inputs[::-1]):
            if new := _dequantizer(editor, node, source, scale):
                editor.replace(node, new)
                break
    return editor.done()


def _dequantizer(editor: Editor, node: Node, source: str, scale: str) -> Node | None:
    """What stands for ``node``, where it multiplies integers ``source`` by one ``scale``, or one along an axis."""
    graph, maker, zero = editor.graph, editor.graph.producer(source), None
    if maker is not None and maker.op == "Sub":
        zero, maker = graph.constants.get(maker.inputs[1]), graph.producer(maker.inputs[0])
        if zero is None:
            return None
    if maker is None or maker.op != "Cast" or scale not in graph.constants:
        return None
    values, scales = graph.constants.get(maker.inputs[0]), graph.constants[scale]
    if values is None or values.dtype.kind not in "iu" or values.dtype.itemsize > 2 or values.ndim < 2:
        return None
    if scales.dtype != np.float32 or not (np.isfinite(scales) & (scales > 0)).all():
        return None
    zeros = np.zeros((), values.dtype) if zero is None else zero.astype(values.dtype)
    if zero is not None and not (zeros == zero).all():
        return None
    found = [_along(parameter, values.shape) for parameter in (scales, zeros)]
    axes = {axis for axis in found if axis is not None and axis >= 0}
    if None in found or len(axes) > 1:
        return None
    axis = axes.pop() if axes else 0
    size = values.shape[axis] if found != [-1, -1] else 1
    shape = (size,) if size > 1 else ()
    names = [
        editor.constant(
            f"{node.name}/{what}", np.ascontiguousarray(np.broadcast_to(parameter.reshape(-1), size)).reshape(shape)
        )
        for what, parameter in (("scale", scales), ("zero", zeros))
    ]
    return editor.node("DequantizeLinear", node.name, (maker.inputs[0], *names), node.outputs[0], axis=axis)


def _along(parameter: np.ndarray, shape: tuple[int, ...]) -> int | None:
    """The axis of ``shape`` along which ``parameter`` has a number each; -1 where it is one, None for another shape."""
    padded = (1,) * (len(shape) - parameter.ndim) + parameter.shape
    own = [axis for axis, size in enumerate(padded) if size > 1]
    if len(padded) != len(shape) or len(own) > 1:
        return None
    return own[0] if own and padded[own[0]] == shape[own[0]] else None if own else -1


def fold_constants(graph: Graph) -> Graph:
    """Nodes whose operands are all constant, and Shape. DequantizeLinear stays: hardware stores its integers."""
    editor = Editor(graph)
    for node in graph.nodes:
        if node.op == "Shape":
            shape = np.array(graph.tensors[node.inputs[0]].shape, np.int64)
            values = {node.outputs[0]: shape[node.attributes["start"] : node.attributes["end"]]}
        elif node.op != "DequantizeLinear" and all(not name or name in editor.constants for name in node.inputs):
            values = node_results(node, [editor.constants[name] if name else None for name in node.inputs])
        else:
            continue
        editor.replace(node)
        editor.constants |= values
    return editor.done()
