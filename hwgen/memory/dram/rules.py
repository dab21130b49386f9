"""AXI4's rules for a read master as a watch that stands around it, for proofs."""

from functools import reduce
from operator import or_

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .contract import MOST_BEATS, PAGE
from .master import OFFSET, ReadMaster


class ReadRules(wiring.Component):
    """``master`` with any slave that answers nothing that was not asked for; ``broken`` is 1 where a rule is broken.

    Of AXI4 (ARM IHI 0022): a request stays as it is until it is taken (A3.2.1), a burst crosses no page and is not too
    long (A3.4.1). And of the master: what it asks for lies in its region, its queue has a place for every beat that is
    asked for, and so it takes every answer. The rest of ``broken`` is what makes these inductive: credits say how many
    places are free. ``page`` must not change.
    """

    def __init__(self, master: ReadMaster):
        self.master = master
        ends = {name: member for name, member in master.signature.members.items() if name in ("page", "go")}
        super().__init__(
            {**ends, "ar_ready": In(1), "r_valid": In(1), "r": In(master.r.payload.shape()), "o_ready": In(1)}
            | {"broken": Out(1)}
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.master = master = self.master
        changed, page, known = Signal(), Signal.like(self.page), Signal()
        m.d.sync += [page.eq(self.page), known.eq(1), changed.eq(changed | (known & (page != self.page)))]
        owed = self._slave(m)
        wrong = [*self._channel(m), *self._request(m), ~self.master.r.ready, *self._credits(owed)]
        m.d.comb += [
            master.page.eq(self.page),
            master.go.eq(self.go),
            master.o.ready.eq(self.o_ready),
            self.broken.eq(reduce(or_, wrong) & ~changed & ~(known & (page != self.page))),
        ]
        return m

    def _slave(self, m: Module) -> Signal:
        """Answers to what was asked for, in any cycle; returns how many beats are owed."""
        master = self.master
        owed, ar = Signal(range(master.places + 2 * master.region.burst)), master.ar
        answers = Signal()
        m.d.comb += [
            ar.ready.eq(self.ar_ready),
            answers.eq(self.r_valid & (owed != 0)),
            master.r.valid.eq(answers),
            master.r.payload.eq(self.r),
        ]
        asked = Mux(ar.valid & ar.ready, ar.payload.len + 1, 0)
        m.d.sync += owed.eq(owed + asked - (answers & master.r.ready))
        return owed

    def _channel(self, m: Module) -> list:
        """A request that was not taken is offered again."""
        ar = self.master.ar
        held, was = Signal(), Signal.like(ar.payload.as_value())
        m.d.sync += [held.eq(ar.valid & ~ar.ready), was.eq(ar.payload.as_value())]
        return [held & ~(ar.valid & (was == ar.payload.as_value()))]

    def _request(self, m: Module) -> list:
        """Where and how long a burst is: where the next one began when it was asked for, which is never outside."""
        master, region = self.master, self.master.region
        ar, begin = master.ar, Signal.like(master.index)
        with m.If(~ar.valid | ar.ready):
            m.d.sync += begin.eq(master.index)
        shift, beats = (region.burst * region.bus - 1).bit_length(), ar.payload.len + 1
        wrong = ar.payload.addr != (self.page << OFFSET) + (begin << shift)
        length = Mux(begin == region.bursts - 1, region.last, region.burst)
        crosses = ar.payload.addr[:OFFSET] + beats * region.bus > PAGE
        wrong |= crosses | (beats > MOST_BEATS[region.axi]) | (beats != length)
        return [ar.valid & wrong, begin >= region.bursts, master.index >= region.bursts]

    def _credits(self, owed: Signal) -> list:
        """Every beat that was asked for has its place: asked for, owed, arriving, inside, offered, or just taken."""
        master, outlet = self.master, self.master.outlet
        asked = Mux(master.ar.valid, master.ar.payload.len + 1, 0)
        used = asked + owed + master.arrived + outlet.queue.inside + ~outlet.kept
        return [
            used + outlet.spare + outlet.beats != outlet.depth,
            outlet.spare < -outlet.beats,
            (outlet.queue.level > 0) | (-outlet.queue.level > outlet.depth),
        ]
