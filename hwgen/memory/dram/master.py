"""An AXI read master that runs ahead: the bytes of a region in order, over and over, as a stream."""

from amaranth.hdl import Module, Mux, Shape, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.cost.actor import Actor
from hwgen.memory.queue import Outlet, behind, wrapping_increment

from .contract import PAGE, Contract, Region, source

#: Bits of an address, as AXI ports of processors have at least.
ADDRESS = 32
OFFSET = (PAGE - 1).bit_length()


def request_layout(region: Region) -> data.StructLayout:
    """What a read asks for: ``addr`` in bytes, and ``len``, the beats less one."""
    return data.StructLayout({"addr": ADDRESS, "len": max((region.burst - 1).bit_length(), 1)})


def answer_layout(region: Region) -> data.StructLayout:
    """A beat of an answer: ``data`` with the first byte lowest, ``resp`` (0 where all is well), and ``last``."""
    return data.StructLayout({"data": 8 * region.bus, "resp": 2, "last": 1})


class ReadMaster(wiring.Component):
    """Reads ``region`` from page ``page`` on, frame after frame, while ``go`` is 1; ``page`` must not change.

    ``ar`` and ``r`` are AXI's channels, ``o`` the beats in order. A burst is asked for only when there are places for
    all of it, of the ``places`` for beats, so that ``r`` is always taken. All bursts begin at a multiple of their
    length, so that none crosses a page. ``error`` becomes 1, and stays so, at an answer whose ``resp`` is not 0 or
    whose ``last`` is not where it was asked for.

    A beat that came in cycle t is offered from cycle t + :attr:`BEHIND` on, or from the next where the queue is deep.
    """

    #: A register, and the queue.
    BEHIND = 1 + Outlet.LATENCY
    #: From the cycle in which there is room to that in which a burst is asked for.
    AHEAD = 1

    def __init__(self, region: Region, places: int):
        if places < region.burst:
            raise ValueError(f"{places} places do not hold a burst of {region.burst} beats")
        self.region, self.places = region, places
        #: The cycle's credits and beats inside, for proofs.
        self.outlet = Outlet(data.ArrayLayout(Shape(8), region.bus), places, region.burst)
        #: What was taken and is on its way to the queue.
        self.arrived = Signal()
        #: Where the next burst begins, counted from the region's first byte in bursts.
        self.index = Signal(range(region.bursts))
        super().__init__(
            {
                "page": In(ADDRESS - OFFSET),
                "go": In(1),
                "ar": Out(stream.Signature(request_layout(region))),
                "r": In(stream.Signature(answer_layout(region))),
                "o": Out(stream.Signature(data.ArrayLayout(Shape(8), region.bus))),
                "error": Out(1),
            }
        )

    @staticmethod
    def actor(region: Region, contract: Contract, places: int) -> Actor:
        """The master with the slowest memory that keeps ``contract``."""
        latency = ReadMaster.AHEAD + ReadMaster.BEHIND + behind(places)
        return source(region, contract, places, latency, Outlet.CREDIT)

    @staticmethod
    def round_trip() -> int:
        """Cycles from a beat being offered to one being asked for in its place at most, but for the memory's own."""
        return ReadMaster.AHEAD + ReadMaster.BEHIND + 1 + Outlet.CREDIT

    def elaborate(self, platform):
        m = Module()
        m.submodules.outlet = outlet = self.outlet
        wiring.connect(m, outlet.o, wiring.flipped(self.o))
        self._ask(m, outlet)
        self._answer(m, outlet)
        return m

    def _ask(self, m: Module, outlet: Outlet) -> None:
        """Bursts as there is room, the next one kept in registers."""
        region, ask, last = self.region, Signal(), Signal()
        beats = Mux(last, region.last, region.burst)
        shift = (region.burst * region.bus - 1).bit_length()
        m.d.comb += [
            last.eq(self.index == region.bursts - 1),
            ask.eq(self.go & outlet.permit & (~self.ar.valid | self.ar.ready)),
            outlet.debit.eq(ask),
            outlet.amount.eq(beats),
        ]
        with m.If(ask):
            m.d.sync += [
                self.ar.payload.addr.eq((self.page << OFFSET) + (self.index << shift)),
                self.ar.payload.len.eq(beats - 1),
                self.index.eq(wrapping_increment(self.index, region.bursts)),
            ]
        with m.If(ask | self.ar.ready):
            m.d.sync += self.ar.valid.eq(ask)

    def _answer(self, m: Module, outlet: Outlet) -> None:
        """Beats into the queue, through a register; and whether they are those that were asked for."""
        region, beat, burst = self.region, Signal(range(self.region.burst)), Signal(range(self.region.bursts))
        last, told = Signal(), Signal.like(self.r.payload.data, reset_less=True)
        m.d.comb += [
            self.r.ready.eq(1),
            last.eq(beat == Mux(burst == region.bursts - 1, region.last, region.burst) - 1),
            outlet.push.eq(self.arrived),
            outlet.payload.as_value().eq(told),
        ]
        m.d.sync += [self.arrived.eq(self.r.valid), told.eq(self.r.payload.data)]
        with m.If(self.r.valid):
            m.d.sync += beat.eq(Mux(last, 0, beat + 1))
            with m.If(last):
                m.d.sync += burst.eq(wrapping_increment(burst, region.bursts))
            with m.If((self.r.payload.resp != 0) | (self.r.payload.last != last)):
                m.d.sync += self.error.eq(1)
