"""Edits a graph: passes, quantiser and tests say what changes, the rest follows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from hwgen.graph.semantics.infer import infer_shapes
from hwgen.graph.semantics.operators import OPERATORS

from .ir import Graph, Node, fresh, live_nodes, without_absent
from .weights import Weight

Rule = Callable[["Editor", Node], Sequence[Node]]


class Editor:
    """A graph under change, whose shapes are inferred. ``done()`` returns the new graph, without what nobody reads any
    more."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.nodes = list(graph.nodes)
        self.constants = dict(graph.constants)
        self.outputs = graph.outputs
        self.head = graph.head
        self.results = graph.results
        self.names = set(graph.tensors) | {node.name for node in graph.nodes}

    def fresh(self, wanted: str) -> str:
        """A name for a tensor and node that nothing has yet."""
        return fresh(wanted, self.names)

    def constant(self, wanted: str, value: np.ndarray) -> str:
        """The name, as near to ``wanted`` as is free, of a new constant."""
        name = self.fresh(wanted)
        self.constants[name] = value
        return name

    def node(self, op: str, name: str, inputs: Iterable[str], output: str, **attributes) -> Node:
        """A node with complete attributes, not yet in the graph."""
        return Node(name, op, without_absent(inputs), (output,), OPERATORS[op].defaults | attributes)

    def weight(self, weight: Weight, wanted: str) -> tuple[str, tuple[Node, ...]]:
        """Name of a tensor that holds ``weight``, and the nodes to put before its reader."""
        name = self.fresh(wanted)
        if weight.scale is None:
            self.constants[name] = weight.values
            return name, ()
        parts = {f"{name}_quantized": weight.values, f"{name}_scale": weight.scale}
        if weight.zero_point is not None:
            parts[f"{name}_zero_point"] = weight.zero_point
        self.constants |= parts
        attributes = {"axis": weight.axis, "limits": weight.limits}
        return name, (self.node("DequantizeLinear", f"{name}_dequantize", parts, name, **attributes),)

    def layer(self, node: Node, weight: Weight | None, bias: Weight | None) -> tuple[Node, ...]:
        """``node`` with these constants behind those that hold them; its own weight where none is given."""
        names = list(node.inputs[:1] if weight else node.inputs[:2])
        before: list[Node] = []
        for what, operand in (("weight", weight), ("bias", bias)):
            if operand is not None:
                name, nodes = self.weight(operand, f"{node.name}/{what}")
                names.append(name)
                before += nodes
        return (*before, replace(node, inputs=tuple(names)))

    def current(self, node: Node) -> Node:
        """What changes until now have made of ``node``."""
        return next(each for each in self.nodes if each.name == node.name)

    def replace(self, old: Node, *new: Node) -> None:
        """Put ``new`` where ``old`` stands, or what has been made of it."""
        index = next(i for i, node in enumerate(self.nodes) if node.name == old.name)
        self.nodes[index : index + 1] = new

    def drop(self, node: Node) -> None:
        """Take ``node`` out: whoever reads its first result reads its first operand."""
        current = self.current(node)
        self.replace(current)
        self.redirect(current.outputs[0], current.inputs[0])

    def redirect(self, old: str, new: str) -> None:
        """Whoever reads ``old`` reads ``new`` from now on, the graph's outputs included."""
        for index, node in enumerate(self.nodes):
            if old in node.inputs:
                inputs = tuple(new if name == old else name for name in node.inputs)
                self.nodes[index] = replace(node, inputs=inputs)
        self.outputs = tuple(new if name == old else name for name in self.outputs)

    def insert_after(self, tensor: str, *new: Node) -> None:
        """Put ``new`` right behind the node that writes ``tensor``; at the front for an input."""
        index = next((i for i, node in enumerate(self.nodes) if tensor in node.outputs), -1)
        self.nodes[index + 1 : index + 1] = new

    def done(self) -> Graph:
        """The new graph, its shapes inferred, without nodes and constants that nothing reads."""
        nodes = live_nodes(self.nodes, self.outputs)
        read = {name for node in nodes for name in node.inputs} | set(self.outputs)
        constants = {name: value for name, value in self.constants.items() if name in read}
        if self._as_before(nodes, constants):
            return self.graph  # most passes find nothing to do in most graphs
        ends = replace(self.graph, outputs=self.outputs, head=self.head, results=self.results)
        return infer_shapes(replace(ends, nodes=nodes, constants=constants))

    def _as_before(self, nodes: Sequence[Node], constants: Mapping[str, np.ndarray]) -> bool:
        """Whether the graph would have the very nodes and constants that it had, and the same ends."""
        before = self.graph
        return (
            (self.outputs, self.results) == (before.outputs, before.results)
            and _same(self.head, before.head)
            and _same(nodes, before.nodes)
            and constants.keys() == before.constants.keys()
            and all(value is before.constants[name] for name, value in constants.items())
        )


def _same(now: Sequence[Node], before: Sequence[Node]) -> bool:
    """Whether the nodes are the very same."""
    return len(now) == len(before) and all(a is b for a, b in zip(now, before, strict=True))


def rewritten(graph: Graph, rules: Mapping[str, Rule]) -> Graph:
    """``graph`` with what the rule for its operator puts in place of each node; nothing leaves it as it is."""
    editor = Editor(graph)
    for node in graph.nodes:
        if (rule := rules.get(node.op)) and (new := rule(editor, node)):
            editor.replace(node, *new)
    return editor.done()
