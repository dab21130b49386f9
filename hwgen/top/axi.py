"""The exported top: a core between two AXI4-Stream ports."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import ClockSignal, Instance, Module, Mux, ResetSignal, Shape, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.blocks.stream import beat_layout, join, numbered
from hwgen.blocks.stream import port_names as stream_names
from hwgen.dataflow.pipeline import Pipeline
from hwgen.dataflow.plan import Plan
from hwgen.graph.errors import InputError
from hwgen.graph.types import IntType
from hwgen.hdl.contents import Contents
from hwgen.top.loader import LoadedPipeline, LoadPlan
from hwgen.top.reading import AxiChannels, ReadingPipeline
from hwgen.top.tdata import element_bytes, tdata_rows


def port_names(outputs: int) -> list[str]:
    """What the ports are called over which so many streams leave."""
    return ["m_axis"] if outputs == 1 else [f"m_axis_{n}" for n in range(outputs)]


class RegisterSlice(wiring.Component):
    """A stream cut by registers both ways: no path leads through it, and it moves a beat in every cycle.

    Latency: one cycle. It holds up to two beats.
    """

    LATENCY = 1

    def __init__(self, layout):
        super().__init__({"i": In(stream.Signature(layout)), "o": Out(stream.Signature(layout))})

    def elaborate(self, platform):
        m = Module()
        layout = self.o.payload.shape()
        offer, full = Signal(), Signal()
        head, spare = Signal(layout), Signal(layout)
        m.d.comb += [self.i.ready.eq(~full), self.o.valid.eq(offer), self.o.payload.eq(head)]
        with m.If(self.o.ready | ~offer):
            m.d.sync += [offer.eq(self.i.valid | full), full.eq(0)]
            m.d.sync += _value(head).eq(Mux(full, _value(spare), _value(self.i.payload)))
        with m.Elif(self.i.valid & ~full):
            m.d.sync += [full.eq(1), _value(spare).eq(_value(self.i.payload))]
        return m


def _value(view) -> Value:
    return Value.cast(view)


class BeatCounter(wiring.Component):
    """Counts beats as they move; ``last`` is 1 at the last of every ``beats``."""

    def __init__(self, beats: int):
        self.beats = beats
        super().__init__({"step": In(1), "last": Out(1)})

    def elaborate(self, platform):
        m = Module()
        if self.beats == 1:
            m.d.comb += self.last.eq(1)
            return m
        index = Signal(range(self.beats))
        m.d.comb += self.last.eq(index == self.beats - 1)
        with m.If(self.step):
            m.d.sync += index.eq(Mux(self.last, 0, index + 1))
        return m


def _check(port: str, given, type_: IntType, lanes: int) -> None:
    shape, wanted = given.payload.shape(), beat_layout(type_, lanes)
    if shape != wanted:
        raise TypeError(f"{port} of the core: {shape!r} is not {lanes} x {type_}, which is {wanted!r}")


@dataclass(frozen=True)
class AxiPort:
    """What moves over a port: ``lanes`` integers of ``type`` in a beat, ``beats`` of them in a frame."""

    type: IntType
    lanes: int
    beats: int

    def __post_init__(self):
        if self.beats < 1:
            raise ValueError(f"a frame needs at least one beat, not {self.beats}")

    @property
    def element_bytes(self) -> int:
        """What one element takes."""
        return element_bytes(self.type)

    @property
    def bits(self) -> int:
        """The width of ``tdata``."""
        return 8 * self.element_bytes * self.lanes

    @property
    def frame_bytes(self) -> int:
        """What a frame takes, also in the memory of a host."""
        return self.beats * self.bits // 8

    def words(self, values: np.ndarray) -> Contents:
        """Frames [N, H, W, C] as words of ``tdata``."""
        return Contents(tdata_rows(values, self.type, self.lanes), self.bits)


def _members(name: str, port: AxiPort, flow) -> dict:
    """The signals of a port whose data flow so."""
    members = {"tdata": flow(port.bits), "tvalid": flow(1), "tready": flow.flip()(1), "tlast": flow(1)}
    return {f"{name}_{signal}": member for signal, member in members.items()}


class AxiTop(wiring.Component):
    """``core`` with AXI4-Stream ports.

    ``core`` has a stream ``i`` of what ``source`` says, and ``o``, or ``o_0`` and so on, of what ``results`` say.
    Ports: ``clk``, ``rst`` (synchronous, active high), ``s_axis_*`` and ``m_axis_*`` with ``tdata``, ``tvalid``,
    ``tready``, ``tlast``, and ``frame_error``. Of several results each has a port: ``m_axis_0_*`` and so on; all must
    be taken.

    Every element takes whole bytes of ``tdata``, the first in raster order in the lowest; on the way in the bits
    above an element's own are ignored, on the way out they repeat its sign (zero if it has none).

    Where ``core`` is a :class:`LoadedPipeline`, beats with ``s_axis_tuser`` are bytes of weights, the lowest first; a
    load ends with ``s_axis_tlast``. It waits until the frames before it have left, and frames wait for it. A load of
    another length than what the weights take, one within a frame (which is dropped) and a frame within a load raise
    ``frame_error``, too.

    Frames are told apart by counting beats and by nothing else. ``s_axis_tlast`` is only compared with the count:
    where it comes too early or is missing, ``frame_error`` goes to 1 in the next cycle and stays there
    until reset. The beats are taken as if ``tlast`` had been right, so that after a lost beat frames are cut in the
    wrong place from there on; only ``rst`` starts a new frame.

    Where ``core`` is a :class:`hwgen.top.reading.ReadingPipeline`, it reads its image from page ``memory_page`` (of 4
    KiB) of a memory over AXI: ``m_axi_ar*`` and ``m_axi_r*``, or ``m_axi_0_ar*`` and so on, once ``memory_go`` is 1.
    Neither may change then. ``image_error``, ``memory_error`` and ``weights_late`` are those of the core.

    All streams are cut by registers. A core that moves its first beats in cycles a and b moves them over these ports
    in cycles a and b + :attr:`LATENCY`; the cycles per frame are the core's. Raises TypeError if the core's streams
    carry something else.
    """

    LATENCY = 2 * RegisterSlice.LATENCY

    def __init__(self, core: wiring.Component, source: AxiPort, results: Sequence[AxiPort]):
        names = stream_names(core)[1]
        #: What is loaded; None where nothing is.
        self.loads = core.loads if isinstance(core, LoadedPipeline) else None
        if self.loads is None:
            _check("input", core.i, source.type, source.lanes)
        for name, result in zip(names, results, strict=True):
            _check("output", getattr(core, name), result.type, result.lanes)
        self.core, self.source, self.results = core, source, tuple(results)
        #: The ports of the results, by what they are called in the core.
        self.ports = dict(zip(names, port_names(len(names)), strict=True))
        members = _members("s_axis", source, In)
        if self.loads:
            members["s_axis_tuser"] = In(1)
        for port, result in zip(self.ports.values(), self.results, strict=True):
            members |= _members(port, result, Out)
        #: What is read from DRAM, and the ports for that; none where nothing is.
        self.reading = core if isinstance(core, ReadingPipeline) else None
        self.channels: list[AxiChannels] = []
        if self.reading:
            names = numbered("m_axi", len(self.reading.regions))
            self.channels = list(map(AxiChannels, names, self.reading.regions))
            members |= {"memory_page": In(len(self.reading.page)), "memory_go": In(1)}
            members |= {name: self.reading.signature.members[name] for name in self.reading.flags}
        for channels in self.channels:
            members |= channels.members
        super().__init__({**members, "frame_error": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.core = self.core
        if self.loads:
            self._loaded_input(m, self.loads)
        else:
            self._input(m)
        for (name, port), result in zip(self.ports.items(), self.results, strict=True):
            self._output(m, getattr(self.core, name), port, result)
        if self.reading:
            self._memory(m, self.reading)
        return m

    def _memory(self, m: Module, core: ReadingPipeline) -> None:
        m.d.comb += [core.page.eq(self.memory_page), core.go.eq(self.memory_go)]
        m.d.comb += [getattr(self, name).eq(getattr(core, name)) for name in core.flags]
        for channels, name in zip(self.channels, core.ports, strict=True):
            channels.join(m, self, getattr(core, name))

    def _input(self, m: Module) -> None:
        type_, lanes = self.source.type, self.source.lanes
        m.submodules.s_axis = port = RegisterSlice(beat_layout(type_, lanes))
        bits = 8 * self.source.element_bytes
        m.d.comb += [port.i.valid.eq(self.s_axis_tvalid), self.s_axis_tready.eq(port.i.ready)]
        for lane in range(lanes):
            m.d.comb += port.i.payload[lane].eq(self.s_axis_tdata[lane * bits : lane * bits + type_.width])
        m.submodules.s_axis_count = count = BeatCounter(self.source.beats)
        m.d.comb += count.step.eq(self.s_axis_tvalid & self.s_axis_tready)
        with m.If(count.step & (count.last != self.s_axis_tlast)):
            m.d.sync += self.frame_error.eq(1)
        join(m, port.o, self.core.i, "input of the top")

    def _loaded_input(self, m: Module, loads: LoadPlan) -> None:
        """Frames and loads, which the core tells apart and counts."""
        m.submodules.s_axis = port = RegisterSlice(loads.layout)
        m.d.comb += [
            port.i.valid.eq(self.s_axis_tvalid),
            self.s_axis_tready.eq(port.i.ready),
            port.i.payload.data.eq(self.s_axis_tdata),
            port.i.payload.last.eq(self.s_axis_tlast),
            port.i.payload.load.eq(self.s_axis_tuser),
        ]
        with m.If(self.core.error):
            m.d.sync += self.frame_error.eq(1)
        join(m, port.o, self.core.i, "input of the top")

    def _output(self, m: Module, given, name: str, result: AxiPort) -> None:
        """The last flag is counted ahead of the register, and goes through it with its beat."""
        layout = {"beat": beat_layout(result.type, result.lanes), "last": 1}
        m.submodules[name] = port = RegisterSlice(data.StructLayout(layout))
        m.submodules[f"{name}_count"] = count = BeatCounter(result.beats)
        tdata, tvalid, tready, tlast = (getattr(self, f"{name}_t{n}") for n in ("data", "valid", "ready", "last"))
        m.d.comb += [
            count.step.eq(given.valid & port.i.ready),
            port.i.payload.beat.eq(given.payload),
            port.i.payload.last.eq(count.last),
            port.i.valid.eq(given.valid),
            given.ready.eq(port.i.ready),
            tvalid.eq(port.o.valid),
            tlast.eq(port.o.payload.last),
            port.o.ready.eq(tready),
        ]
        bits = 8 * result.element_bytes
        for lane in range(result.lanes):
            wide = Signal(Shape(bits, result.type.signed), name=f"{name}_element_{lane}")
            m.d.comb += [
                wide.eq(port.o.payload.beat[lane]),
                tdata[lane * bits : (lane + 1) * bits].eq(wide),
            ]


class CoreInstance(wiring.Component):
    """An instance of the module ``name`` with the ports of the :class:`AxiTop` ``core``, whose Verilog is
    made apart."""

    def __init__(self, name: str, core: wiring.Component):
        self.name = name
        super().__init__(core.signature)

    def elaborate(self, platform):
        members = self.signature.members.items()
        ports = {f"{'i' if member.flow == In else 'o'}_{name}": getattr(self, name) for name, member in members}
        m = Module()
        m.submodules.instance = Instance(self.name, i_clk=ClockSignal(), i_rst=ResetSignal(), **ports)
        return m


def axi_top(plan: Plan) -> AxiTop:
    """The pipeline of ``plan`` between AXI4-Stream ports. Raises InputError where some weights are loaded and others
    read from DRAM."""
    if plan.loading and plan.memories:
        raise InputError("weights in DRAM do not go with others that are loaded; build with --weights fixed")
    core = Pipeline(plan)
    streams = (plan.network.input, *plan.network.results)
    ports = [
        AxiPort(stream.map.type, lanes, stream.map.elements // lanes)
        for stream, lanes in zip(streams, (core.lanes_in, *core.lanes_out), strict=True)
    ]
    inside = ReadingPipeline(core) if plan.memories else LoadedPipeline(core) if plan.loading else core
    return AxiTop(inside, ports[0], ports[1:])
