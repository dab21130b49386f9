"""Maximum and average pooling."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import ClassVar

import numpy as np
from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring

from hwgen.blocks.loaded import window_text
from hwgen.blocks.mac.mac_folding import PIXELS
from hwgen.blocks.operator import OperatorUnit
from hwgen.blocks.pool.averages import Average, AverageBlock, AverageUnit, average_requantization, sum_type
from hwgen.blocks.requantize.requantizer import ResultPlan
from hwgen.blocks.requantize.staircase import Staircase
from hwgen.blocks.requantize.step_search import requantizer_plan
from hwgen.blocks.stream import element_shape, join
from hwgen.blocks.streamed import Hardware, Streamed, StreamedBlock, StreamedUnit
from hwgen.cost.actor import Actor, Give, counting
from hwgen.cost.logic import Logic, adder, adder_register, clipped
from hwgen.graph.errors import ModelError
from hwgen.graph.exact.loadable import LoadForm
from hwgen.graph.exact.requantize import Requantization
from hwgen.graph.network import Site
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import FeatureMap, IntType
from hwgen.memory.queue import Outlet, behind, queue_depth
from hwgen.memory.ring import Ring, RingWindow
from hwgen.memory.window import WINDOW_CREDIT, WindowCut


@dataclass(frozen=True, eq=False)
class Pool(Streamed):
    """What all share: a ring read window by window, tap by tap, ``lanes`` channels a cycle."""

    input: FeatureMap
    window: Window

    @property
    def by_pixel(self) -> bool:
        return self.window.kernel == (1, 1)


class PoolUnit(StreamedUnit):
    """Hardware for :class:`Pool`: a step for each window, a cycle for each tap."""

    op: "Pool"

    @cached_property
    def window(self) -> Ring:
        """The window buffer: a window for each word of a pixel, its lanes side by side."""
        source, lanes = self.op.input, self.folding.lanes
        cut = WindowCut(source.channels // lanes, parallel=lanes, portion=1, passes=1)
        return Ring(source, self.op.window, lanes, cut, pad=None)

    @property
    def queue(self) -> int:
        return queue_depth(self.latency, self.op.window.taps, 1)

    @property
    def interval(self) -> int:
        return max(super().interval, self.window.windows * self.window.portions)

    @cached_property
    def actors(self) -> tuple[Actor, ...]:
        give = counting(self.window.windows)
        gives = (Give(give, self.latency + behind(self.queue), self.queue, credit_delay=WINDOW_CREDIT),)
        busy = np.full(len(give), self.window.portions)
        return (Actor(type(self.op).__name__.lower(), busy, (self.window.take,), gives),)


@dataclass(frozen=True, eq=False)
class MaxPool(Pool):
    """The greatest integer in each window, padding left out, limited to ``clamp``."""

    clamp: tuple[int, int]

    sites = ("MaxPool",)

    #: What takes several pixels of a row in a beat, where it is (:mod:`hwgen.blocks.pool.max_abreast`).
    abreast: ClassVar[type[OperatorUnit]]

    def units(self) -> Iterable[OperatorUnit]:
        units: list[OperatorUnit] = list(super().units())
        for pixels in PIXELS:
            unit = self.abreast.read(self, {"pixels": pixels})
            if not unit.problems() and unit.interval < min(each.interval for each in units):
                units.append(unit)
        return units

    @classmethod
    def from_site(cls, site: Site) -> "MaxPool | None":
        same_quantization(site)
        return cls(site.input.map, site_window(site), site.clamp)

    @property
    def output(self) -> FeatureMap:
        """A pixel for each window, of the input's integers."""
        rows, columns = self.window.output_size(self.input.height, self.input.width)
        return FeatureMap(rows, columns, self.input.channels, self.input.type)

    def golden(self, x: np.ndarray) -> np.ndarray:
        patches = self.window.patches(x, self.input.type.min)
        rows, columns = self.window.kernel
        taps = [patches[:, :, :, ky, kx] for ky in range(rows) for kx in range(columns)]
        return np.clip(reduce(np.maximum, taps), *self.clamp).astype(x.dtype)


class MaxPoolUnit(PoolUnit, computes=MaxPool):
    """Hardware for :class:`MaxPool`."""

    op: "MaxPool"

    @property
    def depth(self) -> int:
        return self.window.latency + 2

    @property
    def hardware(self) -> Hardware:
        bits = self.op.input.type.width * self.folding.lanes
        type_ = self.op.input.type
        lane = adder(type_.width) + Logic(logic=2)
        if self.op.clamp != (type_.min, type_.max):
            lane += clipped(type_.width, *self.op.clamp, type_.width)
        padding = Logic(fixed=bits if any(self.op.window.pads) else 0)
        logic = self.window.logic + self.folding.lanes * lane + padding + Logic(register=2 * bits + 4)
        return Hardware(logic, self.window.memories)

    def block(self) -> wiring.Component:
        return _MaxBlock(self)


@dataclass(frozen=True, eq=False)
class AveragePool(Average, Pool):
    """The sum of each window, padding counted as zero, through ``requantization`` (which divides)."""

    output: FeatureMap
    input_zero: int
    requantization: Requantization | Staircase
    loading: LoadForm | None = None

    sites = ("AveragePool",)

    @classmethod
    def from_site(cls, site: Site) -> "AveragePool | None":
        window = site_window(site)
        if any(window.pads) and not site.attributes.get("count_include_pad"):
            return None
        form = average_requantization(site, window.taps)
        return cls(site.input.map, window, site.output.map, site.input.quantization.zero_point, form)

    def golden(self, x: np.ndarray) -> np.ndarray:
        sums = self.window.patches(x.astype(np.int64), self.input_zero).sum(axis=(3, 4))
        return self.requantization.reference(sums).astype(self.output.type.dtype)

    def built_for(self) -> dict[str, object]:
        """The same, and that padding counts as the input's zero point."""
        padding = {"zero point of the padding": self.input_zero} if any(self.window.pads) else {}
        return super().built_for() | {"window": window_text(self.window), **padding}

    @property
    def term_type(self) -> IntType:
        """Of what is added up."""
        return self.input.type

    @property
    def total_type(self) -> IntType:
        """Of the sum of a window."""
        return self.sum_type

    @property
    def sum_type(self) -> IntType:
        return sum_type(self.input.type, self.window.taps)


