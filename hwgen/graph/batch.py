"""Whether a graph, whose batch is one frame, may be given several at a time."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from hwgen.graph.semantics.infer import infer_shapes

from .editor import Editor
from .errors import ModelError
from .ir import Graph, Node, TensorInfo
from .weights import find_weight


def takes_batches(graph: Graph) -> bool:
    """Whether every tensor has as many frames as the input, so that none is mixed with others or left out.

    Reshapes to a fixed number, a Gather of the first frame and their like say no.
    """
    two = {name: TensorInfo((2, *graph.tensors[name].shape[1:]), graph.tensors[name].dtype) for name in graph.inputs}
    try:
        wide = infer_shapes(replace(graph, tensors={**graph.tensors, **two}))
    except ModelError:
        return False
    names = [name for node in graph.following() for name in node.outputs]
    return all(wide.tensors[name].shape == (2, *graph.tensors[name].shape[1:]) for name in names)


def batches(graph: Graph, frames: np.ndarray, most: int) -> Iterator[np.ndarray]:
    """``frames`` in parts of ``most``, or one by one where the graph takes no more."""
    step = max(most, 1) if most == 1 or takes_batches(graph) else 1
    for start in range(0, len(frames), step):
        yield frames[start : start + step]


def with_open_batch(graph: Graph) -> Graph:
    """``graph``, which takes batches, in operators that say so: a constant that is joined to every frame by a Concat is
    repeated for as many as there are. Others repeat a constant by themselves."""
    editor = Editor(graph)
    for node in graph.nodes:
        shape = graph.tensors[node.outputs[0]].shape
        if node.op != "Concat" or node.attributes["axis"] % len(shape) == 0:
            continue
        fixed = [name for name in dict.fromkeys(node.inputs) if find_weight(graph, name)]
        repeated = {name: _repeated(editor, node, name) for name in fixed if len(fixed) < len(set(node.inputs))}
        inputs = tuple(repeated.get(name, name) for name in node.inputs)
        editor.replace(node, replace(node, inputs=inputs))
    return editor.done()


def _repeated(editor: Editor, node: Node, name: str) -> str:
    """The constant ``name`` of ``node`` for every frame; of a dequantised one the integers are repeated."""
    graph = editor.graph
    dequantizer = graph.producer(name)
    source = dequantizer.inputs[0] if dequantizer else name
    first, ones = (
        editor.constant(f"{name}/{what}", np.array(value, np.int64))
        for what, value in (("first", [0]), ("ones", [1] * (len(graph.tensors[name].shape) - 1)))
    )
    one = editor.constant(f"{name}/one", np.array([1], np.int64))
    shape, frames, wanted, result = (editor.fresh(f"{name}/{what}") for what in ("shape", "frames", "wanted", "batch"))
    nodes = [
        editor.node("Shape", shape, graph.inputs[:1], shape),
        editor.node("Slice", frames, (shape, first, one), frames),
        editor.node("Concat", wanted, (frames, ones), wanted, axis=0),
        editor.node("Expand", result, (source, wanted), result),
    ]
    if dequantizer:
        source, result = result, editor.fresh(f"{name}/real")
        nodes.append(replace(dequantizer, name=result, inputs=(source, *dequantizer.inputs[1:]), outputs=(result,)))
    editor.replace(node, *nodes, node)
    return result
