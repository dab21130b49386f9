"""Maximum and average pooling."""

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.blocks.loaded import LoadedRequantizer, LoadedUnit, window_text
from hwgen.blocks.mac.mac_folding import divisors
from hwgen.blocks.operator import LaneFolding, Operator, OperatorUnit
from hwgen.blocks.requantize.requantizer import ResultPlan
from hwgen.blocks.requantize.staircase import Staircase, requantization
from hwgen.blocks.requantize.step_search import requantizer_plan
from hwgen.blocks.stream import beat_layout, beat_stream, element_shape, join
from hwgen.cost.actor import Actor, Give, counting
from hwgen.cost.logic import Logic, adder, adder_register, clipped
from hwgen.cost.needs import Cost
from hwgen.graph.errors import ModelError
from hwgen.graph.exact.loadable import LoadForm
from hwgen.graph.exact.requantize import Requantization, output_scale
from hwgen.graph.network import Site
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import FeatureMap, IntType
from hwgen.memory.queue import Outlet, queue_depth, queue_logic
from hwgen.memory.ram import ram_need
from hwgen.memory.ring import Ring, RingWindow
from hwgen.memory.store import LOAD_PORTS, pass_on
from hwgen.memory.window import WINDOW_CREDIT, WindowCut


@dataclass(frozen=True, eq=False)
class Pool(Operator):
    """What all share: a ring read window by window, tap by tap, ``lanes`` channels a cycle."""

    input: FeatureMap
    window: Window

    @property
    def by_pixel(self) -> bool:
        return self.window.kernel == (1, 1)

    def foldings(self) -> Iterable[LaneFolding]:
        """All lanes that whole beats have, fewest first; ModelError where there is no hardware."""
        if self.gap:
            raise self.golden_only()
        return [LaneFolding(lanes) for lanes in divisors(self.input.channels)]


