"""Where a graph needs QuantizeLinear and DequantizeLinear, and which tensors share one quantisation."""

from collections.abc import Iterable

from hwgen.graph.errors import ModelError
from hwgen.graph.ir import Graph, Node
from hwgen.graph.lower.site import affine
from hwgen.graph.semantics.kinds import Kind
from hwgen.graph.semantics.operators import CLIPS, ELEMENTWISE, LAYERS, LAYOUT, MAXIMA, MOVES, of_kind
from hwgen.graph.types import Quantization
from hwgen.graph.weights import find_weight

_KEEPING = MAXIMA | MOVES
_RESIZES = of_kind(Kind.RESIZE)


def keeps(graph: Graph, node: Node) -> bool:
    """Whether the results are elements of the first operand, unchanged, and zeros."""
    if node.op == "Pad":
        value = graph.constants.get(node.input(2))
        return node.attributes["mode"] != "constant" or value is None or not value.any()
    return node.op in _KEEPING or (node.op in _RESIZES and node.attributes["mode"] == "nearest")


def existing(graph: Graph, name: str) -> Quantization | None:
    """The quantisation of a tensor made of dequantised integers only, unchanged; None for any other.

    Raises ModelError where the integers have no one constant scale.
    """
    node = graph.producer(name)
    if node is None:
        return None
    if node.op == "DequantizeLinear":
        return _dequantizer(graph, node)
    if keeps(graph, node):
        return existing(graph, node.inputs[0])
    if node.op == "Concat":
        kinds = {existing(graph, operand) for operand in node.inputs}
        return kinds.pop() if len(kinds) == 1 else None
    return None


def _dequantizer(graph: Graph, node: Node) -> Quantization:
    found = affine(graph, node, node.inputs[0])
    if found is None:
        raise ModelError(
            f"{node.place}: scale and zero point of an activation must be constants of one value; "
            f"quantise activations per tensor"
        )
    return found


