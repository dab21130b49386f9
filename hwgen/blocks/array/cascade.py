"""Dot products as cascades of DSP blocks, whose adders, registers and wires stand in the place of trees.

Two weights of a pair of outputs share a block with the activation that they share: its operand is
``w_0 + (w_1 << S)``, so a cascade gives ``sum(x * w_0) + (sum(x * w_1) << S)`` (AMD WP486). It starts from an offset
with which the lower lane is within 0 to ``2^S - 1`` whatever the activations, by the actual weights; so nothing is
borrowed from the upper lane, which is exact as it stands. The offset is taken off again where a sum starts. In memory
``w_1`` is less by one where ``w_0`` is negative: with the sign of ``w_0`` between them, that is the operand.

A step of a cascade comes ``skew`` cycles after the one before. Its weights are in a memory of their own, whose address
is as much later, so only activations wait in registers, once for all outputs.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hwgen.blocks.arith.arithmetic import AdderTree, delay
from hwgen.blocks.array.array import ArrayComponent, DotArray
from hwgen.blocks.array.multiplier import PAIR
from hwgen.blocks.array.slices import Slice, SliceKind
from hwgen.blocks.stream import element_shape
from hwgen.cost.logic import Logic, adder_register, adder_tree, delayed, index_bits, total
from hwgen.cost.needs import Products
from hwgen.graph.types import IntType
from hwgen.hdl.elements import Element
from hwgen.memory.weights import WeightSource


@dataclass(frozen=True)
class Operands:
    """How weights of a type, none below ``least``, lie in an operand of a block: ``lanes`` of them, the upper one from
    bit ``spacing`` on."""

    weight: IntType
    least: int
    lanes: int
    bits: int

    @property
    def upper(self) -> int:
        """Bits in memory of the upper weight, which may be less by one."""
        return 0 if self.lanes == 1 else IntType.holding(self.least - self.weight.signed, self.weight.max).width

    @property
    def spacing(self) -> int:
        """Bits of the lower lane; an operand is signed, and so has a bit above an upper weight that is not."""
        return self.bits - self.upper - (not self.weight.signed)

    @property
    def stored(self) -> int:
        """Bits of both in memory."""
        return self.weight.width + self.upper

    def packed(self, weights: np.ndarray) -> np.ndarray:
        """Weights int64 [..., lanes] as they are in memory, int64 [...]."""
        low = weights[..., 0] & ((1 << self.weight.width) - 1)
        if self.lanes == 1:
            return low
        return low | ((weights[..., 1] - (weights[..., 0] < 0)) << self.weight.width)

    def joined(self, word: Value) -> Value:
        """The operand of a ``word`` of memory."""
        low, high = word[: self.weight.width], word[self.weight.width : self.stored]
        if self.lanes == 1:
            return low.as_signed() if self.weight.signed else low
        sign, top = (low[-1], []) if self.weight.signed else (Const(0, 1), [Const(0, 1)])
        return Cat(low, sign.replicate(self.spacing - self.weight.width), high, *top).as_signed()


@dataclass(frozen=True)
class Cut:
    """``portion`` positions in ``chains`` that are as alike as can be, each in steps of two positions; where that does
    not divide, the first step has one, and a shorter chain starts later."""

    portion: int
    chains: int

    @property
    def ends(self) -> list[int]:
        """Where chains begin, and the end of the last."""
        return [self.portion * n // self.chains for n in range(self.chains + 1)]

    @property
    def steps(self) -> int:
        """Those of the longest chain."""
        return -(-self.portion // (2 * self.chains))

    def slices(self, chain: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """The steps of a chain: number and positions."""
        low, high = self.ends[chain : chain + 2]
        step = self.steps - -(-(high - low) // 2)
        while low < high:
            after = low + (2 if (high - low) % 2 == 0 else 1)
            yield step, tuple(range(low, after))
            step, low = step + 1, after

    @cached_property
    def positions(self) -> list[list[int]]:
        """The positions of each step, of all chains."""
        found: list[list[int]] = [[] for _ in range(self.steps)]
        for chain in range(self.chains):
            for step, some in self.slices(chain):
                found[step] += some
        return found


@dataclass(frozen=True)
class Lane:
    """What sets of outputs have in common: cascades for the positions of ``cut``, whose sums lie within ``low`` and
    ``high``, and are added up over ``steps`` cycles to ``sums``."""

    kind: SliceKind
    x: IntType
    operands: Operands
    cut: Cut
    low: int
    high: int
    steps: int
    sums: IntType

    @property
    def offset(self) -> int:
        """What a cascade starts from."""
        return -self.low if self.operands.lanes == 2 else 0

    @property
    def start(self) -> int:
        """What the sum of the lower lane starts from."""
        return -self.offset * self.cut.chains * self.steps

    @property
    def types(self) -> list[IntType]:
        """Types of the sums of a cascade: those of the lower lane, and of the upper one."""
        exact = IntType.holding(min(self.low, -1), self.high)
        if self.operands.lanes == 1:
            return [exact]
        return [IntType(self.operands.spacing, False), exact]

    @property
    def logic(self) -> Logic:
        """What it takes beside blocks."""
        width, parts = self.sums.width, []
        for type_, start in zip(self.types, (self.start, 0), strict=False):
            added = adder_register(width) if self.steps > 1 or start else Logic(register=width)
            parts += [adder_tree(type_.width, self.cut.chains), added, Logic(gated=width * (self.steps > 1))]
            parts.append(Logic(register=type_.width * self.cut.chains * self.kind.held))
        return total(parts)


class CascadeLane(Element):
    """Running dot products of ``x`` by the weights of an output, or of two, whose operands are ``words``: each as much
    later as its step says. ``first`` comes with the sum, a cycle before the end, and starts new totals."""

    def __init__(self, lane: Lane):
        self.lane = self.key = lane
        self.label = f"cascade_{lane.cut.portion}_{lane.x}_{lane.operands.weight}_{lane.sums}"
        words = data.ArrayLayout(unsigned(lane.operands.stored), lane.cut.portion)
        x = data.ArrayLayout(element_shape(lane.x), lane.cut.portion)
        sums = data.ArrayLayout(element_shape(lane.sums), lane.operands.lanes)
        super().__init__({"first": In(1), "x": In(x), "words": In(words), "o": Out(sums)})

    def inside(self, platform):
        m, lane = Module(), self.lane
        cascades = [
            delay(m, self._cascade(m, chain), int(lane.kind.held), f"end_{chain}") for chain in range(lane.cut.chains)
        ]
        low = 0
        for n, (type_, start) in enumerate(zip(lane.types, (lane.start, 0), strict=False)):
            m.submodules[f"tree_{n}"] = tree = AdderTree(element_shape(type_), lane.cut.chains)
            for chain, end in enumerate(cascades):
                m.d.comb += tree.i[chain].eq(end[low : low + type_.width])
            accumulator = Signal(element_shape(lane.sums), name=f"accumulator_{n}", reset_less=True)
            before = start if lane.steps == 1 else Mux(self.first, start, accumulator)
            m.d.sync += accumulator.eq(before + tree.o)
            m.d.comb += self.o[n].eq(accumulator)
            low += type_.width
        return m

    def _cascade(self, m: Module, chain: int) -> Value:
        """The steps of a chain; what leaves its last."""
        lane, before = self.lane, self.lane.offset
        slices = list(lane.cut.slices(chain))
        for n, (step, positions) in enumerate(slices):
            bits = lane.operands.bits
            part = Slice(lane.kind, lane.x, bits, len(positions), first=n == 0, last=n == len(slices) - 1)
            m.submodules[f"chain{chain}_step{step}"] = part
            m.d.comb += part.i.eq(before)
            for at, position in enumerate(positions):
                operand = lane.operands.joined(self.words[position])
                m.d.comb += [part.x[at].eq(self.x[position]), part.a[at].eq(operand)]
            before = part.o
        return before


@dataclass(frozen=True, eq=False)
class CascadeArray(DotArray):
    """An array of cascades of one kind of blocks."""

    kind: SliceKind

    @property
    def lanes(self) -> int:
        """Outputs that share a block."""
        return 2 if self.products == PAIR else 1

    def operands(self, lanes: int) -> Operands:
        """How weights lie in operands where so many outputs share a block."""
        weight = self.shape.weight
        bits = self.kind.operand if lanes == 2 else weight.width + (not weight.signed)
        return Operands(weight, self.shape.least, lanes, bits)

    @cached_property
    def cut(self) -> Cut:
        """As few chains as the lower lanes allow."""
        return next(cut for cut in self._cuts() if self._room(cut))

    def _cuts(self) -> Iterator[Cut]:
        portion = self.shape.portion
        return (Cut(portion, chains) for chains in range(-(-portion // self.kind.longest), portion + 1))

    def _room(self, cut: Cut) -> bool:
        """Whether the lower lane holds its sums, and the block both lanes."""
        low, high = self.spread(cut.chains)
        fits = self.lanes == 1 or high - low < 1 << self.operands(2).spacing
        return fits and sum(type_.width for type_ in self._lane(self.lanes, cut).types) <= self.kind.width

    def lane(self, lanes: int) -> Lane:
        """Cascades for so many outputs."""
        return self._lane(lanes, self.cut)

    def _lane(self, lanes: int, cut: Cut) -> Lane:
        shape, (low, high) = self.shape, self.spread(cut.chains)
        return Lane(self.kind, shape.x, self.operands(lanes), cut, low, high, shape.steps, shape.sums)

    @property
    def sets(self) -> list[int]:
        """Outputs of each set of cascades, of a group."""
        whole, rest = divmod(self.shape.outputs, self.lanes)
        return [self.lanes] * whole + [rest] * (rest > 0)

    @property
    def problems(self) -> list[str]:
        return self.unfit or super().problems

    @property
    def unfit(self) -> list[str]:
        """Why blocks of the kind cannot do it."""
        shape = self.shape
        return cascade_problems(self.kind, shape.x, shape.weight, (shape.least, shape.most), self.products)

    @cached_property
    def sources(self) -> tuple[WeightSource, ...]:
        shape, stored = self.shape, self.operands(self.lanes).stored
        made = []
        for positions in self.cut.positions:
            fields = shape.groups * len(self.sets) * len(positions)
            idle = self.operands(self.lanes).upper * shape.groups * len(positions) * (self.sets[-1] != self.lanes)
            words = partial(self._words, tuple(positions))
            made.append(self.source(shape.depth, fields, stored, words, self.kind.held, idle))
        return tuple(made)

    def _words(self, positions: tuple[int, ...]) -> np.ndarray:
        """Words int64 [depth, operands] of a step: for each group, set of outputs and position."""
        weights = self.values()[..., positions]
        depth, groups, outputs, count = weights.shape
        padded = np.zeros((depth, groups, len(self.sets) * self.lanes, count), np.int64)
        padded[:, :, :outputs] = weights
        pairs = padded.reshape(depth, groups, len(self.sets), self.lanes, count).transpose(0, 1, 2, 4, 3)
        operands = self.operands(self.lanes)
        words = operands.packed(pairs)
        if self.sets[-1] != self.lanes:  # an output left over has blocks for itself
            words[:, :, -1] = self.operands(1).packed(pairs[:, :, -1])
        return words.reshape(depth, -1)

    @property
    def latency(self) -> int:
        last = self.kind.latency + self.kind.skew * (self.cut.steps - 1) + self.kind.held
        return self.sources[0].latency + last + max(self.cut.chains - 1, 0).bit_length() + 1

    @property
    def hardware(self) -> tuple[Products, ...]:
        each, x = self.shape.parallel * self.shape.portion, self.shape.x
        wide = x.width + (not x.signed)
        return tuple(
            Products(each * count, self.operands(lanes).bits, wide, lanes, cell=True)
            for lanes, count in Counter(self.sets).items()
        )

    @property
    def arithmetic(self) -> Logic:
        shape, first = self.shape, self.sources[0].latency
        bits = shape.parallel * shape.x.width
        later = [first + self.kind.skew * step for step in range(self.cut.steps)]
        activations = [
            delayed(bits * len(some), cycles) for some, cycles in zip(self.cut.positions, later, strict=True)
        ]
        addresses = (self.cut.steps - 1) * delayed(index_bits(shape.depth), self.kind.skew)
        lanes = [shape.parallel * count * self.lane(some).logic for some, count in Counter(self.sets).items()]
        return total([Logic(register=3 * (self.latency - 1), logic=1), *activations, addresses, *lanes])

    def component(self) -> "CascadeComponent":
        return CascadeComponent(self)


class CascadeComponent(ArrayComponent):
    """The hardware of a :class:`CascadeArray`."""

    array: CascadeArray

    def elaborate(self, platform):
        m, array, shape = Module(), self.array, self.array.shape
        words = self._words(m)
        x = self._activations(m)
        flags = delay(m, Cat(self.strobe, self.first, self.last), array.latency - 1, "flags", reset_less=False)
        for group in range(shape.parallel):
            output = group * shape.outputs
            for n, lanes in enumerate(array.sets):
                m.submodules[f"lane_{output}"] = lane = CascadeLane(array.lane(lanes))
                m.d.comb += lane.first.eq(flags[1])
                for position in range(shape.portion):
                    m.d.comb += [
                        lane.x[position].eq(x[group * shape.portion + position]),
                        lane.words[position].eq(words[group, n, position]),
                    ]
                m.d.comb += [self.sums[output + at].eq(lane.o[at]) for at in range(lanes)]
                output += lanes
        m.d.comb += self.soon.eq(flags[0] & flags[2])
        return m

    def _words(self, m: Module) -> dict[tuple[int, int, int], Value]:
        """A word of memory for each group, set of outputs and position, when its step needs it."""
        array, found = self.array, {}
        parts = self.hold(m, [f"weights_{n}" for n in range(array.cut.steps)])
        stored, sets = array.operands(array.lanes).stored, len(array.sets)
        for step, (part, positions) in enumerate(zip(parts, array.cut.positions, strict=True)):
            if step:
                m.d.comb += part.address.eq(delay(m, parts[step - 1].address, array.kind.skew, f"address_{step}"))
            for group in range(array.shape.parallel):
                for n in range(sets):
                    for at, position in enumerate(positions):
                        field = (group % array.shape.groups * sets + n) * len(positions) + at
                        found[group, n, position] = part.data[field * stored : (field + 1) * stored]
        return found

    def _activations(self, m: Module) -> list[Value]:
        """Each activation of each group when its step needs it."""
        array, shape = self.array, self.array.shape
        later = {}
        for step, positions in enumerate(array.cut.positions):
            cycles = array.sources[0].latency + array.kind.skew * step
            for position in positions:
                for group in range(shape.parallel):
                    at = group * shape.portion + position
                    later[at] = delay(m, self.x[at], cycles, f"x{at}")
        return [later[at] for at in range(shape.parallel * shape.portion)]


def cascade_problems(block: SliceKind, x: IntType, weight: IntType, ends: tuple[int, int], products: int) -> list[str]:
    """Why blocks of a kind cannot multiply ``x`` by weights of a type, the least and the greatest of which are
    ``ends``; empty if they can."""
    if x.width + (not x.signed) > block.x or weight.width + (not weight.signed) > block.operand:
        return [f"array {block.name!r} multiplies {block.operand} by {block.x} bits: {weight} by {x} needs 'tree'"]
    if products != PAIR:
        return []
    corners = [a * b for a in (x.min, x.max) for b in ends]
    spacing = Operands(weight, ends[0], 2, block.operand).spacing
    if spacing < weight.width or max(*corners, 0) - min(*corners, 0) >= 1 << spacing:
        return [f"array {block.name!r} has no room for two products of {x} by {weight}: products 1, or 'tree'"]
    return []
