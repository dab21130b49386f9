"""Transposes move down the graph until they meet their inverse: channels-last graphs become channels-first ones.

Exporters from channels-last frameworks wrap each convolution into two Transposes. What stands between two
convolutions works on any order of dimensions, so the pairs cancel.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from hwgen.graph.semantics.kinds import Kind
from hwgen.graph.semantics.operators import ELEMENTWISE, QUANTIZERS, of_kind
from hwgen.graph.semantics.shapes_layout import pad_widths

from ..editor import Editor
from ..ir import Graph, Node

Perm = tuple[int, ...]


def cancel_transposes(graph: Graph) -> Graph:
    """``graph`` with its Transposes moved down, unless that makes more of them."""
    if not any(node.op == "Transpose" for node in graph.nodes):
        return graph
    moved = _Sinking(graph).run()
    return moved if _count(moved) <= _count(graph) else graph


def _count(graph: Graph) -> int:
    return sum(node.op == "Transpose" for node in graph.nodes)


class _Sinking:
    """One walk over the graph. ``lazy`` maps a tensor to (base, perm): it is the base, transposed, if need be."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.editor = Editor(graph)
        self.lazy: dict[str, tuple[str, Perm]] = {}
        self.made: set[str] = set()
        self.nodes: list[Node] = []

    def run(self) -> Graph:
        for node in self.graph.nodes:
            if node.op == "Transpose":
                self.compose(node)
            elif not self.move(node):
                inputs = tuple(self.materialize(name) for name in node.inputs)
                self.nodes.append(replace(node, inputs=inputs))
        self.editor.outputs = tuple(self.materialize(name) for name in self.graph.outputs)
        self.editor.nodes = self.nodes
        return self.editor.done()

    def rank(self, name: str) -> int:
        return len(self.graph.tensors[name].shape)

    def compose(self, node: Node) -> None:
        source = node.inputs[0]
        perm = node.attributes["perm"] or tuple(reversed(range(self.rank(source))))
        base, before = self.lazy.get(source, (source, tuple(range(self.rank(source)))))
        self.lazy[node.outputs[0]] = base, tuple(before[axis] for axis in perm)

    def materialize(self, name: str) -> str:
        """A tensor that holds the numbers of ``name``, made now if need be."""
        base, perm = self.lazy.get(name, (name, ()))
        if perm == tuple(range(len(perm))):
            return base
        if name not in self.made:
            self.made.add(name)
            node = self.editor.node("Transpose", self.editor.fresh(f"{name}/transpose"), (base,), name, perm=perm)
            self.nodes.append(node)
        return name

    def move(self, node: Node) -> bool:
        """Put ``node`` before the Transposes of its operands; False where it cannot be."""
        perms = {self.lazy[name][1] for name in node.inputs if name in self.lazy}
        if perms and all(perm == tuple(range(len(perm))) for perm in perms):
            return False  # there is nothing to move
        mover = _MOVERS.get(node.op)
        if len(perms) != 1 or mover is None or len(node.outputs) != 1:
            return False
        perm = perms.pop()
        moved = mover(self, node, perm)
        if moved is None:
            return False
        earlier, perm = moved
        output = self.editor.fresh(f"{node.outputs[0]}/moved")
        self.nodes.append(replace(earlier, outputs=(output,)))
        self.lazy[node.outputs[0]] = output, perm
        return True

    def bases(self, node: Node, perm: Perm, names: Sequence[str]) -> list[str] | None:
        """Operands before their Transposes; constants are transposed back. None where one is neither."""
        result = []
        for name in names:
            shape = self.graph.tensors[name].shape if name else ()
            if name in self.lazy:
                result.append(self.lazy[name][0])
            elif not name or int(np.prod(shape)) == 1:
                result.append(name)
            elif name in self.editor.constants:
                value = self.editor.constants[name]
                full = value.reshape((1,) * (len(perm) - value.ndim) + value.shape)
                result.append(self.editor.constant(f"{name}/moved", full.transpose(np.argsort(perm))))
            else:
                return None
        return result


