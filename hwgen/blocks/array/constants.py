"""Dot products by weights that never change: each product is an activation shifted, or one of its multiples, and all of
them are added up by adders in LUTs. There is one word of weights, which is in no memory."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hwgen.blocks.arith.arithmetic import delay
from hwgen.blocks.array.array import ArrayComponent, DotArray
from hwgen.blocks.array.multiples import multiples, odd_part
from hwgen.blocks.array.multiplier import IN_LUTS, Multiplier
from hwgen.blocks.stream import element_shape
from hwgen.cost.logic import SHORTEST_CHAIN, Logic, adder, delayed, total
from hwgen.cost.needs import Products
from hwgen.graph.types import IntType
from hwgen.hdl.elements import Element
from hwgen.memory.weights import WeightSource


@dataclass(frozen=True)
class Node:
    """A number in the hardware, from ``low`` to ``high``: node ``first``, plus or ``minus`` node ``second`` times
    ``2^shift``, or the first alone; or where there is none that ``element`` of the activations. It is ``held`` in a
    register or not.
    """

    low: int
    high: int
    first: int | None = None
    second: int | None = None
    shift: int = 0
    minus: bool = False
    element: int = 0
    held: bool = False

    @property
    def type(self) -> IntType:
        """What holds it."""
        return IntType.holding(self.low, self.high)

    @property
    def summands(self) -> tuple[int, ...]:
        """The two that it is made of; empty where there is at most one."""
        return () if self.first is None or self.second is None else (self.first, self.second)

    @property
    def early(self) -> bool:
        """Whether it is an activation, or one of its multiples."""
        return self.first is None or not self.held


@dataclass(frozen=True)
class Term:
    """``2^shift`` times a node, or minus that."""

    node: int
    shift: int
    negative: bool


class Sums:
    """The nodes that make ``W^T x`` of activations ``x`` [portion] of type ``x`` and ``weights`` W int [portion,
    outputs], each out of those before it; ``ends`` are the outputs, None for one whose weights are all 0, ``levels``
    how often pairs are added. Multiples are there a cycle after the activations, and each level is a cycle more.
    """

    def __init__(self, x: IntType, weights: np.ndarray):
        self.nodes: list[Node] = []
        self._alone: dict[int, int] = {}
        terms: list[list[Term]] = [[] for _ in range(weights.shape[1])]
        for element, row in enumerate(weights.tolist()):
            factors = self._multiples(x, element, frozenset(odd_part(weight)[0] for weight in row) - {0})
            for own, weight in zip(terms, row, strict=True):
                if weight:
                    odd, shift = odd_part(weight)
                    factor, node = factors[odd]
                    own.append(Term(self._waiting(node), shift, (weight < 0) != (factor < 0)))
        self.levels = max((max(map(len, terms), default=1) - 1).bit_length(), 0)
        self.ends = [self._added(own) if own else None for own in terms]

    def _add(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1

    def _multiples(self, x: IntType, element: int, wanted: frozenset[int]) -> dict[int, tuple[int, int]]:
        """Factor, with its sign, and node by odd factor."""
        if not wanted:
            return {}
        made = {1: (1, self._add(Node(x.min, x.max, element=element, held=True)))}
        for factor, low, high, shift, minus in multiples(wanted):
            ends = sorted((factor * x.min, factor * x.max))
            first, second = made[abs(low)][1], made[abs(high)][1]
            made[abs(factor)] = factor, self._add(Node(ends[0], ends[1], first, second, shift, minus))
        return made

    def _waiting(self, node: int) -> int:
        """The same number a cycle later, one node for all that wait for it."""
        if node not in self._alone:
            ends = self.nodes[node]
            self._alone[node] = self._add(Node(ends.low, ends.high, node, held=True))
        return self._alone[node]

    def _added(self, terms: Sequence[Term]) -> Term:
        """What their sum is after all levels. Those with the same shift are added first, which has the fewest bits."""
        terms = sorted(terms, key=lambda term: term.shift)
        for _ in range(self.levels):
            pairs = [terms[at : at + 2] for at in range(0, len(terms), 2)]
            terms = [self._pair(*pair) if len(pair) == 2 else self._later(pair[0]) for pair in pairs]
        return terms[0]

    def _later(self, term: Term) -> Term:
        return Term(self._waiting(term.node), term.shift, term.negative)

    def _pair(self, one: Term, other: Term) -> Term:
        """Their sum, of the sign of the one with the smaller shift; of two with the same shift of the positive one."""
        if one.shift == other.shift and one.negative:
            one, other = other, one
        shift, minus = other.shift - one.shift, one.negative != other.negative
        first, second = self.nodes[one.node], self.nodes[other.node]
        far = sorted((-1 if minus else 1) * end << shift for end in (second.low, second.high))
        low, high = first.low + far[0], first.high + far[1]
        node = self._add(Node(low, high, one.node, other.node, shift, minus, held=True))
        return Term(node, one.shift, one.negative)

    @property
    def logic(self) -> Logic:
        """Counted bits, but for what holds the outputs. Low bits that multiples have in common are held once."""
        adders = [self._adder(node, *node.summands) for node in self.nodes if node.summands]
        taken = sum(node.type.width for node in self.nodes if node.held and (node.first is None or node.summands))
        alike = {bit for node in self._alone if self.nodes[node].early for bit in self._bits(node)}
        return total([Logic(register=taken + len(alike)), *self._delays(), *adders])

    def _delays(self) -> Iterator[Logic]:
        """What waits longer than for a cycle, in chains of registers between those that something else reads."""
        readers = Counter(each for node in self.nodes for each in (node.first, node.second))
        readers.update(end.node for end in self.ends if end)
        length: dict[int, int] = {}
        for node, later in self._alone.items():
            if not self.nodes[node].early:
                length[later] = 1 + (length.pop(node, 0) if readers[node] == 1 else 0)
        return (delayed(self.nodes[node].type.width, cycles) for node, cycles in length.items())

    def _bits(self, number: int) -> list[tuple[int, int]]:
        """Where the bits of a multiple come from: node and place."""
        node = self.nodes[number]
        below = [] if node.first is None else self._bits(node.first)[: node.shift]
        return below + [(number, place) for place in range(len(below), node.type.width)]

    def _adder(self, node: Node, *summands: int) -> Logic:
        """Bits above the lower ones, which are the first's; those of one number alone, or behind the signs of both,
        only carry. Both of a multiple have the sign of the activation, which is that of their sum."""
        first, second = (self.nodes[each].type for each in summands)
        added, rest = node.type.width - node.shift, max(first.width - node.shift, first.signed)
        ends = [width for width, type_ in ((rest, first), (second.width, second)) if not type_.signed]
        both = min(ends, default=max(rest, second.width))
        if node.early and not (node.minus or ends) and added > both:
            added = both
        if added <= SHORTEST_CHAIN:
            return Logic(logic=added)
        return Logic(adder=min(both, added), carry=max(added - both, 0), odd=added % 2)


@lru_cache(256)
def _sums(x: IntType, portion: int, outputs: int, weights: bytes) -> Sums:
    return Sums(x, np.frombuffer(weights, np.int64).reshape(portion, outputs))


class ConstantArray(DotArray):
    """Adders in LUTs instead of multipliers, for weights of one word that are fixed."""

    @cached_property
    def groups(self) -> tuple[Sums, ...]:
        """What adds up each group that has weights of its own."""
        shape, (word,) = self.shape, self.values()
        rows = np.ascontiguousarray(word.transpose(0, 2, 1), np.int64)
        return tuple(_sums(shape.x, shape.portion, shape.outputs, row.tobytes()) for row in rows)

    @property
    def sources(self) -> tuple[WeightSource, ...]:
        return ()

    @property
    def levels(self) -> int:
        """How often pairs are added."""
        return max(group.levels for group in self.groups)

    @property
    def latency(self) -> int:
        """Activations held, multiples, levels, outputs held."""
        return self.levels + 3

    @property
    def hardware(self) -> tuple[Products, ...]:
        shape = self.shape
        return Multiplier(shape.x, shape.weight, IN_LUTS).hardware(shape.outputs, shape.parallel * shape.portion)

    @property
    def arithmetic(self) -> Logic:
        own = total(part for group in self.groups for part in (group.logic, *self._ends(group)))
        return self.shape.copies * own + Logic(register=self.latency - 1, logic=1)

    def _ends(self, group: Sums) -> list[Logic]:
        """What holds the outputs of a group, with the levels that others take more."""
        types = [(end, group.nodes[end.node].type.width) for end in group.ends if end]
        waits = self.levels - group.levels
        return [
            Logic(register=width * (1 + waits)) + (adder(width + 1) if end.negative else Logic())
            for end, width in types
        ]

    @property
    def problems(self) -> list[str]:
        depth = self.shape.depth
        return [f"array 'constant' is of one word of weights, not {depth}: all products at once"] if depth > 1 else []

    def component(self) -> "ConstantComponent":
        return ConstantComponent(self)


class ConstantComponent(ArrayComponent):
    """The hardware of a :class:`ConstantArray`."""

    array: ConstantArray

    def elaborate(self, platform):
        m, array, shape = Module(), self.array, self.array.shape
        for number, group in enumerate(array.groups * shape.copies):
            part = _Constants(shape.x, shape.portion, shape.sums, group, array.levels)
            m.submodules[f"group_{number}"] = part
            m.d.comb += [part.x[at].eq(self.x[number * shape.portion + at]) for at in range(shape.portion)]
            m.d.comb += [self.sums[number * shape.outputs + at].eq(part.o[at]) for at in range(shape.outputs)]
        m.d.comb += self.soon.eq(delay(m, self.strobe & self.last, array.latency - 1, "soon", reset_less=False))
        return m


class _Constants(Element):
    """The sums of ``group`` of activations of type ``x``, which come in a cycle; what is beside it has ``levels``."""

    def __init__(self, x: IntType, portion: int, sums: IntType, group: Sums, levels: int):
        self.group, self.waits = group, levels - group.levels
        self.key = x, portion, sums, tuple(group.nodes), tuple(group.ends), self.waits
        self.label = f"constants_{portion}x{len(group.ends)}_{x}"
        outputs = data.ArrayLayout(element_shape(sums), len(group.ends))
        super().__init__({"x": In(data.ArrayLayout(element_shape(x), portion)), "o": Out(outputs)})

    def inside(self, platform):
        m, nodes = Module(), list[Signal]()
        for number, node in enumerate(self.group.nodes):
            nodes.append(Signal(element_shape(node.type), name=f"node_{number}", reset_less=True))
            domain = m.d.sync if node.held else m.d.comb
            domain += nodes[-1].eq(self._value(node, nodes))
        for number, end in enumerate(self.group.ends):
            if end is not None:
                node = nodes[end.node]
                held = delay(m, -node if end.negative else node, 1 + self.waits, f"end_{number}")
                m.d.comb += self.o[number].eq(held << end.shift)
        return m

    def _value(self, node: Node, nodes: list[Signal]) -> Value:
        if node.first is None:
            return self.x[node.element]
        first = nodes[node.first]
        return first if node.second is None else _with(first, nodes[node.second], node)


def _with(first: Signal, second: Signal, node: Node) -> Value:
    """Both added up: only the upper bits of the first are added to."""
    missing = max(node.shift - len(first), 0)
    low = Cat(first, (first[-1] if first.shape().signed else Const(0, 1)).replicate(missing))[: node.shift]
    upper = first.shift_right(node.shift)
    upper = upper - second if node.minus else upper + second
    value = Cat(low, upper)
    return value.as_signed() if upper.shape().signed else value
