"""One way to say a thing: operators that others can express are replaced by those."""

from dataclasses import replace
from itertools import accumulate

import numpy as np

from hwgen.graph.semantics.shapes_layout import reduced_axes, split_sizes
from hwgen.graph.semantics.window import counts_padding

from ..editor import Editor, Rule, rewritten
from ..ir import Graph, Node


def canonicalize(graph: Graph) -> Graph:
    """Split becomes Slices, Sum and Mean a chain of Adds, Upsample a Resize, Swish the product that it stands for;
    subtracting a constant is adding, and dividing by a power of two multiplying."""
    return rewritten(graph, _REWRITES)


def means_to_pools(graph: Graph) -> Graph:
    """A mean (or maximum) over all rows and columns is a global pool, with a Reshape where dimensions go."""
    return rewritten(graph, dict.fromkeys(_GLOBAL, _global_pool))


_GLOBAL = {"ReduceMean": "GlobalAveragePool", "ReduceMax": "GlobalMaxPool"}


def _global_pool(editor: Editor, node: Node) -> tuple[Node, ...]:
    shape = editor.graph.tensors[node.inputs[0]].shape
    axes = editor.constants.get(node.input(1))
    if len(node.inputs) > 1 and axes is None:
        return ()
    over = reduced_axes(len(shape), axes, bool(node.attributes["noop_with_empty_axes"]))
    if len(shape) not in (3, 4) or over != tuple(range(2, len(shape))):
        return ()
    op = _GLOBAL[node.op]
    if node.attributes["keepdims"]:
        return (editor.node(op, node.name, node.inputs[:1], node.outputs[0]),)
    pooled = editor.fresh(f"{node.name}/pooled")
    target = editor.constant(f"{node.name}/shape", np.array([0, shape[1]], np.int64))
    reshape = editor.node("Reshape", editor.fresh(f"{node.name}/reshape"), (pooled, target), node.outputs[0])
    return editor.node(op, node.name, node.inputs[:1], pooled), reshape


def _average(editor: Editor, node: Node) -> tuple[Node, ...]:
    """Without padding there is none to count."""
    if not node.attributes["count_include_pad"] or counts_padding(node.attributes):
        return ()
    return (replace(node, attributes={**node.attributes, "count_include_pad": 0}),)


def _split(editor: Editor, node: Node) -> tuple[Node, ...]:
    """One Slice for each piece."""
    axis = node.attributes["axis"]
    sizes = editor.constants.get(node.input(1))
    total = editor.graph.tensors[node.inputs[0]].shape[axis]
    pieces = split_sizes(total, None if sizes is None else sizes.reshape(-1), len(node.outputs))
    ends = list(accumulate(pieces))
    slices: list[Node] = []
    for start, end, output in zip([0, *ends[:-1]], ends, node.outputs, strict=True):
        bounds = [
            editor.constant(f"{output}/{what}", np.array([value], np.int64))
            for what, value in (("start", start), ("end", end), ("axis", axis))
        ]
        name = node.name if len(node.outputs) == 1 else editor.fresh(f"{node.name}/{len(slices)}")
        slices.append(editor.node("Slice", name, (node.inputs[0], *bounds), output))
    return tuple(slices)


def _sum(editor: Editor, node: Node) -> tuple[Node, ...]:
    """A chain of Adds."""
    first, *others = node.inputs
    nodes = []
    for index, other in enumerate(others):
        last = index == len(others) - 1
        output = node.outputs[0] if last else editor.fresh(f"{node.name}/partial")
        name = node.name if last else editor.fresh(f"{node.name}/{index}")
        nodes.append(editor.node("Add", name, (first, other), output))
        first = output
    return tuple(nodes)


def _mean(editor: Editor, node: Node) -> tuple[Node, ...]:
    """The sum of the operands, by their number."""
    total = editor.fresh(f"{node.name}/sum")
    chain = _sum(editor, editor.node("Sum", editor.fresh(f"{node.name}/add"), node.inputs, total))
    count = np.array(len(node.inputs), np.float32)
    op, factor = ("Div", count) if np.frexp(count)[0] != 0.5 else ("Mul", 1 / count)
    last = editor.node(op, node.name, (total, editor.constant(f"{node.name}/count", factor)), node.outputs[0])
    return (*chain, last)


def _upsample(editor: Editor, node: Node) -> tuple[Node, ...]:
    settings = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    inputs = (node.inputs[0], "", node.inputs[1])
    return (editor.node("Resize", node.name, inputs, node.outputs[0], mode=node.attributes["mode"], **settings),)


def _sub(editor: Editor, node: Node) -> tuple[Node, ...]:
    value = editor.constants.get(node.inputs[1])
    if value is None or value.dtype.kind != "f":
        return ()
    inputs = (node.inputs[0], editor.constant(f"{node.inputs[1]}/negative", -value))
    return (editor.node("Add", node.name, inputs, node.outputs[0]),)


def _div(editor: Editor, node: Node) -> tuple[Node, ...]:
    value = editor.constants.get(node.inputs[1])
    if value is None or value.dtype != np.float32 or not (np.frexp(value)[0] == 0.5).all():
        return ()
    inverse = 1 / value
    if not (np.isfinite(inverse) & (np.abs(inverse) > np.finfo(np.float32).tiny)).all():
        return ()
    inputs = (node.inputs[0], editor.constant(f"{node.inputs[1]}/inverse", inverse))
    return (editor.node("Mul", node.name, inputs, node.outputs[0]),)


def _swish(editor: Editor, node: Node) -> tuple[Node, ...]:
    """x * Sigmoid(alpha * x), so that the written model needs no opset that few runtimes know."""
    (source,), alpha = node.inputs, node.attributes["alpha"]
    nodes, scaled = [], source
    if alpha != 1:
        scaled = editor.fresh(f"{node.name}/scaled")
        factor = editor.constant(f"{node.name}/alpha", np.array(alpha, np.float32))
        nodes.append(editor.node("Mul", editor.fresh(f"{node.name}/scale"), (source, factor), scaled))
    gate = editor.fresh(f"{node.name}/gate")
    nodes.append(editor.node("Sigmoid", editor.fresh(f"{node.name}/sigmoid"), (scaled,), gate))
    return (*nodes, editor.node("Mul", node.name, (source, gate), node.outputs[0]))


_REWRITES: dict[str, Rule] = {
    "AveragePool": _average,
    "Div": _div,
    "Mean": _mean,
    "Split": _split,
    "Sub": _sub,
    "Sum": _sum,
    "Swish": _swish,
    "Upsample": _upsample,
}
