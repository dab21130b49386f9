"""A pipeline behind one stream of frames and loads, in the order in which they are to take effect.

A load waits until the frames before it have left; the frames behind it wait until all is in its place.
"""

from dataclasses import dataclass

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.blocks.stream import beat_layout
from hwgen.dataflow.pipeline import Pipeline
from hwgen.dataflow.plan import Plan
from hwgen.graph.types import IntType
from hwgen.memory.store import LOAD_BUS, Store
from hwgen.top.tdata import element_bytes

#: Bits of the count of frames inside.
_FRAMES = 16
#: Cycles, beside those of the stores, until what they hold is read.
_SETTLE = 16


@dataclass(frozen=True)
class LoadPlan:
    """What comes in: frames of ``beats`` beats with ``lanes`` integers of ``type`` each, in whole bytes, and loads of
    ``load_bytes``; ``stores`` pass these on."""

    type: IntType
    lanes: int
    beats: int
    load_bytes: int
    stores: int

    @property
    def element_bytes(self) -> int:
        """Bytes of an element in the stream: whole ones."""
        return element_bytes(self.type)

    @property
    def beat_bytes(self) -> int:
        """Bytes of a beat."""
        return self.element_bytes * self.lanes

    @property
    def load_beats(self) -> int:
        """Beats of a load; the bytes that fill up the last one go nowhere."""
        return -(-self.load_bytes // self.beat_bytes)

    @property
    def settle(self) -> int:
        """Cycles from the last byte until all stores hold and show what they were given."""
        return self.stores * Store.PASSING + _SETTLE

    @property
    def layout(self) -> data.StructLayout:
        """A beat: bytes, whether it is the last of its frame or load, and whether it belongs to a load."""
        return data.StructLayout({"data": 8 * self.beat_bytes, "last": 1, "load": 1})

    @staticmethod
    def of(plan: Plan) -> "LoadPlan":
        """What hardware of ``plan`` takes, where weights are loaded."""
        map_, lanes = plan.network.input.map, plan.lanes_in
        loaded = [stage for stage in plan.stages if stage.unit.loads]
        stores = sum(stage.unit.stores for stage in loaded)
        return LoadPlan(map_.type, lanes, map_.elements // lanes, len(plan.load_image()), stores)


class LoadedPipeline(wiring.Component):
    """``pipeline`` with the stream ``i`` of :attr:`LoadPlan.layout`, and all of its outputs.

    ``error`` is 1 in a cycle in which a beat is taken that should not be there: the last of a frame or of a load too
    early or too late, a load within a frame (which is dropped), a frame within a load (which ends it). What a load
    that is too short leaves out stays as it was.
    """

    def __init__(self, pipeline: Pipeline):
        self.pipeline, self.loads = pipeline, LoadPlan.of(pipeline.plan)
        self.plan, self.results, self.lanes_out = pipeline.plan, pipeline.results, pipeline.lanes_out
        members = {name: member for name, member in pipeline.signature.members.items() if name not in ("i", "load")}
        super().__init__({"i": In(stream.Signature(self.loads.layout)), **members, "error": Out(1)})

    @property
    def streams(self):
        """The output stream of every layer; see :class:`Pipeline`."""
        return self.pipeline.streams

    def elaborate(self, platform):
        m = Module()
        m.submodules.pipeline = pipeline = self.pipeline
        m.submodules.gate = gate = LoadGate(self.loads, len(pipeline.results))
        wiring.connect(m, wiring.flipped(self.i), gate.i)
        wiring.connect(m, gate.o, pipeline.i)
        wiring.connect(m, gate.load, pipeline.load)
        m.d.comb += self.error.eq(gate.error)
        for n, (name, result) in enumerate(pipeline.results.items()):
            given, beats = getattr(pipeline, name), result.map.elements // pipeline.lanes_out[n]
            wiring.connect(m, given, wiring.flipped(getattr(self, name)))
            count = Signal(range(max(beats, 2)), name=f"beats_{n}")
            moves = given.valid & given.ready
            m.d.comb += gate.left[n].eq(moves & (count == beats - 1))
            with m.If(moves):
                m.d.sync += count.eq(Mux(count == beats - 1, 0, count + 1))
        for name in self.signature.members:
            if name.startswith("watch_"):
                m.d.comb += getattr(self, name).eq(getattr(pipeline, name))
        for name in pipeline.memories:
            wiring.connect(m, getattr(pipeline, name), wiring.flipped(getattr(self, name)))
        return m


class LoadGate(wiring.Component):
    """Takes a stream apart: frames to ``o``, the bytes of loads to the bus ``load``.

    ``left[n]`` is 1 as a frame leaves by output ``n``. Frames pass in the cycle in which they come.
    """

    def __init__(self, plan: LoadPlan, outputs: int):
        self.plan = plan
        super().__init__(
            {
                "i": In(stream.Signature(plan.layout)),
                "o": Out(stream.Signature(beat_layout(plan.type, plan.lanes))),
                "load": Out(LOAD_BUS),
                "left": In(outputs),
                "error": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        plan, beat = self.plan, self.i.payload
        index = Signal(range(max(plan.beats, 2)))
        last = index == plan.beats - 1
        step = 8 * plan.element_bytes
        for lane in range(plan.lanes):
            m.d.comb += self.o.payload[lane].eq(beat.data[lane * step : lane * step + plan.type.width])
        goes = self.o.valid & self.o.ready
        empty = self._inside(m, goes & (index == 0))
        with m.If(goes):
            m.d.sync += index.eq(Mux(last, 0, index + 1))
        offered = self.i.valid & beat.load
        with m.FSM():
            with m.State("FRAMES"):
                m.d.comb += self.o.valid.eq(self.i.valid & ~beat.load)
                m.d.comb += self.i.ready.eq(Mux(beat.load, index != 0, self.o.ready))
                m.d.comb += self.error.eq(Mux(beat.load, offered & (index != 0), goes & (beat.last != last)))
                with m.If(offered & (index == 0) & empty):
                    m.d.sync += self.load.start.eq(1)
                    m.next = "LOAD"
            with m.State("LOAD"):
                m.d.sync += self.load.start.eq(0)
                self._load(m, offered)
            with m.State("SETTLE"):
                m.d.sync += self.load.strobe.eq(0)
                left = Signal(range(plan.settle), init=plan.settle - 1)
                m.d.sync += left.eq(Mux(left == 0, plan.settle - 1, left - 1))
                with m.If(left == 0):
                    m.next = "FRAMES"
        return m

    def _inside(self, m: Module, enters) -> Signal:
        """Whether no frame is inside, for every output."""
        empty = Signal(len(self.left))
        for n, leaves in enumerate(self.left):
            inside = Signal(_FRAMES, name=f"inside_{n}")
            m.d.sync += inside.eq(inside + enters - leaves)
            m.d.comb += empty[n].eq(inside == 0)
        return empty.all()

    def _load(self, m: Module, offered) -> None:
        """A byte a cycle, the lowest of a beat first."""
        plan, beat = self.plan, self.i.payload
        byte, count = Signal(range(max(plan.beat_bytes, 2)), name="byte_index"), Signal(range(plan.load_beats + 1))
        whole = byte == plan.beat_bytes - 1
        m.d.sync += [self.load.strobe.eq(offered), self.load.data.eq(beat.data.word_select(byte, 8))]
        m.d.comb += self.i.ready.eq(beat.load & whole)
        with m.If(offered):
            m.d.sync += byte.eq(Mux(whole, 0, byte + 1))
            with m.If(whole):
                m.d.comb += self.error.eq(beat.last != (count == plan.load_beats - 1))
                m.d.sync += count.eq(Mux(beat.last, 0, Mux(count == plan.load_beats, count, count + 1)))
                with m.If(beat.last):
                    m.next = "SETTLE"
        with m.Elif(self.i.valid):
            m.d.comb += self.error.eq(1)
            m.d.sync += count.eq(0)
            m.next = "SETTLE"
