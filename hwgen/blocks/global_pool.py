"""Pooling over a whole map: one value kept per channel while the map passes, no window buffer. The average."""

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hwgen.graph.loadable import LoadForm
from hwgen.graph.network import Site
from hwgen.graph.requantize import Requantization
from hwgen.graph.types import FeatureMap, IntType
from hwgen.memory.loops import LoopNest
from hwgen.memory.queue import Outlet, queue_depth
from hwgen.memory.rom import RAM_ATTRIBUTES
from hwgen.memory.store import LOAD_PORTS, pass_on

from .loaded import LoadedRequantizer
from .logic import Logic, adder_register, loop
from .mac_folding import divisors
from .operator import Cost, LaneFolding, MemoryNeed, Operator, ram_need
from .pool import average_requantization, sum_type
from .requantizer import RequantizerPlan
from .search import SearchPlan, requantizer_plan
from .staircase import Staircase, requantization_gap
from .stream import beat_stream, element_shape, join, queue_logic, queue_memory
from .timing import Actor, counting, ones


class GlobalPool(Operator):
    """What all share: each beat is joined to what is kept of its channels; with the last pixel the results go on."""

    def foldings(self) -> Iterable[LaneFolding]:
        return [LaneFolding(lanes) for lanes in divisors(self.input.channels)]

    @property
    def pixels(self) -> int:
        """Pixels of the map."""
        return self.input.height * self.input.width

    def words(self, folding: LaneFolding) -> int:
        """Beats of a pixel."""
        return self.input.channels // folding.lanes

    @abstractmethod
    def reduction_latency(self, folding: LaneFolding) -> int:
        """From the step that takes the last pixel's beat to the push into the queue."""

    def _latency(self, folding: LaneFolding) -> int:
        return self.reduction_latency(folding) + Outlet.LATENCY - 1

    def queue(self, folding: LaneFolding) -> int:
        """Places of the queue at the end."""
        return queue_depth(self._latency(folding), 1, 1)

    def actors(self, folding: LaneFolding) -> tuple[Actor, ...]:
        words = self.words(folding)
        need = counting(self.pixels * words)
        give = np.maximum(need - (self.pixels - 1) * words, 0)
        return (
            Actor(
                type(self).__name__.lower(),
                need,
                ones(len(need)),
                give,
                self._latency(folding),
                self.queue(folding),
                reserve=np.append(0, give[:-1]) + 1,
                credit_delay=Outlet.CREDIT,
            ),
        )

    def shared_logic(self, folding: LaneFolding) -> Logic:
        """Loops over what arrives, and the queue."""
        loops = loop(self.words(folding)) + loop(self.pixels) + Logic(logic=6, register=4)
        return loops + queue_logic(self.queue(folding), self.output.type.width * folding.lanes)

    def queue_memory(self, folding: LaneFolding) -> MemoryNeed:
        """The memory of the queue."""
        return queue_memory("queue", self.queue(folding), self.output.type.width * folding.lanes)


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

    @property
    def gap(self) -> str | None:
        return requantization_gap(self)

    def foldings(self) -> Iterable[LaneFolding]:
        if self.gap:
            raise self.golden_only()
        return super().foldings()

    def built_for(self) -> dict[str, object]:
        return {"input": str(self.input), "output": str(self.output)}

    @property
    def sum_type(self) -> IntType:
        return sum_type(self.input.type, self.pixels)

    def requantizer(self, folding: LaneFolding) -> RequantizerPlan | SearchPlan:
        return requantizer_plan(self.requantization, folding.lanes, folding.lanes)

    def reduction_latency(self, folding: LaneFolding) -> int:
        return 2 + self.requantizer(folding).latency

    def cost(self, folding: LaneFolding) -> Cost:
        plan, sums = self.requantizer(folding), self.sum_type
        lane = adder_register(sums.width) + Logic(gated=sums.width, register=self.input.type.width)
        words = self.words(folding)
        logic = folding.lanes * lane + self.shared_logic(folding) + loop(words)
        logic += plan.logic(self.requantization, sums, self.output.type)
        memories = [
            ram_need("sums", "lutram", sums.width * folding.lanes, words),
            *plan.memories(self.requantization),
            self.queue_memory(folding),
        ]
        return Cost.of(self, folding, logic, memories, plan.products(self.requantization))

    def block(self, folding: LaneFolding) -> wiring.Component:
        return _AverageUnit(self, folding)


class Arrival(NamedTuple):
    """A beat is taken: whether, and which ``word`` of its pixel. A cycle later: whether it was, the beat ``x``, and
    whether its pixel is the first of the map, and the last."""

    take: Signal
    word: Signal
    strobe: Signal
    x: Signal
    first: Signal
    last: Signal


class GlobalPoolUnit(wiring.Component):
    """The ports, and what takes beats."""

    def __init__(self, op: GlobalPool, folding: LaneFolding):
        self.op, self.folding = op, folding
        streams = {
            "i": In(beat_stream(op.input.type, folding.lanes)),
            "o": Out(beat_stream(op.output.type, folding.lanes)),
        }
        super().__init__(streams | (LOAD_PORTS if op.loading else {}))

    def arrive(self, m: Module, outlet: Outlet, payload: data.View) -> Arrival:
        """Take beats while ``outlet`` has room for a result; ``payload`` is what to make of the one that is offered."""
        op, folding = self.op, self.folding
        take, strobe = Signal(), Signal()
        arriving = LoopNest(m, [("word", op.words(folding)), ("pixel", op.pixels)], take)
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


class _AverageUnit(GlobalPoolUnit):
    """Every beat is added to its channels' sums; those of the last pixel go on to the requantiser."""

    def elaborate(self, platform):
        m = Module()
        op, folding = self.op, self.folding
        m.submodules.outlet = outlet = Outlet(self.o.payload.shape(), op.queue(folding))
        m.submodules.requantizer = requantizer = op.requantizer(folding).component(
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
        op, lanes, words = self.op, self.folding.lanes, self.op.words(self.folding)
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