class AveragePoolUnit(AverageUnit, PoolUnit, computes=AveragePool):
    """Hardware for :class:`AveragePool`."""

    op: "AveragePool"

    @property
    def requantizer(self) -> ResultPlan:
        form, lanes = self.op.requantization, self.folding.lanes
        serial = requantizer_plan(form, lanes, lanes, serial=True)
        return serial if serial.busy <= self.op.window.taps else requantizer_plan(form, lanes, lanes)

    @property
    def depth(self) -> int:
        return self.window.latency + 2 + self.requantizer.latency

    @property
    def hardware(self) -> Hardware:
        last, sums, width = self.requantizing, self.op.sum_type.width, self.op.input.type.width
        padding = Logic(fixed=width if any(self.op.window.pads) else 0)
        lane = adder_register(sums) + Logic(gated=sums, register=width) + padding
        logic = self.window.logic + self.folding.lanes * lane + Logic(register=4) + last.logic
        return Hardware(logic, [*self.window.memories, *last.memories], last.products)

    def block(self) -> wiring.Component:
        return AveragePoolBlock(self)


def same_quantization(site: Site) -> None:
    """ModelError unless the results of a maximum are quantised as its input is."""
    if site.input.quantization != site.output.quantization:
        raise ModelError(
            f"node {site.name!r}: MaxPool changes the quantisation from {site.input.quantization} to "
            f"{site.output.quantization}; both must be the same"
        )


def site_window(site: Site) -> Window:
    """The window that a site's attributes describe."""
    settings = site.attributes
    return Window(settings["kernel"], settings["strides"], settings["dilations"], settings["pads"])


class PoolBlock(StreamedBlock):
    """The window buffer and what comes behind it."""

    unit: "PoolUnit"
    op: "Pool"

    def frame(self, m: Module) -> tuple[RingWindow, Outlet]:
        """Window buffer and outlet, connected to the ports and to each other."""
        (source,) = self.sources
        ((_, window),) = self.unit.window.parts(source.payload.shape())
        m.submodules.window = window
        join(m, source, window.i, "input of the window buffer")
        outlet = self.outlet(m)
        m.d.comb += [window.permit.eq(outlet.permit), outlet.debit.eq(window.go)]
        return window, outlet


class _MaxBlock(PoolBlock):
    op: "MaxPool"

    def elaborate(self, platform):
        m = Module()
        window, outlet = self.frame(m)
        type_, shape = self.op.input.type, element_shape(self.op.input.type)
        strobe, first, last = Signal(), Signal(), Signal()
        m.d.sync += [strobe.eq(window.strobe), first.eq(window.first), last.eq(window.last)]
        m.d.sync += outlet.push.eq(strobe & last)
        for lane in range(self.folding.lanes):
            x, best = (Signal(shape, name=f"{name}_{lane}", reset_less=True) for name in ("x", "best"))
            m.d.sync += x.eq(Mux(window.outside, type_.min, window.data[lane]))
            with m.If(strobe & (first | (x > best))):
                m.d.sync += best.eq(x)
            m.d.comb += outlet.payload[lane].eq(limited(best, self.op.clamp, type_))
        return m


def limited(value: Signal, clamp: tuple[int, int], type_: IntType):
    """``value`` of ``type_`` within ``clamp``, compared only where that is narrower than the type."""
    low, high = clamp
    if low > type_.min:
        value = Mux(value < low, low, value)
    return Mux(value > high, high, value) if high < type_.max else value


class AveragePoolBlock(AverageBlock, PoolBlock):
    """Adds up the taps of each window, a lane for each channel of a beat."""

    unit: "AveragePoolUnit"
    op: "AveragePool"

    def elaborate(self, platform):
        m = Module()
        op = self.op
        window, outlet = self.frame(m)
        requantizer = self.requantizer(m)
        strobe, first, last = Signal(), Signal(), Signal()
        m.d.sync += [strobe.eq(window.strobe), first.eq(window.first), last.eq(window.last)]
        results = self.finished(m, requantizer, strobe & last)
        for lane in range(self.folding.lanes):
            x = Signal(element_shape(op.term_type), name=f"x_{lane}", reset_less=True)
            total = Signal(element_shape(op.total_type), name=f"total_{lane}", reset_less=True)
            m.d.sync += x.eq(self.term(window, lane))
            with m.If(strobe):
                m.d.sync += total.eq(Mux(first, 0, total) + x)
            m.d.comb += requantizer.sums[lane].eq(results(lane, total))
        m.d.comb += [outlet.push.eq(requantizer.push), outlet.payload.eq(requantizer.o)]
        return m

    def term(self, window: RingWindow, lane: int) -> Value:
        """What is added up of a tap."""
        return Mux(window.outside, self.op.input_zero, window.data[lane])

    def finished(self, m: Module, requantizer: wiring.Component, ends: Value) -> Callable[[int, Signal], Value]:
        """Start the requantiser when a window's last tap is added, as ``ends`` says; gives what makes of a lane's sum
        what is requantised."""
        m.d.comb += requantizer.soon.eq(ends)
        return lambda lane, total: total