class PoolUnit(OperatorUnit):
    """Hardware for :class:`Pool`."""

    op: "Pool"
    folding: "LaneFolding"

    @cached_property
    def window(self) -> Ring:
        """The window buffer: a window for each word of a pixel, its lanes side by side."""
        source, lanes = self.op.input, self.folding.lanes
        cut = WindowCut(source.channels // lanes, parallel=lanes, portion=1, passes=1)
        return Ring(source, self.op.window, lanes, cut, pad=None)

    @property
    @abstractmethod
    def reduction_latency(self) -> int:
        """From the last tap's strobe to the push into the queue."""

    @property
    def queue(self) -> int:
        """Places of the queue at the end."""
        return queue_depth(self.reduction_latency + self.window.latency + 1, self.op.window.taps, 1)

    @cached_property
    def actors(self) -> tuple[Actor, ...]:
        give = counting(self.window.windows)
        latency = self.window.latency + self.reduction_latency + Outlet.LATENCY - 1
        gives = (Give(give, latency, self.queue, credit_delay=WINDOW_CREDIT),)
        busy = np.full(len(give), self.window.portions)
        return (Actor(type(self.op).__name__.lower(), busy, (self.window.take,), gives),)

    @property
    def shared_logic(self) -> Logic:
        """Window buffer and queue."""
        return self.window.logic + queue_logic(self.queue, self.op.output.type.width * self.folding.lanes)

    @property
    def memories(self) -> list:
        """Those of the window buffer, and the queue."""
        return [
            *self.window.memories,
            ram_need("queue", self.op.output.type.width * self.folding.lanes, self.queue),
        ]


@dataclass(frozen=True, eq=False)
class MaxPool(Pool):
    """The greatest integer in each window, padding left out, limited to ``clamp``."""

    clamp: tuple[int, int]

    sites = ("MaxPool",)

    @classmethod
    def from_site(cls, site: Site) -> "MaxPool | None":
        if site.op != "MaxPool":
            return None
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

    def units(self) -> Iterable["MaxPoolUnit"]:
        return [MaxPoolUnit(self, folding) for folding in self.foldings()]


class MaxPoolUnit(PoolUnit):
    """Hardware for :class:`MaxPool`."""

    op: "MaxPool"

    @property
    def reduction_latency(self) -> int:
        return 2

    @cached_property
    def cost(self) -> Cost:
        bits = self.op.input.type.width * self.folding.lanes
        type_ = self.op.input.type
        lane = adder(type_.width) + Logic(logic=2)
        if self.op.clamp != (type_.min, type_.max):
            lane += clipped(type_.width, *self.op.clamp, type_.width)
        padding = Logic(fixed=bits if any(self.op.window.pads) else 0)
        logic = self.shared_logic + self.folding.lanes * lane + padding + Logic(register=2 * bits + 4)
        return self.costing(logic, self.memories)

    def block(self) -> wiring.Component:
        return _MaxBlock(self)


@dataclass(frozen=True, eq=False)
class AveragePool(LoadedRequantizer, Pool):
    """The sum of each window, padding counted as zero, through ``requantization`` (which divides)."""

    output: FeatureMap
    input_zero: int
    requantization: Requantization | Staircase
    loading: LoadForm | None = None

    sites = ("AveragePool",)

    @classmethod
    def from_site(cls, site: Site) -> "AveragePool | None":
        if site.op != "AveragePool":
            return None
        window = site_window(site)
        if any(window.pads) and not site.attributes.get("count_include_pad"):
            return None
        form = average_requantization(site, window.taps)
        return cls(site.input.map, window, site.output.map, site.input.quantization.zero_point, form)

    def golden(self, x: np.ndarray) -> np.ndarray:
        sums = self.window.patches(x.astype(np.int64), self.input_zero).sum(axis=(3, 4))
        return self.requantization.reference(sums).astype(self.output.type.dtype)

    def built_for(self) -> dict[str, object]:
        """What constants that are loaded later must keep to: padding counts as the input's zero point."""
        padding = {"zero point of the padding": self.input_zero} if any(self.window.pads) else {}
        return {"input": str(self.input), "output": str(self.output), "window": window_text(self.window), **padding}

    @property
    def sum_type(self) -> IntType:
        return sum_type(self.input.type, self.window.taps)

    def units(self) -> Iterable["AveragePoolUnit"]:
        return [AveragePoolUnit(self, folding) for folding in self.foldings()]


class AveragePoolUnit(LoadedUnit, PoolUnit):
    """Hardware for :class:`AveragePool`."""

    op: "AveragePool"

    @property
    def requantizer(self) -> ResultPlan:
        serial = requantizer_plan(self.op.requantization, self.folding.lanes, self.folding.lanes, serial=True)
        return (
            serial
            if serial.busy <= self.op.window.taps
            else requantizer_plan(self.op.requantization, self.folding.lanes, self.folding.lanes)
        )

    @property
    def reduction_latency(self) -> int:
        return 2 + self.requantizer.latency

    @cached_property
    def cost(self) -> Cost:
        plan, sums = self.requantizer, self.op.sum_type
        width = self.op.input.type.width
        lane = adder_register(sums.width) + Logic(
            gated=sums.width, fixed=width if any(self.op.window.pads) else 0, register=width
        )
        logic = self.shared_logic + self.folding.lanes * lane + Logic(register=4)
        logic += plan.logic(self.op.requantization, sums, self.op.output.type)
        memories = [*self.memories, *plan.memories(self.op.requantization)]
        return self.costing(logic, memories, plan.products(self.op.requantization))

    def block(self) -> wiring.Component:
        return _AverageBlock(self)


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


def sum_type(x: IntType, count: int) -> IntType:
    """Holds every partial sum of ``count`` integers."""
    return IntType.holding(min(x.min * count, -1), max(x.max * count, 0))


def average_requantization(site: Site, count: int) -> Requantization | Staircase:
    """Divides a sum of ``count`` elements: ``scale = x_scale / (y_scale * count)`` in float32, for all channels."""
    source, target = site.input.quantization, site.output.quantization
    channels = np.ones(site.input.map.channels, np.int64)
    bias = -source.zero_point * count * channels
    low, high = source.type.min * count * channels, source.type.max * count * channels
    scale = output_scale(source.step, np.ones((), np.float32), np.float32(target.step) * np.float32(count))
    unit = np.float32(1) / np.float32(count)
    return requantization(site, unit * channels, bias, low, high, scale * channels.astype(np.float32))


class LanesBlock(wiring.Component):
    """A stream in, a stream out, with the same lanes; and the load bus, where constants are loaded."""

    def __init__(self, unit: OperatorUnit):
        self.unit, self.op, self.folding = unit, unit.op, unit.folding
        streams = {
            "i": In(beat_stream(self.op.input.type, self.folding.lanes)),
            "o": Out(beat_stream(self.op.output.type, self.folding.lanes)),
        }
        super().__init__(streams | (LOAD_PORTS if self.op.loading else {}))


class PoolBlock(LanesBlock):
    """The window buffer and what comes behind it."""

    unit: "PoolUnit"
    op: "Pool"

    def frame(self, m: Module) -> tuple[RingWindow, Outlet]:
        """Window buffer and outlet, connected to the ports and to each other."""
        op, folding = self.op, self.folding
        ((_, window),) = self.unit.window.parts(beat_layout(op.input.type, folding.lanes))
        outlet = Outlet(beat_layout(op.output.type, folding.lanes), self.unit.queue)
        m.submodules.window, m.submodules.outlet = window, outlet
        join(m, wiring.flipped(self.i), window.i, "input of the window buffer")
        join(m, outlet.o, wiring.flipped(self.o), "output")
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


class _AverageBlock(PoolBlock):
    unit: "AveragePoolUnit"
    op: "AveragePool"

    def elaborate(self, platform):
        m = Module()
        op, lanes = self.op, self.folding.lanes
        window, outlet = self.frame(m)
        plan = self.unit.requantizer
        m.submodules.requantizer = requantizer = plan.component(op.requantization, op.sum_type, op.output.type)
        if op.loading:
            pass_on(m, self, requantizer)
        strobe, first, last = Signal(), Signal(), Signal()
        m.d.sync += [strobe.eq(window.strobe), first.eq(window.first), last.eq(window.last)]
        m.d.sync += requantizer.done.eq(strobe & last)
        for lane in range(lanes):
            x = Signal(element_shape(op.input.type), name=f"x_{lane}", reset_less=True)
            total = Signal(element_shape(op.sum_type), name=f"total_{lane}", reset_less=True)
            m.d.sync += x.eq(Mux(window.outside, op.input_zero, window.data[lane]))
            with m.If(strobe):
                m.d.sync += total.eq(Mux(first, 0, total) + x)
            m.d.comb += requantizer.sums[lane].eq(total)
        m.d.comb += [outlet.push.eq(requantizer.push), outlet.payload.eq(requantizer.o)]
        return m
