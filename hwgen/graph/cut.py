"""Where a model is cut: what the network computes, and the tail that is left to the host.

Decoding of boxes, non-maximum suppression, sorting and the like come behind the last layer that is worth hardware. They
stay what they are, ONNX operators, and work on the network's results. The cut is moved forward to where numbers are
cleanest: to the results of the last layers, before any reshaping and element-wise arithmetic that only the tail reads.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hwgen.graph.semantics.kinds import Kind
from hwgen.graph.semantics.operators import ARITHMETIC, CLIPS, ELEMENTWISE, LAYOUT, OPERATORS, PRODUCTS, of_kind

from .errors import InputError, near
from .ir import Graph, Node, live_nodes
from .weights import find_weight

#: Left to the host where no layer follows.
HOST = frozenset(name for name, operator in OPERATORS.items() if operator.host)
_LAYERS = PRODUCTS | of_kind(Kind.AFFINE) | {"FusedConv", "ConvInteger", "MatMulInteger"}  # as files have them
_QUANTISED_LAYERS = ("QLinear", "Quant", "BipolarQuant", "Trunc", "QGemm")
_LAYOUT = LAYOUT | of_kind(Kind.JOIN, Kind.META, Kind.MOVE) | {"Identity", "Range", "Tile"}


@dataclass(frozen=True)
class Cut:
    """``outputs`` are the tensors that the network gives, ``tail`` the nodes behind them (in order) that make
    ``results`` of the model; ``missing`` maps those results that they do not suffice for to what is missing."""

    outputs: tuple[str, ...]
    tail: tuple[Node, ...] = ()
    results: tuple[str, ...] = ()
    missing: tuple[tuple[str, str], ...] = ()


class Wires:
    """Who writes and who reads what, of nodes in topological order."""

    def __init__(self, nodes: Sequence[Node], inputs: Iterable[str]):
        self.nodes = tuple(nodes)
        self.inputs = frozenset(inputs)
        self.makers = {name: node for node in self.nodes for name in node.outputs if name}
        self.dynamic = set(self.inputs)
        self.readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            if any(name in self.dynamic for name in node.inputs):
                self.dynamic.update(name for name in node.outputs if name)
            for name in node.inputs:
                self.readers.setdefault(name, []).append(node)

    def maker_name(self, tensor: str) -> str | None:
        """The node that writes ``tensor``; None for inputs and constants."""
        return self.makers[tensor].name if tensor in self.makers else None

    def behind(self, names: Iterable[str] = (), tensors: Iterable[str] = ()) -> set[str]:
        """The nodes ``names`` and all that work on their results or on ``tensors``, by name."""
        found, tensors = set(names), set(tensors)
        for node in self.nodes:
            if node.name in found or not tensors.isdisjoint(node.inputs):
                found.add(node.name)
                tensors.update(node.outputs)
        return found

    def before(self, tensors: Iterable[str], stop: Iterable[str] = ()) -> tuple[Node, ...]:
        """The nodes that ``tensors`` are made by, not beyond the tensors of ``stop``."""
        return live_nodes(self.nodes, tensors, stop)


def cut_before(wires: Wires, outputs: Sequence[str], host: Iterable[str]) -> Cut | None:
    """The cut that leaves the nodes ``host`` and all behind them to the host.

    None where a layer is among those, or nothing stays.
    """
    tail = wires.behind(host)
    if any(node.name in tail and _is_layer(wires, node) for node in wires.nodes):
        return None
    for node in reversed(wires.nodes):
        if node.name not in tail and _joins(wires, node, tail):
            tail.add(node.name)
    nodes = tuple(node for node in wires.nodes if node.name in tail)
    made = {name for node in nodes for name in node.outputs}
    given = (name for node in nodes for name in node.inputs if name in wires.dynamic - made - wires.inputs)
    kept = dict.fromkeys((*(name for name in outputs if name not in made), *given))
    results = tuple(name for name in outputs if name in made)
    if not kept:
        return None
    return Cut(tuple(kept), _with_constants(wires, nodes), results)


def cut_at(wires: Wires, outputs: Sequence[str], chosen: Sequence[str]) -> Cut:
    """The cut at the tensors ``chosen``. Raises InputError for names that the model does not compute."""
    known = [name for node in wires.nodes for name in node.outputs if name in wires.dynamic]
    problems = [_unknown(name, known) for name in chosen if name not in known]
    if problems:
        raise InputError(*problems)
    chosen = tuple(dict.fromkeys(chosen))
    results, missing = [], []
    for output in outputs:
        if output in chosen:
            continue
        lacks = _lacks(wires, output, chosen)
        if lacks is None:
            results.append(output)
        else:
            missing.append((output, lacks))
    return Cut(chosen, wires.before(results, chosen), tuple(results), tuple(missing))


def _lacks(wires: Wires, output: str, chosen: Sequence[str]) -> str | None:
    """What ``output`` needs beside ``chosen``, itself if they do not lead to it; None where they suffice."""
    nodes = wires.before([output], chosen)
    if all(wires.inputs.isdisjoint(node.inputs) for node in nodes):
        return None
    fed = wires.behind(tensors=chosen)
    read = (name for node in nodes if node.name in fed for name in node.inputs if name in wires.dynamic)
    return next((name for name in read if name not in chosen and wires.maker_name(name) not in fed), output)


def _unknown(name: str, known: Sequence[str]) -> str:
    return f"--outputs {name}: the model computes no tensor of this name; near are {near(name, reversed(known))}"


def _is_layer(wires: Wires, node: Node) -> bool:
    """Whether it multiplies by weights: such belong into hardware."""
    if node.op.startswith(_QUANTISED_LAYERS):
        return any(name in wires.dynamic for name in node.inputs)
    constant = len(node.inputs) > 1 and node.inputs[1] not in wires.dynamic
    return node.op in _LAYERS and constant


def _joins(wires: Wires, node: Node, tail: set[str]) -> bool:
    """Whether only the tail reads what ``node`` gives, and it is no layer nor part of one."""
    readers = [reader for name in node.outputs for reader in wires.readers.get(name, ())]
    if not readers or any(reader.name not in tail for reader in readers):
        return False
    sources = [name for name in node.inputs if name in wires.dynamic]
    if not sources or not (node.op in _LAYOUT or (node.op in ELEMENTWISE and node.op not in CLIPS)):
        return False
    if len(sources) > 1 or node.op not in ARITHMETIC:
        return True
    maker = wires.makers.get(sources[0])
    return maker is None or not _is_layer(wires, maker)  # else it adds the bias


def _with_constants(wires: Wires, nodes: Sequence[Node]) -> tuple[Node, ...]:
    """``nodes`` and those that compute constants for them, in order."""
    names = {node.name for node in nodes}
    read = [name for node in nodes for name in node.inputs if name not in wires.dynamic]
    names.update(node.name for node in wires.before(read))
    return tuple(node for node in wires.nodes if node.name in names)


# In the imported graph


def loose_ends(graph: Graph) -> frozenset[str]:
    """The nodes that no layer and no QuantizeLinear follows, nor are they one."""
    wires = Wires(graph.nodes, graph.inputs)
    needed = wires.before(name for node in graph.nodes if _anchors(graph, wires, node) for name in node.outputs)
    return frozenset(node.name for node in graph.nodes) - {node.name for node in needed}


def host_nodes(graph: Graph) -> frozenset[str]:
    """The loose ends that are better left to the host: see :data:`HOST`."""
    loose = loose_ends(graph)
    return frozenset(node.name for node in graph.nodes if node.op in HOST and node.name in loose)


def _anchors(graph: Graph, wires: Wires, node: Node) -> bool:
    if node.op == "QuantizeLinear":
        return node.inputs[0] in wires.dynamic
    return _has_weights(graph, node)


def weighted_layers(graph: Graph) -> int:
    """How many layers with weights the graph becomes, whatever else there is between them."""
    return sum(_has_weights(graph, node) for node in graph.nodes)


def _has_weights(graph: Graph, node: Node) -> bool:
    return node.op in PRODUCTS and len(node.inputs) > 1 and find_weight(graph, node.inputs[1]) is not None
