"""Arithmetic in pipelines: every class is one step, its latency a constant or a property, totals are sums."""

from functools import reduce
from operator import add

from amaranth.hdl import Module, Shape, ShapeLike, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hwgen.hdl.elements import Element


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


def delay(m: Module, value: Value, cycles: int, name: str, reset_less: bool = True) -> Value:
    """``value`` as it was ``cycles`` ago. What says that a value is there must not be ``reset_less``."""
    for n in range(cycles):
        value = register(m, value, f"{name}_{n + 1}", reset_less=reset_less)
    return value


def register(m: Module, value: Value, name: str, shape: ShapeLike | None = None, reset_less: bool = True) -> Signal:
    """``value`` as it was a cycle ago, in ``shape`` where its own is another."""
    later = Signal(value.shape() if shape is None else shape, name=name, reset_less=reset_less)
    m.d.sync += later.eq(value)
    return later
