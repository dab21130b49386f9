"""What is read of a memory once and given several times: kept in a RAM in between."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from amaranth.hdl import Module, Mux, Shape, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.cost.actor import Actor, Give, Take, counting, ones
from hwgen.cost.logic import Logic, counter, stepper
from hwgen.cost.needs import MemoryNeed
from hwgen.memory.loops import lookup
from hwgen.memory.queue import Outlet, queue_depth, queue_logic, wrapping_increment
from hwgen.memory.ram import ram_need, ram_ports, read_register


@dataclass(frozen=True)
class Section:
    """So many times (``count``): ``once`` beats that are given once, then ``again`` beats that are given ``times``
    times, all of them 1 or more."""

    count: int
    once: int
    again: int
    times: int

    @property
    def read(self) -> int:
        """Beats that are read."""
        return self.count * (self.once + self.again)

    @property
    def order(self) -> np.ndarray:
        """The beats that are given, by their numbers among those that are read, int64."""
        one = np.r_[np.arange(self.once), np.tile(np.arange(self.once, self.once + self.again), self.times)]
        return (np.arange(self.count)[:, None] * (self.once + self.again) + one).ravel()

    @property
    def freed(self) -> np.ndarray:
        """Beats that are needed no longer behind each that is given, int64."""
        again = np.r_[np.full(self.again * (self.times - 1), self.once), self.once + np.arange(self.again) + 1]
        return (
            np.arange(self.count)[:, None] * (self.once + self.again) + np.r_[np.arange(self.once) + 1, again]
        ).ravel()


@dataclass(frozen=True)
class ReplayPlan:
    """``sections`` of a frame, in beats of ``bus`` bytes, with ``places`` for beats."""

    sections: tuple[Section, ...]
    bus: int
    places: int

    #: Cycles from the end of a step to its push: memory, its register.
    DEPTH = 2

    @property
    def least(self) -> int:
        """Places without which it would stand still."""
        return max((section.again for section in self.sections if section.times > 1), default=1)

    def _joined(self, parts: Iterable[np.ndarray]) -> np.ndarray:
        starts = np.cumsum([0, *(section.read for section in self.sections)])
        return np.concatenate([start + part for start, part in zip(starts, parts, strict=False)])

    @cached_property
    def order(self) -> np.ndarray:
        """The beats of a frame that are given, by their numbers among those that are read, int64."""
        return self._joined(section.order for section in self.sections)

    @property
    def latency(self) -> int:
        """From the end of a step to its beat being offered."""
        return self.DEPTH + Outlet.LATENCY - 1

    @property
    def queue(self) -> int:
        """Places of the queue at the end."""
        return queue_depth(self.latency, 1, 1)

    @cached_property
    def actor(self) -> Actor:
        """A step for each beat that is given."""
        need = np.maximum.accumulate(self.order + 1)
        take = Take(need, self._joined(section.freed for section in self.sections), self.places, start_delay=1)
        return Actor("replay", ones(len(need)), (take,), (Give(counting(len(need)), self.latency, self.queue),))

    @property
    def memories(self) -> tuple[MemoryNeed, ...]:
        """What is kept, and what waits to be taken."""
        return ram_need("kept", 8 * self.bus, self.places), ram_need("replayed", 8 * self.bus, self.queue)

    @property
    def logic(self) -> Logic:
        """Counted bits."""
        beats = [counter(max(max(s.once, s.again), s.times, s.count, 2)) for s in self.sections[:1]]
        levels = 2 * stepper(self.places.bit_length()) + 3 * counter(self.places)
        return levels + 3 * beats[0] + queue_logic(self.queue, 8 * self.bus) + read_register(8 * self.bus, self.places)


class Replay(wiring.Component):
    """Gives what comes in as ``plan`` says, frame after frame."""

    def __init__(self, plan: ReplayPlan):
        if plan.places < plan.least:
            raise ValueError(f"{plan.places} places do not hold the {plan.least} beats that are given again")
        self.plan = plan
        beats = stream.Signature(data.ArrayLayout(Shape(8), plan.bus))
        super().__init__({"i": In(beats), "o": Out(beats)})

    def elaborate(self, platform):
        m, plan = Module(), self.plan
        m.submodules.outlet = outlet = Outlet(self.o.payload.shape(), plan.queue)
        wiring.connect(m, outlet.o, wiring.flipped(self.o))
        write, read = ram_ports(m, "kept", 8 * plan.bus, plan.places)
        takes, step, first, frees, back = Signal(), Signal(), Signal(), Signal(), Signal()
        #: Beats that were not given yet, less one; places that are free, less one.
        ahead, free = (Signal(Shape.cast(range(-1, plan.places)), init=n) for n in (-1, plan.places - 1))
        m.d.comb += [
            self.i.ready.eq(~free[-1]),
            takes.eq(self.i.valid & self.i.ready),
            step.eq(outlet.permit & (~first | ~ahead[-1])),
            outlet.debit.eq(step),
            write.en.eq(takes),
            write.data.eq(self.i.payload.as_value()),
        ]
        m.d.sync += [
            ahead.eq(ahead + takes - (step & first)),
            free.eq(free - takes + (step & frees)),
        ]
        with m.If(takes):
            m.d.sync += write.addr.eq(wrapping_increment(write.addr, plan.places))
        self._nest(m, step, first, frees, back)
        begin, after = Signal.like(read.addr), Signal.like(read.addr)
        m.d.comb += after.eq(wrapping_increment(read.addr, plan.places))
        with m.If(step):
            m.d.sync += read.addr.eq(Mux(back, begin, after))
            with m.If(frees):
                m.d.sync += begin.eq(after)
        kept, known, push = Signal(8 * plan.bus, reset_less=True), Signal(), Signal()
        m.d.sync += [kept.eq(read.data), known.eq(step), push.eq(known)]
        m.d.comb += [outlet.push.eq(push), outlet.payload.as_value().eq(kept)]
        return m

    def _nest(self, m: Module, step: Signal, first: Signal, frees: Signal, back: Signal) -> None:
        """Of the next beat: whether it is given for the ``first`` time and for the last (``frees``), and whether the
        one after it is the first of its part once more (``back``)."""
        sections = self.plan.sections
        section, again = Signal(range(max(len(sections), 2))), Signal()
        of = {
            name: lookup(m, section, [getattr(each, name) - 1 for each in sections], name)
            for name in ("count", "once", "again", "times")
        }
        part, beat, time = (Signal(range(max(max(getattr(s, n) for s in sections for n in names), 2)))
                            for names in (("count",), ("once", "again"), ("times",)))  # fmt: skip
        ends = beat == Mux(again, of["again"], of["once"])
        last_time = ~again | (time == of["times"])
        m.d.comb += [first.eq(time == 0), frees.eq(last_time), back.eq(ends & ~last_time)]
        with m.If(step):
            m.d.sync += beat.eq(Mux(ends, 0, beat + 1))
            with m.If(ends & again):
                m.d.sync += time.eq(Mux(last_time, 0, time + 1))
            with m.If(ends & last_time):
                m.d.sync += again.eq(~again)
                with m.If(again):
                    m.d.sync += part.eq(Mux(part == of["count"], 0, part + 1))
                    with m.If(part == of["count"]):
                        m.d.sync += section.eq(wrapping_increment(section, len(sections)))
