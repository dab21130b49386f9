"""The greatest integers of windows with several pixels of a row in a beat, all taps of all windows in it at once."""

from dataclasses import dataclass
from functools import cached_property

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.blocks.arith.arithmetic import delay
from hwgen.blocks.operator import OperatorUnit
from hwgen.blocks.stream import Port, element_shape, join
from hwgen.blocks.unit import UnitBlock
from hwgen.cost.actor import Actor, Give, counting, ones
from hwgen.cost.logic import Logic, adder, clipped
from hwgen.cost.needs import Cost
from hwgen.graph.types import IntType
from hwgen.hdl.elements import Element
from hwgen.memory.abreast import WideWindow, widened
from hwgen.memory.queue import Outlet, behind, queue_depth, queue_logic
from hwgen.memory.ram import ram_need
from hwgen.memory.sliding import Sliding
from hwgen.memory.window import WINDOW_CREDIT, WindowCut

from .pool import MaxPool, limited


@dataclass(frozen=True)
class PixelFolding:
    """So many ``pixels`` of a row in a beat, with all their channels."""

    pixels: int

    def __str__(self) -> str:
        return f"{self.pixels} pixels abreast"


class MaxTree(Element):
    """The greatest of ``count`` integers, one register after every level of comparisons."""

    def __init__(self, type_: IntType, count: int):
        self.type, self.count = type_, count
        self.key = type_, count
        self.label = f"greatest_of_{count}_{type_}"
        self.latency = tree_latency(count)
        shape = element_shape(type_)
        super().__init__({"i": In(data.ArrayLayout(shape, count)), "o": Out(shape)})

    def inside(self, platform):
        m, shape = Module(), element_shape(self.type)
        level = [self.i[n] for n in range(self.count)]
        for depth in range(self.latency):
            later = [Signal(shape, name=f"greatest{depth}_{n}", reset_less=True) for n in range((len(level) + 1) // 2)]
            for n, greatest in enumerate(later):
                a, b = level[2 * n], level[min(2 * n + 1, len(level) - 1)]
                m.d.sync += greatest.eq(Mux(b > a, b, a))
            level = later
        m.d.comb += self.o.eq(level[0])
        return m


def tree_latency(count: int) -> int:
    """Cycles of a :class:`MaxTree`: its levels."""
    return max(count - 1, 0).bit_length()


def tree_logic(width: int, count: int) -> Logic:
    """Comparisons, choices and registers of a :class:`MaxTree` of integers of so many bits."""
    logic = Logic()
    while count > 1:
        pairs, count = count // 2, -(-count // 2)
        logic += pairs * (adder(width) + Logic(mux=width)) + Logic(register=count * width)
    return logic


@dataclass(frozen=True)
class MaxAbreastUnit(OperatorUnit):
    """Hardware for :class:`MaxPool`: in every cycle the windows that begin in a beat of several pixels."""

    op: MaxPool
    folding: PixelFolding

    folds = PixelFolding
    settings_in = "abreast"

    @cached_property
    def wide(self) -> WideWindow | None:
        """The window over beats; None where there cannot be one."""
        op, pixels = self.op, self.folding.pixels
        found = widened(op.input, op.window, op.output, pixels) if pixels > 1 else None
        return found if found and Sliding.fits(found.map, found.window, found.map.channels) else None

    @cached_property
    def window(self) -> Sliding:
        """The window buffer. ValueError where :attr:`wide` is None."""
        if self.wide is None:
            raise ValueError(f"{self.folding} of {self.op.input} do not suit {self.op.window}")
        source, window, output, abreast = self.wide
        cut = WindowCut(1, parallel=output.channels, portion=self.op.window.taps, passes=1, abreast=abreast)
        return Sliding(source, window, source.channels, cut, self.op.input.type.min)

    def problems(self) -> list[str]:
        if self.wide:
            return []
        return [
            f"pixels {self.folding.pixels} do not divide rows of {self.op.input.width} into like windows; use lanes"
        ]

    @property
    def inputs(self) -> tuple[Port, ...]:
        return (Port(self.op.input, self.window.lanes),)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port(self.op.output, self.window.cut.parallel),)

    @property
    def levels(self) -> int:
        """Cycles of the trees, of which each channel of each window has one."""
        return tree_latency(self.op.window.taps)

    @property
    def latency(self) -> int:
        """From the end of a step to its beat being offered."""
        return self.window.latency + self.levels + Outlet.LATENCY - 1

    @property
    def queue(self) -> int:
        """Places of the outlet's queue."""
        return queue_depth(self.latency, 1, 1)

    @property
    def interval(self) -> int:
        return Sliding.pixels(self.window.map, self.window.window)

    @cached_property
    def actors(self) -> tuple[Actor, ...]:
        latency = self.latency + behind(self.queue)
        gives = (Give(counting(self.window.windows), latency, self.queue, credit_delay=WINDOW_CREDIT),)
        return (*self.window.front, Actor("maxpool", ones(self.window.windows), (self.window.take,), gives))

    @cached_property
    def cost(self) -> Cost:
        type_, (out,) = self.op.input.type, self.outputs
        lane = tree_logic(type_.width, self.op.window.taps)
        if self.op.clamp != type_.ends:
            lane += clipped(type_.width, *self.op.clamp, type_.width)
        logic = self.window.logic + out.lanes * lane + Logic(register=self.levels)
        memories = [*self.window.memories, ram_need("queue", out.width, self.queue)]
        return self.costing(logic + queue_logic(self.queue, out.width), memories)

    def block(self) -> wiring.Component:
        return MaxAbreastBlock(self)


MaxPool.abreast = MaxAbreastUnit


class MaxAbreastBlock(UnitBlock):
    """The hardware of a :class:`MaxAbreastUnit`."""

    unit: MaxAbreastUnit

    def elaborate(self, platform):
        m, unit = Module(), self.unit
        (source,), (sink,) = self.sources, self.sinks
        ((_, window),) = unit.window.parts(source.payload.shape())
        m.submodules.window = window
        join(m, source, window.i, "input of the window buffer")
        m.submodules.outlet = outlet = Outlet(sink.payload.shape(), unit.queue)
        join(m, outlet.o, sink, "output")
        type_, taps = unit.op.input.type, unit.op.window.taps
        m.d.comb += [
            window.permit.eq(outlet.permit),
            outlet.debit.eq(window.go),
            outlet.push.eq(delay(m, window.strobe, unit.levels, "strobe", reset_less=False)),
        ]
        for lane in range(unit.window.cut.parallel):
            m.submodules[f"lane_{lane}"] = tree = MaxTree(type_, taps)
            m.d.comb += [
                tree.i.as_value().eq(Cat(window.data[lane * taps + tap] for tap in range(taps))),
                outlet.payload[lane].eq(limited(tree.o, unit.op.clamp, type_)),
            ]
        return m
