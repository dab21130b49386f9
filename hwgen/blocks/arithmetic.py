"""Arithmetic in pipelines: every class is one step, its latency a constant or a property, totals are sums."""

from functools import reduce
from operator import add

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.graph.types import IntType
from hwgen.memory.library import Element

from .stream import element_shape


class Product(Element):
    """``o`` is ``x * weight`` of the cycle before: one multiplier and its register."""

    LATENCY = 1

    def __init__(self, x: IntType, weight: IntType):
        self.key = x, weight
        self.label = f"product_{x}_{weight}"
        product = element_shape(product_type(x, weight))
        super().__init__({"x": In(element_shape(x)), "weight": In(element_shape(weight)), "o": Out(product)})

    def inside(self, platform):
        m = Module()
        product = Signal(self.o.shape(), reset_less=True)
        m.d.sync += product.eq(self.x * self.weight)
        m.d.comb += self.o.eq(product)
        return m


class AdderTree(Element):
    """The sum of ``count`` integers, one register after every level of two-input adders."""

    def __init__(self, shape: Shape, count: int):
        self.shape, self.count = shape, count
        self.key = shape.width, shape.signed, count
        self.label = f"sum_of_{count}_{'s' if shape.signed else 'u'}{shape.width}"
        self.latency = max(count - 1, 0).bit_length()
        super().__init__({"i": In(data.ArrayLayout(shape, count)), "o": Out(tree_shape(shape, count))})

    def inside(self, platform):
        m = Module()
        level: list[Value] = [self.i[n] for n in range(self.count)]
        for depth in range(self.latency):
            shape = tree_shape(self.shape, 2 << depth)
            sums = [Signal(shape, name=f"sum{depth}_{n}", reset_less=True) for n in range((len(level) + 1) // 2)]
            pairs = [level[2 * n : 2 * n + 2] for n in range(len(sums))]
            m.d.sync += [total.eq(reduce(add, pair)) for total, pair in zip(sums, pairs, strict=True)]
            level = sums
        m.d.comb += self.o.eq(level[0])
        return m


def tree_shape(shape: Shape, count: int) -> Shape:
    """Wide enough for the sum of ``count`` integers of ``shape``."""
    return Shape(shape.width + max(count - 1, 0).bit_length(), shape.signed)


class DotLane(Element):
    """A running dot product: the products of ``x`` and ``weights`` are added to ``o``, :attr:`latency` cycles later.

    ``first`` comes with their sum, a cycle before that, and starts a new total.
    """

    def __init__(self, x: IntType, weight: IntType, portion: int, sum_: IntType):
        self.x_type, self.weight_type, self.portion, self.sum_type = x, weight, portion, sum_
        self.key = x, weight, portion, sum_
        self.label = f"dot_{portion}_{x}_{weight}_{sum_}"
        self.latency = dot_latency(portion, 0)
        super().__init__(
            {
                "first": In(1),
                "x": In(data.ArrayLayout(element_shape(x), portion)),
                "weights": In(data.ArrayLayout(element_shape(weight), portion)),
                "o": Out(element_shape(sum_)),
            }
        )

    def inside(self, platform):
        m = Module()
        products = element_shape(product_type(self.x_type, self.weight_type))
        m.submodules.tree = tree = AdderTree(products, self.portion)
        for n in range(self.portion):
            m.submodules[f"product_{n}"] = product = Product(self.x_type, self.weight_type)
            m.d.comb += [product.x.eq(self.x[n]), product.weight.eq(self.weights[n]), tree.i[n].eq(product.o)]
        accumulator = Signal(self.o.shape(), reset_less=True)
        # A step has no gaps and ends in `done`, so what is summed up in between does not matter: no enable.
        m.d.sync += accumulator.eq(Mux(self.first, 0, accumulator) + tree.o)
        m.d.comb += self.o.eq(accumulator)
        return m


class DotProduct(wiring.Component):
    """Running dot products: ``lanes`` accumulators over the same stream of ``portion`` activations.

    All this ``parallel`` times side by side, each with activations of its own; ``x`` and ``sums`` list one after the
    other. In every cycle with ``strobe`` the products of ``x`` and of each lane's weights are added up; ``first``
    starts a new sum. ``done`` and ``sums`` follow the portion with ``last`` by :attr:`latency` cycles; ``sums`` are
    valid in that cycle. ``weights`` is asked for in the same cycle as ``x`` is given and comes with
    ``weight_latency``, which delays ``x`` to match. No stage ever stalls.
    """

    def __init__(
        self,
        x: IntType,
        weight: IntType,
        portion: int,
        lanes: int,
        sum_: IntType,
        weight_latency: int,
        parallel: int = 1,
    ):
        self.x_type, self.weight_type, self.sum_type = x, weight, sum_
        self.portion, self.lanes, self.parallel = portion, lanes, parallel
        self.weight_latency, self.latency = weight_latency, dot_latency(portion, weight_latency)
        weights = data.ArrayLayout(data.ArrayLayout(element_shape(weight), portion), parallel * lanes)
        super().__init__(
            {
                "strobe": In(1),
                "first": In(1),
                "last": In(1),
                "x": In(data.ArrayLayout(element_shape(x), parallel * portion)),
                "weights": In(weights),
                "done": Out(1),
                "sums": Out(data.ArrayLayout(element_shape(sum_), parallel * lanes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        x = delay(m, self.x.as_value(), self.weight_latency, "x")
        before_sum = self.latency - 1
        flags = delay(m, Cat(self.strobe, self.first, self.last), before_sum, "flags", reset_less=False)
        strobe, first, last = flags[0], flags[1], flags[2]
        for n in range(self.parallel * self.lanes):
            lane = DotLane(self.x_type, self.weight_type, self.portion, self.sum_type)
            m.submodules[f"lane_{n}"] = lane
            m.d.comb += [
                lane.first.eq(first),
                lane.x.as_value().eq(x.word_select(n // self.lanes, len(lane.x.as_value()))),
                lane.weights.eq(self.weights[n]),
                self.sums[n].eq(lane.o),
            ]
        m.d.sync += self.done.eq(strobe & last)
        return m


def product_type(a: IntType, b: IntType) -> IntType:
    """The type of ``a * b``."""
    corners = [p * q for p in (a.min, a.max) for q in (b.min, b.max)]
    return IntType.holding(min(corners), max(corners))


def dot_latency(portion: int, weight_latency: int) -> int:
    """Weights, products, tree, accumulator."""
    return weight_latency + 1 + max(portion - 1, 0).bit_length() + 1


def delay(m: Module, value: Value, cycles: int, name: str, reset_less: bool = True) -> Value:
    """``value`` as it was ``cycles`` ago. What says that a value is there must not be ``reset_less``."""
    for n in range(cycles):
        later = Signal(value.shape(), name=f"{name}_{n + 1}", reset_less=reset_less)
        m.d.sync += later.eq(value)
        value = later
    return value