Moved = tuple[Node, Perm] | None


def _elementwise(sinking: _Sinking, node: Node, perm: Perm) -> Moved:
    bases = sinking.bases(node, perm, node.inputs)
    return None if bases is None else (replace(node, inputs=tuple(bases)), perm)


def _quantization(sinking: _Sinking, node: Node, perm: Perm) -> Moved:
    earlier = replace(node, inputs=(sinking.lazy[node.inputs[0]][0], *node.inputs[1:]))
    if int(np.prod(sinking.graph.tensors[node.inputs[1]].shape)) == 1:
        return earlier, perm
    return _with(earlier, axis=perm[node.attributes["axis"]]), perm


def _axis(sinking: _Sinking, node: Node, perm: Perm) -> Moved:
    moved = _elementwise(sinking, node, perm)
    return moved and (_with(moved[0], axis=perm[node.attributes["axis"]]), perm)


def _with(node: Node, **attributes) -> Node:
    return replace(node, attributes={**node.attributes, **attributes})


def _slice(sinking: _Sinking, node: Node, perm: Perm) -> Moved:
    known = sinking.graph.known(node, 1, 2, 3, 4)
    if known is None:
        return None
    starts, _, axes, _ = known
    if starts is None:
        return None
    axes = np.arange(starts.size) if axes is None else axes.reshape(-1)
    moved = sinking.editor.constant(f"{node.name}/axes", np.array([perm[int(axis)] for axis in axes], np.int64))
    inputs = (sinking.lazy[node.inputs[0]][0], *node.inputs[1:3], moved, *node.inputs[4:])
    return replace(node, inputs=inputs), perm


def _pad(sinking: _Sinking, node: Node, perm: Perm) -> Moved:
    known = sinking.graph.known(node, 1, 3)
    if known is None or known[0] is None:
        return None
    widths = [(0, 0)] * len(perm)
    for axis, width in enumerate(pad_widths(len(perm), known[0], known[1])):
        widths[perm[axis]] = width
    pads = np.array(widths, np.int64).T.reshape(-1)
    inputs = (sinking.lazy[node.inputs[0]][0], sinking.editor.constant(f"{node.name}/pads", pads), *node.inputs[2:3])
    return replace(node, inputs=inputs), perm


def _resize(sinking: _Sinking, node: Node, perm: Perm) -> Moved:
    known = sinking.graph.known(node, 2, 3)
    if known is None:
        return None
    base = sinking.lazy[node.inputs[0]][0]
    axes = node.attributes["axes"]
    if axes is not None:
        return _with(replace(node, inputs=(base, *node.inputs[1:])), axes=tuple(perm[axis] for axis in axes)), perm
    names = [
        sinking.editor.constant(f"{node.name}/moved", value.reshape(-1)[np.argsort(perm)])
        if value is not None and value.size
        else ""
        for value in known
    ]
    while names and not names[-1]:
        names.pop()
    return replace(node, inputs=(base, "", *names)), perm


def _reduction(sinking: _Sinking, node: Node, perm: Perm) -> Moved:
    known = sinking.graph.known(node, 1)
    if known is None or known[0] is None or not known[0].size:
        return None
    axes = sorted({perm[int(axis)] for axis in known[0].reshape(-1)})
    name = sinking.editor.constant(f"{node.name}/axes", np.array(axes, np.int64))
    moved = replace(node, inputs=(sinking.lazy[node.inputs[0]][0], name))
    if node.attributes["keepdims"]:
        return moved, perm
    left = [axis for axis in perm if axis not in axes]
    return moved, tuple(sorted(left).index(axis) for axis in left)


_MOVERS: dict[str, Callable[[_Sinking, Node, Perm], Moved]] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(QUANTIZERS, _quantization),
    **dict.fromkeys(("Concat", "LogSoftmax"), _axis),
    **dict.fromkeys(of_kind(Kind.REDUCTION), _reduction),
    "Pad": _pad,
    "Resize": _resize,
    "Slice": _slice,
}
