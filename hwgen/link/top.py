"""An accelerator behind the link: bytes of the line in and out."""

from collections.abc import Sequence

from amaranth.hdl import Cat, ClockDomain, ClockSignal, Const, DomainRenamer, Module, Mux, ResetSignal, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.link.endpoint import Buffers, Endpoint
from hwgen.link.messages import Loads, Messages
from hwgen.top.axi import AxiPort, BeatCounter, port_names


class Gather(wiring.Component):
    """Bytes to beats of ``size`` bytes, the first lowest."""

    def __init__(self, size: int):
        self.size = size
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(8 * size))})

    def elaborate(self, platform):
        m = Module()
        held, count = Signal(8 * self.size), Signal(range(self.size + 1))
        full = count == self.size
        m.d.comb += [self.o.valid.eq(full), self.o.payload.eq(held), self.i.ready.eq(~full | self.o.ready)]
        with m.If(full & self.o.ready):
            m.d.sync += count.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [held.eq(Cat(held, self.i.payload)[8:]), count.eq(Mux(full, 1, count + 1))]
        return m


class Scatter(wiring.Component):
    """Beats of ``size`` bytes to bytes, the lowest first; ``last`` comes with the last byte of a beat that had it.

    With ``tag`` every element of ``element`` bytes has that byte in front.
    """

    def __init__(self, size: int, element: int, tag: int | None = None):
        self.size, self.element, self.tag = size, element, tag
        super().__init__(
            {
                "i": In(stream.Signature(8 * size)),
                "i_last": In(1),
                "o": Out(stream.Signature(8)),
                "o_last": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        element = self.element + (self.tag is not None)
        total = self.size // self.element * element
        beat = Signal(8 * total)
        words = [self.i.payload.word_select(n, 8 * self.element) for n in range(self.size // self.element)]
        tags = [] if self.tag is None else [Const(self.tag, 8)]
        spread = Cat(*(part for word in words for part in (*tags, word)))
        left, last = Signal(range(total + 1)), Signal()
        empty = (left == 0) | ((left == 1) & self.o.ready)
        m.d.comb += [
            self.i.ready.eq(empty),
            self.o.valid.eq(left != 0),
            self.o.payload.eq(beat[:8]),
            self.o_last.eq(last & (left == 1)),
        ]
        with m.If(self.i.valid & empty):
            m.d.sync += [beat.eq(spread), left.eq(total), last.eq(self.i_last)]
        with m.Elif(self.o.valid & self.o.ready):
            m.d.sync += [beat.eq(beat >> 8), left.eq(left - 1)]
        return m


class LinkTop(wiring.Component):
    """``core``, an :class:`hwgen.top.axi.AxiTop` or what has its ports, behind an :class:`Endpoint`.

    ``data`` with ``valid`` are bytes from the line, ``line`` those to it; ``frame_error`` is the core's. Elements come
    and go in raster order, in whole bytes, the lowest first. Of several results each element has the number of its
    stream in front. A ``RESET`` over the line resets the core, too. With ``loads`` frames and loads come in messages
    (:mod:`hwgen.link.messages`).
    """

    def __init__(
        self,
        core,
        source: AxiPort,
        results: Sequence[AxiPort],
        buffers: Buffers,
        design: bytes,
        loads: Loads | None = None,
    ):
        self.core, self.source, self.results = core, source, tuple(results)
        self.buffers, self.design, self.loads = buffers, design, loads
        line = {"data": In(8), "valid": In(1), "line": Out(stream.Signature(8))}
        super().__init__({**line, "frame_error": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.endpoint = endpoint = Endpoint(self.buffers, self.design, self.loads is not None)
        m.domains.core = ClockDomain("core", local=True)
        # Two registers without a reset of their own: it goes to all of the core, over the whole device.
        early, reset = (Signal(init=1, reset_less=True) for _ in range(2))
        m.d.sync += [early.eq(endpoint.reset), reset.eq(early)]
        m.d.comb += [ClockSignal("core").eq(ClockSignal()), ResetSignal("core").eq(reset)]
        m.d.comb += [
            endpoint.data.eq(self.data),
            endpoint.valid.eq(self.valid),
            self.frame_error.eq(self.core.frame_error),
        ]
        wiring.connect(m, endpoint.line, wiring.flipped(self.line))
        behind = DomainRenamer("core")
        m.submodules.core = behind(self.core)
        m.submodules.gather = behind(gather := Gather(self.source.bits // 8))
        m.d.comb += [
            self.core.s_axis_tdata.eq(gather.o.payload),
            self.core.s_axis_tvalid.eq(gather.o.valid),
            gather.o.ready.eq(self.core.s_axis_tready),
        ]
        if self.loads:
            m.submodules.messages = behind(count := Messages(self.source.beats, self.loads))
            wiring.connect(m, endpoint.down, count.i)
            wiring.connect(m, count.o, gather.i)
            m.d.comb += [
                count.full.eq(gather.o.valid),
                self.core.s_axis_tuser.eq(count.load),
                endpoint.held.eq(count.held),
            ]
        else:
            m.submodules.count = behind(count := BeatCounter(self.source.beats))
            wiring.connect(m, endpoint.down, gather.i)
        m.d.comb += [self.core.s_axis_tlast.eq(count.last), count.step.eq(gather.o.valid & gather.o.ready)]
        ways = [self._result(m, behind, *port) for port in enumerate(port_names(len(self.results)))]
        self._merge(m, ways, endpoint)
        return m

    def _result(self, m: Module, behind, n: int, name: str) -> Scatter:
        """The bytes of one result."""
        port = self.results[n]
        way = Scatter(port.bits // 8, port.element_bytes, n if len(self.results) > 1 else None)
        m.submodules[f"scatter_{n}"] = behind(way)
        m.d.comb += [
            way.i.payload.eq(getattr(self.core, f"{name}_tdata")),
            way.i.valid.eq(getattr(self.core, f"{name}_tvalid")),
            getattr(self.core, f"{name}_tready").eq(way.i.ready),
            way.i_last.eq(getattr(self.core, f"{name}_tlast")),
        ]
        return way

    def _merge(self, m: Module, ways: Sequence[Scatter], endpoint: Endpoint) -> None:
        """One stream of all results: a way is left where it has nothing more to give, between beats."""
        turn = Signal(range(len(ways)))
        with m.Switch(turn):
            for n, way in enumerate(ways):
                with m.Case(n):
                    m.d.comb += [
                        endpoint.up.payload.eq(way.o.payload),
                        endpoint.up.valid.eq(way.o.valid),
                        way.o.ready.eq(endpoint.up.ready),
                        endpoint.last.eq(way.o_last),
                    ]
                    with m.If(~way.o.valid):
                        m.d.sync += turn.eq((n + 1) % len(ways))
