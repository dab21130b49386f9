"""The tail that turns scores into an answer stays on the host."""

import math

from ..editor import Editor
from ..ir import Graph, Node

HEADS = ("Softmax", "LogSoftmax", "ArgMax")
_CARRIERS = ("QuantizeLinear", "DequantizeLinear", "Reshape", "Flatten", "Squeeze", "Unsqueeze")


def strip_head(graph: Graph) -> Graph:
    """Cut Softmax and ArgMax over all scores off the end, with the quantisation and reshaping after them.

    They keep order or only read it, so hardware need not compute them; ``Graph.head`` remembers them.
    """
    while (node := _head(graph)) is not None:
        index = graph.nodes.index(node)
        editor = Editor(graph)
        editor.outputs = node.inputs[:1]
        editor.head = tuple(n for n in graph.nodes[index:] if n.op in HEADS) + graph.head
        graph = editor.done()
    return graph


def _head(graph: Graph) -> Node | None:
    """The operator of HEADS that the only output comes from, through nodes that merely carry values."""
    if len(graph.outputs) != 1:
        return None
    node = graph.producer(graph.outputs[0])
    while node is not None and node.op in _CARRIERS:
        node = graph.producer(node.inputs[0])
    if node is None or node.op not in HEADS:
        return None
    shape = graph.tensors[node.inputs[0]].shape
    return node if shape[node.attributes["axis"]] == math.prod(shape) else None
