"""Dot products out of multipliers and trees of adders."""

from functools import cached_property
from itertools import product

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.blocks.arith.arithmetic import AdderTree, delay
from hwgen.blocks.array.array import ArrayComponent, DotArray
from hwgen.blocks.array.multiplier import SINGLE, Multiplier
from hwgen.blocks.stream import element_shape
from hwgen.cost.logic import Logic, adder, adder_register, adder_tree, delayed
from hwgen.cost.needs import Products
from hwgen.graph.types import IntType
from hwgen.hdl.elements import Element
from hwgen.memory.weights import WeightSource


class DotLane(Element):
    """Running dot products of ``x`` by as many weights as a multiplier takes: the sum of products is added to ``o``,
    :attr:`latency` cycles after the weights.

    ``x`` comes ``multiplier.x_delay`` cycles after the weights, ``first`` with the sum, a cycle before the end, and
    starts new totals.
    """

    def __init__(self, multiplier: Multiplier, portion: int, sum_: IntType):
        self.multiplier, self.portion = multiplier, portion
        self.key = multiplier, portion, sum_
        self.label = f"dot_{portion}_{multiplier.x}_{multiplier.weight}_{sum_}"
        self.latency = dot_latency(multiplier, portion, 0)
        weights = data.ArrayLayout(element_shape(multiplier.weight), portion)
        thrice = {"thrice": In(data.ArrayLayout(element_shape(multiplier.triple), portion))}
        super().__init__(
            {
                "first": In(1),
                "x": In(data.ArrayLayout(element_shape(multiplier.x), portion)),
                **(thrice if multiplier.tripled else {}),
                "weights": In(data.ArrayLayout(weights, multiplier.lanes)),
                "o": Out(data.ArrayLayout(element_shape(sum_), multiplier.lanes)),
            }
        )

    def inside(self, platform):
        m, lanes = Module(), range(self.multiplier.lanes)
        trees = [AdderTree(element_shape(self.multiplier.product), self.portion) for _ in lanes]
        for n in range(self.portion):
            m.submodules[f"product_{n}"] = element = self.multiplier.element()
            m.d.comb += element.x.eq(self.x[n])
            if self.multiplier.tripled:
                m.d.comb += element.thrice.eq(self.thrice[n])
            m.d.comb += [element.weights[lane].eq(self.weights[lane][n]) for lane in lanes]
            m.d.comb += [tree.i[n].eq(element.o[lane]) for lane, tree in enumerate(trees)]
        for lane, tree in enumerate(trees):
            m.submodules[f"tree_{lane}"] = tree
            accumulator = Signal(self.o[lane].shape(), name=f"accumulator_{lane}", reset_less=True)
            # A step has no gaps and ends in `done`, so what is summed up in between does not matter: no enable.
            m.d.sync += accumulator.eq(Mux(self.first, 0, accumulator) + tree.o)
            m.d.comb += self.o[lane].eq(accumulator)
        return m


