"""Pooling over a whole map: one value kept per channel while the map passes, no window buffer. The average."""

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, memory, wiring

from hwgen.blocks.loaded import LoadedRequantizer, LoadedUnit
from hwgen.blocks.mac.mac_folding import divisors
from hwgen.blocks.operator import LaneFolding, Operator, OperatorUnit
from hwgen.blocks.pool.pool import LanesBlock, average_requantization, sum_type
from hwgen.blocks.requantize.requantizer import ResultPlan
from hwgen.blocks.requantize.staircase import Staircase
from hwgen.blocks.requantize.step_search import requantizer_plan
from hwgen.blocks.stream import element_shape, join
from hwgen.cost.actor import Actor, Give, Take, counting, ones
from hwgen.cost.logic import Logic, adder_register, loop
from hwgen.cost.needs import Cost, MemoryNeed
from hwgen.graph.exact.loadable import LoadForm
from hwgen.graph.exact.requantize import Requantization
from hwgen.graph.network import Site
from hwgen.graph.types import FeatureMap, IntType
from hwgen.memory.loops import LoopNest
from hwgen.memory.queue import Outlet, queue_depth, queue_logic
from hwgen.memory.ram import RAM_ATTRIBUTES, ram_need
from hwgen.memory.store import pass_on


class GlobalPool(Operator):
    """What all share: each beat is joined to what is kept of its channels; with the last pixel the results go on."""

    def foldings(self) -> Iterable[LaneFolding]:
        """All lanes that whole beats have, fewest first; ModelError where there is no hardware."""
        if self.gap:
            raise self.golden_only()
        return [LaneFolding(lanes) for lanes in divisors(self.input.channels)]

    @property
    def pixels(self) -> int:
        """Pixels of the map."""
        return self.input.height * self.input.width


class GlobalPoolUnit(OperatorUnit):
    """Hardware for :class:`GlobalPool`."""

    op: "GlobalPool"
    folding: "LaneFolding"

    @property
    def words(self) -> int:
        """Beats of a pixel."""
        return self.op.input.channels // self.folding.lanes

    @property
    @abstractmethod
    def reduction_latency(self) -> int:
        """From the step that takes the last pixel's beat to the push into the queue."""

    @property
    def _latency(self) -> int:
        return self.reduction_latency + Outlet.LATENCY - 1

    @property
    def queue(self) -> int:
        """Places of the queue at the end."""
        return queue_depth(self._latency, 1, 1)

    @cached_property
    def actors(self) -> tuple[Actor, ...]:
        words = self.words
        need = counting(self.op.pixels * words)
        give = np.maximum(need - (self.op.pixels - 1) * words, 0)
        gives = (Give(give, self._latency, self.queue, reserve=np.append(0, give[:-1]) + 1),)
        return (Actor(type(self.op).__name__.lower(), ones(len(need)), (Take(need),), gives),)

    @property
    def shared_logic(self) -> Logic:
        """Loops over what arrives, and the queue."""
        loops = loop(self.words) + loop(self.op.pixels) + Logic(logic=6, register=4)
        return loops + queue_logic(self.queue, self.op.output.type.width * self.folding.lanes)

    @property
    def queue_memory(self) -> MemoryNeed:
        """The memory of the queue."""
        return ram_need("queue", self.op.output.type.width * self.folding.lanes, self.queue)


@dataclass(frozen=True, eq=False)
class GlobalAveragePool(LoadedRequantizer, GlobalPool):
    """The sum of each channel over the map through ``requantization`` (which divides)."""

    input: FeatureMap
    output: FeatureMap
    requantization: Requantization | Staircase
    loading: LoadForm | None = None

    sites = ("GlobalAveragePool",)

    @classmethod
    def from_site(cls, site: Site) -> "GlobalAveragePool | None":
        if site.op != "GlobalAveragePool":
            return None
        source = site.input.map
        return cls(source, site.output.map, average_requantization(site, source.height * source.width))

    def golden(self, x: np.ndarray) -> np.ndarray:
        sums = x.sum(axis=(1, 2), keepdims=True, dtype=np.int64)
        return self.requantization.reference(sums).astype(self.output.type.dtype)

    def built_for(self) -> dict[str, object]:
        """What constants that are loaded later must keep to."""
        return {"input": str(self.input), "output": str(self.output)}

    @property
    def sum_type(self) -> IntType:
        return sum_type(self.input.type, self.pixels)

    def units(self) -> Iterable["GlobalAveragePoolUnit"]:
        return [GlobalAveragePoolUnit(self, folding) for folding in self.foldings()]


class GlobalAveragePoolUnit(LoadedUnit, GlobalPoolUnit):
    """Hardware for :class:`GlobalAveragePool`."""

    op: "GlobalAveragePool"

    @property
    def requantizer(self) -> ResultPlan:
        return requantizer_plan(self.op.requantization, self.folding.lanes, self.folding.lanes)

    @property
    def reduction_latency(self) -> int:
        return 2 + self.requantizer.latency

    @cached_property
    def cost(self) -> Cost:
        plan, sums = self.requantizer, self.op.sum_type
        lane = adder_register(sums.width) + Logic(gated=sums.width, register=self.op.input.type.width)
        words = self.words
        logic = self.folding.lanes * lane + self.shared_logic + loop(words)
        logic += plan.logic(self.op.requantization, sums, self.op.output.type)
        memories = [
            ram_need("sums", sums.width * self.folding.lanes, words, "lutram"),
            *plan.memories(self.op.requantization),
            self.queue_memory,
        ]
        return self.costing(logic, memories, plan.products(self.op.requantization))

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


class GlobalPoolBlock(LanesBlock):
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


class _AverageBlock(GlobalPoolBlock):
    """Every beat is added to its channels' sums; those of the last pixel go on to the requantiser."""

    unit: "GlobalAveragePoolUnit"
    op: "GlobalAveragePool"

    def elaborate(self, platform):
        m = Module()
        op = self.op
        m.submodules.outlet = outlet = Outlet(self.o.payload.shape(), self.unit.queue)
        m.submodules.requantizer = requantizer = self.unit.requantizer.component(
            op.requantization, op.sum_type, op.output.type
        )
        if op.loading:
            pass_on(m, self, requantizer)
        beat = self.arrive(m, outlet, self.i.payload)
        sums = self._sums(m, beat)
        m.d.sync += [requantizer.done.eq(beat.strobe & beat.last), requantizer.sums.as_value().eq(sums)]
        m.d.comb += [outlet.push.eq(requantizer.push), outlet.payload.eq(requantizer.o)]
        join(m, outlet.o, wiring.flipped(self.o), "output")
        return m

    def _sums(self, m: Module, beat: Arrival):
        """The sums of this beat's channels with it added, written back in the same cycle."""
        op, lanes, words = self.op, self.folding.lanes, self.unit.words
        shape = element_shape(op.sum_type)
        m.submodules.sums = store = memory.Memory(
            shape=unsigned(shape.width * lanes), depth=max(words, 2), init=[], attrs=RAM_ATTRIBUTES["lutram"]
        )
        write, read = store.write_port(), store.read_port(domain="comb")
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
