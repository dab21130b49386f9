"""Frames stay apart: what a model folds into the batch of its one frame gets a batch of its own in front.

Channel shuffles are often written as a Reshape from [1, C, H, W] to [C / 2, 2, H * W]. In between the first dimension
is no batch any more; with one in front of it, [1, C / 2, 2, H * W], every frame is still by itself. So it is where a
Squeeze of everything drops the batch: [C] stays [1, C], to the model's results.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hwgen.graph.semantics.kinds import Kind
from hwgen.graph.semantics.operators import ELEMENTWISE, QUANTIZERS, RESHAPES, of_kind

from ..editor import Editor
from ..ir import Graph, Node

#: What the same tensor with a batch in front is called behind its name.
SUFFIX = "/apart"


def keep_frames_apart(graph: Graph) -> Graph:
    """``graph`` with a batch in front of everything that has none, as far as it can be followed; else unchanged."""
    folded = any(graph.tensors[name].shape[:1] != (1,) for node in graph.following() for name in node.outputs)
    return _Apart(graph).run() if folded else graph


class _Apart:
    """One walk; ``apart`` maps a tensor to the same with a batch in front."""

    def __init__(self, graph: Graph):
        self.graph, self.editor = graph, Editor(graph)
        self.dynamic = set(graph.inputs).union(*(node.outputs for node in graph.following()))
        self.apart: dict[str, str] = {}
        self.nodes: list[Node] = []

    def run(self) -> Graph:
        for node in self.graph.nodes:
            folds = any(name in self.apart for name in node.inputs) or self.shape(node.outputs[0])[:1] != (1,)
            if node.outputs[0] not in self.dynamic or not folds:
                self.nodes.append(node)
            elif not self.move(node):
                return self.graph
        self.editor.nodes = self.nodes
        self.editor.outputs = tuple(self.apart.get(name, name) for name in self.graph.outputs)
        return self.editor.done()

    def shape(self, name: str) -> tuple[int, ...]:
        return self.graph.tensors[name].shape

    def move(self, node: Node) -> bool:
        """Add ``node`` with a batch in front of its operands; False where that is not known."""
        if len(node.outputs) > 1:
            return False
        shape = self.shape(node.outputs[0])
        if node.op in RESHAPES:
            self.reshaped(node.name, self.apart.get(node.inputs[0], node.inputs[0]), node.outputs[0])
            return True
        mover = _MOVERS.get(node.op) or (_same if node.op in ELEMENTWISE else None)
        attributes = mover(self, node) if mover else None
        if attributes is None:
            return False
        inputs = tuple(self.lifted(name) if name in self.dynamic else name for name in node.inputs)
        if node.op == "Slice":
            inputs = (inputs[0], *inputs[1:3], self.axes_behind(node), *inputs[4:])
        moved = self.editor.fresh(node.outputs[0] + SUFFIX)
        self.nodes.append(replace(node, inputs=inputs, outputs=(moved,), attributes=attributes))
        if shape[:1] == (1,):
            self.reshaped(self.editor.fresh(f"{node.name}/frames"), moved, node.outputs[0])
        else:
            self.apart[node.outputs[0]] = moved
        return True

    def reshaped(self, name: str, source: str, result: str) -> None:
        """``source`` in the shape of ``result``, which is that tensor where it begins with a batch."""
        shape = self.shape(result)
        target = shape[1:] if shape[:1] == (1,) else shape
        if shape[:1] != (1,):
            self.apart[result] = result = self.editor.fresh(result + SUFFIX)
        sizes = self.editor.constant(f"{name}/sizes", np.array([0, *target], np.int64))
        self.nodes.append(self.editor.node("Reshape", name, (source, sizes), result))

    def axes_behind(self, node: Node) -> str:
        """The axes of a Slice, one further on."""
        rank, starts = len(self.shape(node.inputs[0])), self.graph.constants[node.inputs[1]]
        axes = self.graph.constants.get(node.input(3))
        axes = np.arange(starts.size) if axes is None else axes.reshape(-1) % rank
        return self.editor.constant(f"{node.name}/axes", (axes + 1).astype(np.int64))

    def lifted(self, name: str) -> str:
        """``name`` with a batch in front of all its dimensions."""
        if name not in self.apart:
            self.apart[name] = result = self.editor.fresh(name + SUFFIX)
            sizes = self.editor.constant(f"{result}/sizes", np.array([0, *self.shape(name)], np.int64))
            self.nodes.append(self.editor.node("Reshape", result, (name, sizes), result))
        return self.apart[name]


Attributes = dict | None


def _same(apart: _Apart, node: Node) -> Attributes:
    """Constants align with the last dimensions, before which nothing changes; of several streams all must be alike."""
    ranks = {len(apart.shape(name)) for name in node.inputs if name in apart.dynamic}
    constants = [apart.shape(name) for name in node.inputs if name and name not in apart.dynamic]
    behind = all(len(shape) - (shape[:1] == (1,)) <= min(ranks) for shape in constants)
    return dict(node.attributes) if len(ranks) == 1 and behind else None


def _matmul(apart: _Apart, node: Node) -> Attributes:
    """A vector without its batch is a row of a matrix; elsewhere as in ``_same``."""
    left, right = (len(apart.shape(name)) for name in node.inputs)
    if left == 1 and node.inputs[0] in apart.dynamic:
        return {} if right == 2 and node.inputs[1] not in apart.dynamic else None
    return _same(apart, node) if min(left, right) > 1 else None


def _quantization(apart: _Apart, node: Node) -> Attributes:
    return dict(node.attributes) if np.prod(apart.shape(node.inputs[1])) == 1 else None


def _transpose(apart: _Apart, node: Node) -> Attributes:
    perm = node.attributes["perm"] or tuple(reversed(range(len(apart.shape(node.inputs[0])))))
    return {"perm": (0, *(axis + 1 for axis in perm))}


def _axis(apart: _Apart, node: Node) -> Attributes:
    """Of one stream, or of streams alone."""
    if node.op == "Concat" and not apart.dynamic.issuperset(node.inputs):
        return None
    if node.op == "Gather" and node.inputs[1] in apart.dynamic:
        return None
    rank = len(apart.shape(node.inputs[0]))
    return {**node.attributes, "axis": node.attributes["axis"] % rank + 1}


def _slice(apart: _Apart, node: Node) -> Attributes:
    return dict(node.attributes) if apart.graph.known(node, 1, 2, 3, 4) else None


_MOVERS: dict[str, Callable[[_Apart, Node], Attributes]] = {
    **dict.fromkeys(QUANTIZERS, _quantization),
    **dict.fromkeys(of_kind(Kind.JOIN, Kind.SOFTMAX) | {"Gather"}, _axis),
    "MatMul": _matmul,
    "Slice": _slice,
    "Transpose": _transpose,
}
