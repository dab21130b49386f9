"""Cascades for windows that share weights: two activations share a block with the weight that they share.

Its operand is ``x_a + (x_b << S)``, of two windows side by side; else all is as with pairs of outputs, whose place the
windows take, and that of the activation is the weight's. The operand is joined in front of what activations wait in:
``x_b`` is less by one where ``x_a`` is negative.
"""

from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from amaranth.hdl import Cat, Module, Value

from hwgen.blocks.arith.arithmetic import delay
from hwgen.blocks.array.array import ArrayShape
from hwgen.blocks.array.cascade import (
    CascadeArray,
    CascadeComponent,
    CascadeLane,
    Cut,
    Lane,
    Operands,
    cascade_problems,
)
from hwgen.blocks.array.multiplier import PAIR
from hwgen.blocks.array.slices import SliceKind
from hwgen.cost.logic import Logic, adder, delayed, index_bits, total
from hwgen.cost.needs import Products
from hwgen.graph.types import IntType
from hwgen.memory.weights import WeightSource


def by_pixels(shape: ArrayShape, products: int) -> bool:
    """Whether an array's pairs are of windows."""
    return products == PAIR and shape.outputs == 1 and shape.copies % 2 == 0


def pixel_pair_problems(block: SliceKind, x: IntType, weight: IntType) -> list[str]:
    """Why two activations do not share blocks of a kind with a weight; empty if they can."""
    return cascade_problems(block, weight, x, (x.min, x.max), PAIR)


@dataclass(frozen=True, eq=False)
class PixelPairArray(CascadeArray):
    """A cascade for each group of every second window, with the same group of the window behind it."""

    def operands(self, lanes: int) -> Operands:
        """How activations lie in operands where those of so many windows share a block."""
        return Operands(self.shape.x, self.shape.x.min, lanes, self.kind.operand)

    def _lane(self, lanes: int, cut: Cut) -> Lane:
        shape, (low, high) = self.shape, self.spread(cut.chains)
        return Lane(self.kind, shape.weight, self.operands(lanes), cut, low, high, shape.steps, shape.sums)

    @property
    def unfit(self) -> list[str]:
        return pixel_pair_problems(self.kind, self.shape.x, self.shape.weight)

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The groups that share blocks."""
        groups = self.shape.groups
        starts = range(0, self.shape.parallel, 2 * groups)
        return [(start + n, start + groups + n) for start in starts for n in range(groups)]

    @cached_property
    def sources(self) -> tuple[WeightSource, ...]:
        shape, made = self.shape, []
        for positions in self.cut.positions:
            words, fields = partial(self._words, tuple(positions)), shape.groups * len(positions)
            made.append(self.source(shape.depth, fields, shape.weight.width, words, self.kind.held, 0))
        return tuple(made)

    def _words(self, positions: tuple[int, ...]) -> np.ndarray:
        weights = self.values()[..., positions] & (1 << self.shape.weight.width) - 1
        return weights.reshape(self.shape.depth, -1)

    @property
    def hardware(self) -> tuple[Products, ...]:
        wide = self.shape.weight.width + (not self.shape.weight.signed)
        return (Products(len(self.pairs) * self.shape.portion, self.kind.operand, wide, PAIR, cell=True),)

    @property
    def arithmetic(self) -> Logic:
        shape, operands, first = self.shape, self.operands(PAIR), self.sources[0].latency
        count = len(self.pairs)
        later = [first + self.kind.skew * step for step in range(self.cut.steps)]
        waiting = [
            delayed(count * operands.stored * len(some), cycles)
            for some, cycles in zip(self.cut.positions, later, strict=True)
        ]
        less = Logic() if not shape.x.signed else adder(operands.upper)
        addresses = (self.cut.steps - 1) * delayed(index_bits(shape.depth), self.kind.skew)
        flags = Logic(register=3 * (self.latency - 1), logic=1)
        return total([flags, *waiting, addresses, count * shape.portion * less, count * self.lane(PAIR).logic])

    def component(self) -> "PixelPairComponent":
        return PixelPairComponent(self)


class PixelPairComponent(CascadeComponent):
    """The hardware of a :class:`PixelPairArray`."""

    array: PixelPairArray

    def elaborate(self, platform):
        m, array, shape = Module(), self.array, self.array.shape
        weights = self._weights(m)
        flags = delay(m, Cat(self.strobe, self.first, self.last), array.latency - 1, "flags", reset_less=False)
        for pair in array.pairs:
            m.submodules[f"lane_{pair[0]}"] = lane = CascadeLane(array.lane(PAIR))
            m.d.comb += lane.first.eq(flags[1])
            for step, positions in enumerate(array.cut.positions):
                for position in positions:
                    m.d.comb += [
                        lane.x[position].eq(weights[pair[0] % shape.groups, position]),
                        lane.words[position].eq(self._activations_of(m, pair, position, step)),
                    ]
            m.d.comb += [self.sums[group].eq(lane.o[at]) for at, group in enumerate(pair)]
        m.d.comb += self.soon.eq(flags[0] & flags[2])
        return m

    def _weights(self, m: Module) -> dict[tuple[int, int], Value]:
        """The weight of each group and position, when its step needs it."""
        array, found, width = self.array, {}, self.array.shape.weight.width
        parts = self.hold(m, [f"weights_{n}" for n in range(array.cut.steps)])
        for step, (part, positions) in enumerate(zip(parts, array.cut.positions, strict=True)):
            if step:
                m.d.comb += part.address.eq(delay(m, parts[step - 1].address, array.kind.skew, f"address_{step}"))
            for group in range(array.shape.groups):
                for at, position in enumerate(positions):
                    field = group * len(positions) + at
                    found[group, position] = part.data.word_select(field, width)
        return found

    def _activations_of(self, m: Module, pair: tuple[int, int], position: int, step: int) -> Value:
        """The activations of both windows, as operands are in memory elsewhere, when their step needs them."""
        array, portion = self.array, self.array.shape.portion
        low, high = (self.x[group * portion + position] for group in pair)
        joined = Cat(low, (high - low[-1] if array.shape.x.signed else high)[: array.operands(PAIR).upper])
        cycles = array.sources[0].latency + array.kind.skew * step
        return delay(m, joined, cycles, f"x{pair[0]}_{position}")