class DotProduct(wiring.Component):
    """Running dot products: ``lanes`` accumulators over the same stream of ``portion`` activations.

    All this ``parallel`` times side by side, each with activations of its own; ``x`` and ``sums`` list one after the
    other. In every cycle with ``strobe`` the products of ``x`` and of each lane's weights are added up; ``first``
    starts a new sum. ``sums`` follow the portion with ``last`` by :attr:`latency` cycles, and are valid in that cycle;
    ``soon`` comes a cycle earlier. ``weights`` is asked for in the same cycle as ``x`` is given and comes with
    ``weight_latency``, which delays ``x`` to match. No stage ever stalls.
    """

    def __init__(
        self,
        multiplier: Multiplier,
        portion: int,
        lanes: int,
        sum_: IntType,
        weight_latency: int,
        parallel: int = 1,
    ):
        self.multiplier, self.sum_type = multiplier, sum_
        self.portion, self.lanes, self.parallel = portion, lanes, parallel
        self.weight_latency, self.latency = weight_latency, dot_latency(multiplier, portion, weight_latency)
        weights = data.ArrayLayout(data.ArrayLayout(element_shape(multiplier.weight), portion), parallel * lanes)
        super().__init__(
            {
                "strobe": In(1),
                "first": In(1),
                "last": In(1),
                "x": In(data.ArrayLayout(element_shape(multiplier.x), parallel * portion)),
                "weights": In(weights),
                "soon": Out(1),
                "sums": Out(data.ArrayLayout(element_shape(sum_), parallel * lanes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        x = delay(m, self.x.as_value(), self.weight_latency + self.multiplier.x_delay, "x")
        thrice = self._tripled(m) if self.multiplier.tripled else None
        before_sum = self.latency - 1
        flags = delay(m, Cat(self.strobe, self.first, self.last), before_sum, "flags", reset_less=False)
        strobe, first, last = flags[0], flags[1], flags[2]
        step = self.multiplier.lanes
        for group, start in product(range(self.parallel), range(0, self.lanes, step)):
            lane = DotLane(self.multiplier, self.portion, self.sum_type)
            at = group * self.lanes + start
            m.submodules[f"lane_{at}"] = lane
            m.d.comb += [lane.first.eq(first), lane.x.as_value().eq(x.word_select(group, len(lane.x.as_value())))]
            if thrice is not None:
                m.d.comb += lane.thrice.as_value().eq(thrice.word_select(group, len(lane.thrice.as_value())))
            for n in range(min(step, self.lanes - start)):  # a lane left over has a multiplier for itself
                m.d.comb += [lane.weights[n].eq(self.weights[at + n]), self.sums[at + n].eq(lane.o[n])]
        m.d.comb += self.soon.eq(strobe & last)
        return m

    def _tripled(self, m: Module) -> Value:
        """Three times each activation, when the weights are there."""
        kind, late = self.multiplier, min(self.weight_latency, 1)
        x = data.View(self.x.shape(), delay(m, self.x.as_value(), self.weight_latency - late, "x"))
        thrice = Signal(data.ArrayLayout(element_shape(kind.triple), len(self.x)), name="thrice_x")
        m.d.comb += [thrice[n].eq(x[n] + (x[n] << 1)) for n in range(len(self.x))]
        return delay(m, thrice.as_value(), late, "thrice")


def dot_latency(multiplier: Multiplier, portion: int, weight_latency: int) -> int:
    """Weights, products, tree, accumulator."""
    return weight_latency + multiplier.latency + max(portion - 1, 0).bit_length() + 1


def dot_logic(
    multiplier: Multiplier,
    portion: int,
    lanes: int,
    sum_: IntType,
    weight_latency: int,
    parallel: int = 1,
    copies: int = 1,
) -> Logic:
    """What a :class:`DotProduct` takes: delayed operands, products, trees, accumulators. Weights are those of as many
    times fewer groups as there are ``copies``."""
    lane = adder_tree(multiplier.product.width, portion) + adder_register(sum_.width) + Logic(gated=sum_.width)
    flags = Logic(register=3 * (dot_latency(multiplier, portion, weight_latency) - 1), logic=1)
    elements = parallel * portion * -(-lanes // multiplier.lanes)
    bits = parallel * portion * multiplier.x.width
    delays = delayed(bits, weight_latency + multiplier.x_delay)
    if multiplier.at_once == SINGLE:  # the registers in elements are the same for all weights
        delays += Logic(inside=bits, apart_inside=elements * multiplier.x.width - bits)
        again = (elements - elements // copies) * multiplier.weight.width
        delays += Logic(inside=-again, apart_inside=again)
    if multiplier.tripled:
        delays += parallel * portion * (adder(multiplier.triple.width) + delayed(multiplier.triple.width, 1))
    return elements * multiplier.logic + parallel * lanes * lane + delays + flags


class TreeArray(DotArray):
    """A multiplier for each product, or for two, and trees of adders; a memory holds all weights."""

    @cached_property
    def multiplier(self) -> Multiplier:
        """How elements and weights are multiplied."""
        return Multiplier(self.shape.x, self.shape.weight, self.products)

    @cached_property
    def sources(self) -> tuple[WeightSource, ...]:
        shape = self.shape
        fields = shape.groups * shape.outputs * shape.portion
        return (self.source(shape.depth, fields, shape.weight.width, self._words),)

    def _words(self) -> np.ndarray:
        return self.values().reshape(self.shape.depth, -1)

    @property
    def latency(self) -> int:
        return dot_latency(self.multiplier, self.shape.portion, self.sources[0].latency)

    @property
    def hardware(self) -> tuple[Products, ...]:
        return self.multiplier.hardware(self.shape.outputs, self.shape.parallel * self.shape.portion)

    @property
    def arithmetic(self) -> Logic:
        shape = self.shape
        weights = self.sources[0].latency
        sides = shape.parallel, shape.copies
        return dot_logic(self.multiplier, shape.portion, shape.outputs, shape.sums, weights, *sides)

    def component(self) -> "TreeComponent":
        return TreeComponent(self)


class TreeComponent(ArrayComponent):
    """The hardware of a :class:`TreeArray`."""

    array: TreeArray

    def elaborate(self, platform):
        m, array, shape = Module(), self.array, self.array.shape
        (weights,) = self.hold(m, ["weights"])
        m.submodules.dot = dot = DotProduct(
            array.multiplier, shape.portion, shape.outputs, shape.sums, array.sources[0].latency, shape.parallel
        )
        m.d.comb += [getattr(dot, name).eq(getattr(self, name)) for name in ("strobe", "first", "last", "x")]
        m.d.comb += [
            dot.weights.as_value().eq(Cat(weights.data for _ in range(shape.copies))),
            self.soon.eq(dot.soon),
            self.sums.eq(dot.sums),
        ]
        return m
