"""The accelerator as hosts want it: memory in, memory out.

A host's DMA moves *transfers*: whole frames, one behind the other without a gap, in words of 4, 8 or 16 bytes whatever
the network's beats are. Elements take whole bytes, the lowest first, in raster order, channels last. What comes back is
packed likewise, and the last word of a transfer's results is marked, so that a DMA knows when it is done. Where weights
are loaded, the first word of a transfer says whether it holds frames or weights (:mod:`hwgen.projects.header`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import starmap

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.memory.queue import Outlet
from hwgen.top.axi import AxiPort, AxiTop, BeatCounter

from .gearbox import Gearbox
from .header import FRAMES, WEIGHTS, HeaderReader, headed

NARROWEST = 4  # bytes of a word: less a DMA does not move through memory


def host_width(frame_bytes: int, interval: int, widest: int) -> int:
    """The least bytes in a word, a power of two from 4 to ``widest``, that move a frame within ``interval`` cycles;
    ``widest`` where none does."""
    width = NARROWEST
    while width < widest and -(-frame_bytes // width) > interval:
        width *= 2
    return width


@dataclass(frozen=True)
class Dialect:
    """What signals are called: of AXI4-Stream, or of Avalon-ST (with the first byte lowest).

    ``side`` says which bytes of the last word there are: a bit for each, or how many are empty.
    """

    suffix: str
    sink: str
    source: str
    data: str
    valid: str
    ready: str
    last: str
    side: str
    first: str | None = None

    @property
    def roles(self) -> tuple[str, ...]:
        """The signals of a port, without its prefix."""
        return tuple(filter(None, (self.data, self.valid, self.ready, self.last, self.side, self.first)))

    def side_bits(self, width: int) -> int:
        """Bits of what says how much of a word of ``width`` bytes counts: a bit for each, or a number."""
        return width if self.first is None else (width - 1).bit_length()

    def side_of(self, used: int, width: int) -> int:
        """The value of ``side`` where ``used`` of ``width`` bytes are there."""
        return (1 << used) - 1 if self.first is None else width - used


AXI4 = Dialect("host", "s_axis", "m_axis", "tdata", "tvalid", "tready", "tlast", "tkeep")
AVALON = Dialect("avalon", "sink", "source", "data", "valid", "ready", "endofpacket", "empty", "startofpacket")


@dataclass(frozen=True)
class HostPort:
    """A port of :class:`HostTop`: the prefix of its signals, what moves over it, and the bytes in a word."""

    name: str
    port: AxiPort
    width: int

    def words(self, blob: bytes) -> list[tuple[int, int, bool]]:
        """A transfer as words: the data, how many bytes there are, whether it is the last."""
        parts = [blob[at : at + self.width] for at in range(0, len(blob), self.width)]
        return [(int.from_bytes(part, "little"), len(part), n == len(parts) - 1) for n, part in enumerate(parts)]


class HostTop(wiring.Component):
    """``core``, an :class:`AxiTop` or a :class:`CoreInstance` of ``top``, for hosts that move transfers.

    Ports: ``clk``, ``rst`` (synchronous, active high), those of ``source`` and of each of ``results`` in the signals of
    the ``dialect``, and ``frame_error``.

    A transfer holds any number of whole frames; its results are one transfer at each output, as long. One that ends
    within a frame is a mistake: ``frame_error`` goes to 1 and stays there until reset, and the frame is completed with
    zeros, so that the host gets as many results as frames begun, and later transfers are not harmed. At most
    ``in_flight`` frames are between the ports, those that are partly in not counted.

    Where ``top`` has weights to load, a transfer begins with a word that says what it holds, and one with weights has
    no results. It waits until the frames before it have left, and frames wait for it. A load of another length than
    what the weights take, a first word that says nothing known (that transfer is dropped) and one with nothing behind
    it raise ``frame_error``, too.
    """

    def __init__(self, top: AxiTop, core: wiring.Component, dialect: Dialect, widths: Sequence[int], in_flight: int):
        self.core, self.dialect, self.in_flight = core, dialect, in_flight
        names = [name.replace("m_axis", dialect.source) for name in top.ports.values()]
        self.source = HostPort(dialect.sink, top.source, widths[0])
        self.results = tuple(starmap(HostPort, zip(names, top.results, widths[1:], strict=True)))
        self.core_ports = tuple(top.ports.values())
        #: What is loaded; None where nothing is.
        self.loads = top.loads
        members = self._members(self.source, In)
        for result in self.results:
            members |= self._members(result, Out)
        super().__init__({**members, "frame_error": Out(1)})

    def of_frames(self, blob: bytes) -> bytes:
        """The transfer of the frames ``blob``."""
        return headed(FRAMES, blob, self.source.width) if self.loads else blob

    def of_weights(self, image: bytes) -> bytes:
        """The transfer that loads the weights ``image``, which fill whole beats."""
        return headed(WEIGHTS, image, self.source.width)

    def _members(self, host: HostPort, flow) -> dict:
        d, back = self.dialect, Out if flow == In else In
        first = {d.first: flow(1)} if d.first else {}
        signals = {
            d.data: flow(8 * host.width),
            d.side: flow(d.side_bits(host.width)),
            d.valid: flow(1),
            d.ready: back(1),
            d.last: flow(1),
        } | first
        return {f"{host.name}_{name}": member for name, member in signals.items()}

    def _signal(self, host: HostPort, name: str):
        return getattr(self, f"{host.name}_{name}")

    def elaborate(self, platform):
        m = Module()
        m.submodules.core = self.core
        ends = [Outlet(data.StructLayout({"ends": 1}), self.in_flight) for _ in self.results]
        for n, (outlet, host, name) in enumerate(zip(ends, self.results, self.core_ports, strict=True)):
            m.submodules[f"ends_{n}"] = outlet
            self._output(m, host, name, outlet)
        self._input(m, ends)
        return m

    def _input(self, m: Module, ends: Sequence[Outlet]) -> None:
        """Cut into frames by count; at the end of each the outputs are told whether the transfer ends there, too."""
        host, core = self.source, self.core
        m.submodules.unpack = gear = Gearbox(host.width, host.port.bits // 8)
        header = self._header(m, host, gear) if self.loads else None
        self._take(m, host, gear, header.i if header else gear.i)
        m.submodules.beats = count = BeatCounter(host.port.beats)
        filling, allowed, move, wrong = Signal(), Signal(), Signal(), Signal()
        permits = Const(1)
        for outlet in ends:
            permits = permits & outlet.permit
        word = gear.o.payload
        step, last, early = move, count.last, ~count.last
        if header:
            loads = Signal()
            m.d.comb += [loads.eq(header.loads & ~filling), core.s_axis_tuser.eq(loads)]
            step, last, early = move & ~loads, Mux(loads, word.last, count.last), ~count.last & ~loads
        m.d.comb += [
            allowed.eq(~count.last | permits),
            core.s_axis_tvalid.eq((gear.o.valid | filling) & allowed),
            core.s_axis_tdata.eq(Mux(filling, 0, word.data)),
            core.s_axis_tlast.eq(last),
            gear.o.ready.eq(core.s_axis_tready & ~filling & allowed),
            move.eq(core.s_axis_tvalid & core.s_axis_tready),
            count.step.eq(step),
            wrong.eq(move & ~filling & word.last & (early | (word.empty != 0))),
        ]
        with m.If(step):
            m.d.sync += filling.eq((filling | word.last) & ~count.last)
        for outlet in ends:
            ended = step & count.last
            m.d.comb += [outlet.debit.eq(ended), outlet.push.eq(ended), outlet.payload.ends.eq(filling | word.last)]
        failed = Signal()
        with m.If(wrong | header.error if header else wrong):
            m.d.sync += failed.eq(1)
        m.d.comb += self.frame_error.eq(failed | core.frame_error)

    def _header(self, m: Module, host: HostPort, gear: Gearbox) -> HeaderReader:
        """In front of ``gear``, which takes nothing of a transfer before it has given all of the one before."""
        m.submodules.header = header = HeaderReader(host.width, gear.unit)
        wiring.connect(m, header.o, gear.i)
        return header

    def _take(self, m: Module, host: HostPort, gear: Gearbox, words) -> None:
        d, word = self.dialect, words.payload
        m.d.comb += [
            words.valid.eq(self._signal(host, d.valid)),
            self._signal(host, d.ready).eq(words.ready),
            word.data.eq(self._signal(host, d.data)),
            word.last.eq(self._signal(host, d.last)),
        ]
        side = self._signal(host, d.side)
        if d.first is None:
            absent = [~side[at] for at in range(gear.unit, host.width, gear.unit)]
            m.d.comb += word.empty.eq(sum(absent, Const(0)))
        else:
            # Only the last word of a packet says how many of its bytes are empty.
            last = self._signal(host, d.last)
            m.d.comb += word.empty.eq(Mux(last, side >> (gear.unit.bit_length() - 1), 0))

    def _output(self, m: Module, host: HostPort, name: str, outlet: Outlet) -> None:
        """The last beat of a frame waits until it is known whether the transfer ends with it."""
        tdata, tvalid, tready, tlast = (getattr(self.core, f"{name}_t{n}") for n in ("data", "valid", "ready", "last"))
        number = name.removeprefix("m_axis")
        m.submodules[f"pack{number}"] = gear = Gearbox(host.port.bits // 8, host.width)
        known = ~tlast | outlet.o.valid
        m.d.comb += [
            gear.i.valid.eq(tvalid & known),
            tready.eq(gear.i.ready & known),
            outlet.o.ready.eq(tvalid & tlast & gear.i.ready),
            gear.i.payload.data.eq(tdata),
            gear.i.payload.last.eq(tlast & outlet.o.payload.ends),
        ]
        self._give(m, host, gear)

    def _give(self, m: Module, host: HostPort, gear: Gearbox) -> None:
        d, word = self.dialect, gear.o.payload
        valid, ready, last = (self._signal(host, name) for name in (d.valid, d.ready, d.last))
        m.d.comb += [
            valid.eq(gear.o.valid),
            gear.o.ready.eq(ready),
            last.eq(word.last),
            self._signal(host, d.data).eq(word.data),
        ]
        side = self._signal(host, d.side)
        if d.first is None:
            there = gear.given - word.empty
            m.d.comb += [side[at].eq(at // gear.unit < there) for at in range(host.width)]
            return
        m.d.comb += side.eq(word.empty * gear.unit)
        first = Signal(init=1, name=f"{host.name}_is_first")
        m.d.comb += self._signal(host, d.first).eq(first)
        with m.If(valid & ready):
            m.d.sync += first.eq(last)
