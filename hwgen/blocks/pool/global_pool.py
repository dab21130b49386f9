"""Pooling over a whole map: one value kept per channel while the map passes, no window buffer. The average."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring

from hwgen.blocks.pool.averages import Average, AverageBlock, AverageUnit
from hwgen.blocks.pool.pool import average_requantization, sum_type
from hwgen.blocks.requantize.requantizer import ResultPlan
from hwgen.blocks.requantize.staircase import Staircase
from hwgen.blocks.requantize.step_search import requantizer_plan
from hwgen.blocks.stream import element_shape, join
from hwgen.blocks.streamed import Hardware, Streamed, StreamedBlock, StreamedUnit
from hwgen.cost.actor import Actor, Give, Take, counting, ones
from hwgen.cost.logic import Logic, adder_register, loop
from hwgen.graph.exact.loadable import LoadForm
from hwgen.graph.exact.requantize import Requantization
from hwgen.graph.network import Site
from hwgen.graph.types import FeatureMap, IntType
from hwgen.memory.loops import LoopNest
from hwgen.memory.queue import Outlet, behind
from hwgen.memory.ram import ram_need, ram_ports


class GlobalPool(Streamed):
    """What all share: each beat is joined to what is kept of its channels; with the last pixel the results go on."""

    @property
    def pixels(self) -> int:
        """Pixels of the map."""
        return self.input.height * self.input.width


class GlobalPoolUnit(StreamedUnit):
    """Hardware for :class:`GlobalPool`."""

    op: "GlobalPool"

    @property
    def words(self) -> int:
        """Beats of a pixel."""
        return self.op.input.channels // self.folding.lanes

    @cached_property
    def actors(self) -> tuple[Actor, ...]:
        words = self.words
        need = counting(self.op.pixels * words)
        give = np.maximum(need - (self.op.pixels - 1) * words, 0)
        latency = self.latency + behind(self.queue)
        gives = (Give(give, latency, self.queue, reserve=np.append(0, give[:-1]) + 1),)
        return (Actor(type(self.op).__name__.lower(), ones(len(need)), (Take(need),), gives),)

    @property
    def loops(self) -> Logic:
        """What counts beats as they arrive."""
        return loop(self.words) + loop(self.op.pixels) + Logic(logic=6, register=4)


@dataclass(frozen=True, eq=False)
class GlobalAveragePool(Average, GlobalPool):
    """The sum of each channel over the map through ``requantization`` (which divides)."""

    input: FeatureMap
    output: FeatureMap
    requantization: Requantization | Staircase
    loading: LoadForm | None = None

    sites = ("GlobalAveragePool",)

    @classmethod
    def from_site(cls, site: Site) -> "GlobalAveragePool | None":
        source = site.input.map
        return cls(source, site.output.map, average_requantization(site, source.height * source.width))

    def golden(self, x: np.ndarray) -> np.ndarray:
        sums = x.sum(axis=(1, 2), keepdims=True, dtype=np.int64)
        return self.requantization.reference(sums).astype(self.output.type.dtype)

    @property
    def sum_type(self) -> IntType:
        return sum_type(self.input.type, self.pixels)


class GlobalAveragePoolUnit(AverageUnit, GlobalPoolUnit, computes=GlobalAveragePool):
    """Hardware for :class:`GlobalAveragePool`."""

    op: "GlobalAveragePool"

    @property
    def requantizer(self) -> ResultPlan:
        return requantizer_plan(self.op.requantization, self.folding.lanes, self.folding.lanes)

    @property
    def depth(self) -> int:
        return 2 + self.requantizer.latency

    @property
    def hardware(self) -> Hardware:
        last, sums, words, lanes = self.requantizing, self.op.sum_type.width, self.words, self.folding.lanes
        lane = adder_register(sums) + Logic(gated=sums, register=self.op.input.type.width)
        logic = lanes * lane + self.loops + loop(words) + last.logic
        return Hardware(logic, [ram_need("sums", sums * lanes, words, "lutram"), *last.memories], last.products)

    def block(self) -> wiring.Component:
        return _AverageBlock(self)


class Arrival(NamedTuple):
    """A beat is taken: whether, and which ``word`` of its pixel. A cycle later: whether it was, the beat ``x``, and
    whether its pixel is the first of the map, and the last."""

    take: Signal
    word: Signal
    strobe: Signal
    x: Signal
    first: Signal
    last: Signal


class GlobalPoolBlock(StreamedBlock):
    """What takes beats."""

    unit: "GlobalPoolUnit"
    op: "GlobalPool"

    def arrive(self, m: Module, outlet: Outlet, payload: data.View) -> Arrival:
        """Take beats while ``outlet`` has room for a result; ``payload`` is what to make of the one that is offered."""
        op = self.op
        take, strobe = Signal(), Signal()
        arriving = LoopNest(m, [("word", self.unit.words), ("pixel", op.pixels)], take)
        last_pixel = arriving.index["pixel"] == op.pixels - 1
        m.d.comb += [
            self.i.ready.eq(outlet.permit),
            take.eq(self.i.valid & self.i.ready),
            outlet.debit.eq(take & last_pixel),
        ]
        x, first, last = Signal(self.i.payload.shape()), Signal(), Signal()
        m.d.sync += [
            strobe.eq(take),
            x.eq(payload),
            first.eq(arriving.index["pixel"] == 0),
            last.eq(last_pixel),
        ]
        return Arrival(take, arriving.index["word"], strobe, x, first, last)


class _AverageBlock(AverageBlock, GlobalPoolBlock):
    """Every beat is added to its channels' sums; those of the last pixel go on to the requantiser."""

    unit: "GlobalAveragePoolUnit"
    op: "GlobalAveragePool"

    def elaborate(self, platform):
        m = Module()
        m.submodules.outlet = outlet = Outlet(self.o.payload.shape(), self.unit.queue)
        requantizer = self.requantizer(m)
        beat = self.arrive(m, outlet, self.i.payload)
        sums = self._sums(m, beat)
        m.d.comb += requantizer.soon.eq(beat.strobe & beat.last)
        m.d.sync += requantizer.sums.as_value().eq(sums)
        m.d.comb += [outlet.push.eq(requantizer.push), outlet.payload.eq(requantizer.o)]
        join(m, outlet.o, wiring.flipped(self.o), "output")
        return m

    def _sums(self, m: Module, beat: Arrival):
        """The sums of this beat's channels with it added, written back in the same cycle."""
        op, lanes, words = self.op, self.folding.lanes, self.unit.words
        shape = element_shape(op.sum_type)
        write, read = ram_ports(m, "sums", shape.width * lanes, max(words, 2), "lutram", domain="comb")
        address = LoopNest(m, [("address", words)], beat.strobe).index["address"]
        earlier = data.View(data.ArrayLayout(shape, lanes), read.data)
        sums = [Signal(shape, name=f"sum_{lane}") for lane in range(lanes)]
        m.d.comb += [total.eq(Mux(beat.first, 0, earlier[lane]) + beat.x[lane]) for lane, total in enumerate(sums)]
        m.d.comb += [
            write.addr.eq(address),
            read.addr.eq(address),
            write.en.eq(beat.strobe),
            write.data.eq(Cat(*sums)),
        ]
        return Cat(*sums)
