"""The tail that turns scores into an answer stays on the host."""

import math

from hwgen.graph.semantics.operators import QUANTIZERS, RESHAPES, SCORES

from ..editor import Editor
from ..ir import Graph, Node

_CARRIERS = RESHAPES | QUANTIZERS | {"Cast"}


def strip_head(graph: Graph) -> Graph:
    """Cut Softmax, ArgMax and TopK over all scores off the end, with the quantisation and reshaping after them.

    They keep order or only read it, so hardware need not compute them; ``Graph.head`` remembers them. Where more was
    cut off already, they stay: what is behind reads them.
    """
    while graph.tail is None and (node := _head(graph)) is not None:
        index = graph.nodes.index(node)
        editor = Editor(graph)
        editor.outputs = editor.results = node.inputs[:1]
        editor.head = tuple(n for n in graph.nodes[index:] if n.op in SCORES) + graph.head
        graph = editor.done()
    return graph


def _head(graph: Graph) -> Node | None:
    """The operator of SCORES that all outputs come from, through nodes that merely carry values."""
    heads = {node.name: node for node in (_carried(graph, name) for name in graph.outputs) if node}
    if len(heads) != 1 or any(_carried(graph, name) is None for name in graph.outputs):
        return None
    (node,) = heads.values()
    shape = graph.tensors[node.inputs[0]].shape
    return node if shape[node.attributes["axis"]] == math.prod(shape) else None


def _carried(graph: Graph, tensor: str) -> Node | None:
    """The operator of SCORES that ``tensor`` shows the result of; None where it is another one's."""
    node = graph.producer(tensor)
    while node is not None and node.op in _CARRIERS:
        node = graph.producer(node.inputs[0])
    return node if node is not None and node.op in SCORES else None