class QuantizationPoints:
    """Which float activations of one graph are quantised, which need a pair, and which of those share one.

    What is quantised already stays as it is: no pair comes between a DequantizeLinear and a QuantizeLinear unless an
    operator in between needs one, and a layer with integer input whose sums are the model's result keeps them.
    """

    def __init__(self, graph: Graph):
        self.graph = graph
        self.weights = {node.outputs[0] for node in graph.nodes if find_weight(graph, node.outputs[0])}
        self.bases = self._bases()
        self.known: dict[str, bool] = {}  # what _settled found
        names = [*graph.inputs, *(name for node in graph.nodes for name in node.outputs if name)]
        #: The tensors that need a pair, in topological order.
        self.names: tuple[str, ...] = tuple(name for name in names if self._needs_pair(name))
        #: For each of them the tensor whose range is theirs.
        self.owners: dict[str, str] = self._owners()

    # Pairs

    def _needs_pair(self, name: str) -> bool:
        graph, producer, consumers = self.graph, self.graph.producer(name), self.graph.consumers(name)
        if name in self.weights or graph.tensors[name].dtype.kind != "f":
            return False
        if name in graph.inputs and all(node.op in LAYOUT for node in consumers):
            return False  # the host delivers frames in the order that comes out of it
        if existing(graph, name) is not None or self._settled(name):
            return False
        if name in graph.outputs:
            return True
        return not self._inside(name) and not (producer and self._clipped_next(producer))

    def _clipped_next(self, node: Node) -> bool:
        """Whether a Relu or Clip alone reads what ``node`` computes, and so becomes part of it."""
        consumers = self.graph.consumers(node.outputs[0])
        alone = len(consumers) == 1 and consumers[0].op in CLIPS and node.outputs[0] not in self.graph.outputs
        return alone and node.op != "DequantizeLinear" and not keeps(self.graph, node)

    def _settled(self, name: str) -> bool:
        """Whether all that is done with it is quantised by the model itself, or is its result in real numbers."""
        if name not in self.known:
            result, readers = name in self.graph.outputs, self.graph.consumers(name)
            used = (not result or self._is_tail(name)) and (result or bool(readers))
            self.known[name] = used and all(self._ends(node) for node in readers)
        return self.known[name]

    def _ends(self, node: Node) -> bool:
        if node.op == "QuantizeLinear":
            return True
        if node.op in MAXIMA or node.op == "Concat":  # quantising may go before them, arithmetic may not
            readers = self.graph.consumers(node.outputs[0])
            return bool(readers) and all(reader.op == "QuantizeLinear" for reader in readers)
        if node.op not in ELEMENTWISE and not keeps(self.graph, node):
            return False
        return all(self._settled(name) for name in node.outputs if name)

    def _is_tail(self, name: str) -> bool:
        """Whether a result of the model is computed from integers, and stays in real numbers."""
        for leaf in self._leaves(name):
            node = self.graph.producer(leaf)
            linear = node is not None and node.op in LAYERS and existing(self.graph, node.inputs[0]) is not None
            if not linear and existing(self.graph, leaf) is None:
                return False
        return True

    def _leaves(self, name: str) -> set[str]:
        """What ``name`` is computed from element by element."""
        found, open_names = set(), [name]
        while open_names:
            name = open_names.pop()
            node = self.graph.producer(name)
            if node and node.op in ELEMENTWISE:
                open_names += self._streams(node)
            elif node and node.op in LAYOUT:
                open_names.append(node.inputs[0])
            else:
                found.add(name)
        return found

    def _streams(self, node: Node) -> list[str]:
        """The operands that are not constant."""
        return [n for n in node.inputs if n and n not in self.graph.constants and n not in self.weights]

    # Functions of one stream

    def _bases(self) -> dict[str, str]:
        """For each tensor the stream that it is a function of, element by element; itself where there is no such."""
        bases: dict[str, str] = {}
        for node in self.graph.nodes:
            sources = {bases.get(name, name) for name in self._streams(node)}
            if node.op not in ELEMENTWISE or len(sources) != 1 or self._absorbed(node, sources):
                sources = set(node.outputs[:1])
            bases[node.outputs[0]] = sources.pop()
        return bases

    def _absorbed(self, node: Node, sources: set[str]) -> bool:
        """Whether it is the Relu or Clip of what is no function of one stream itself."""
        maker = self.graph.producer(node.inputs[0])
        first = node.op in CLIPS and node.inputs[0] in sources
        return first and maker is not None and self._clipped_next(maker)

    def _inside(self, name: str) -> bool:
        """Whether it is a step within a function of one stream, which becomes one table."""
        base = self.bases.get(name, name)
        readers = self.graph.consumers(name)
        return base != name and bool(readers) and all(self.bases[node.outputs[0]] == base for node in readers)

    # Sharing

    def _owners(self) -> dict[str, str]:
        """Picked elements have the quantisation of what they are picked from.

        Operands of a Concat have that of its result, where nobody else reads them: they would be rounded to it anyway.
        """
        owners = {name: name for name in self.names}
        for name in self.names:
            node = self.graph.producer(name)
            if node and keeps(self.graph, node) and node.inputs[0] in owners:
                owners[name] = owners[node.inputs[0]]
            if node and node.op == "Concat":
                for group in {owners[operand] for operand in node.inputs if operand in owners}:
                    members = [member for member, owner in owners.items() if owner == group]
                    if self._only_reader(members, node):
                        owners |= dict.fromkeys(members, name)
        return owners

    def _only_reader(self, members: Iterable[str], concat: Node) -> bool:
        """Whether what ``members`` hold goes nowhere but to ``concat``."""
        inside = set(members)
        if inside.intersection(self.graph.outputs) or inside.intersection(self.graph.inputs):
            return False
        readers = [node for member in inside for node in self.graph.consumers(member)]
        return all(node is concat or inside.issuperset(node.outputs) for node in readers)
