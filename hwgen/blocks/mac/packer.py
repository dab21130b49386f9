"""Beats with idle lanes in, dense beats out: what lets a set of channels be of any size.

A requantiser of ``lanes`` serves a set of results in as many beats as it takes, the last of which may be filled in
part. What is left over waits for the next set, so that the stream behind is dense all the same.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.cost.logic import Logic, adder, adder_register, counter
from hwgen.memory.queue import wrapping_increment


@dataclass(frozen=True)
class Packing:
    """``period`` elements come in sets of ``results``, the last one shorter where that does not divide; each set in
    loose beats of ``lanes``, of which its last may be filled in part. They leave in dense beats of ``lanes``, which
    divides ``period`` and is at most ``results``."""

    results: int
    lanes: int
    period: int

    @property
    def sets(self) -> int:
        """Sets of ``results`` in which a period comes."""
        return -(-self.period // self.results)

    @property
    def loose(self) -> int:
        """Loose beats of a set."""
        return -(-self.results // self.lanes)

    @property
    def last_loose(self) -> int:
        """Loose beats of the last set of a period."""
        return -(-(self.period - (self.sets - 1) * self.results) // self.lanes)

    @property
    def rounds(self) -> int:
        """Loose beats of a period."""
        return (self.sets - 1) * self.loose + self.last_loose

    @property
    def partial(self) -> int:
        """Elements in the last beat of a set, 0 where it is full."""
        return self.results % self.lanes

    @cached_property
    def dense(self) -> tuple[int, ...]:
        """Dense beats complete with each set of a period: never more than its loose ones, the first with the first."""
        ends = [min(at * self.results, self.period) // self.lanes for at in range(self.sets + 1)]
        return tuple(after - before for before, after in pairwise(ends))

    @cached_property
    def fills(self) -> tuple[int, ...]:
        """How many elements may be left over from the sets before."""
        return tuple(sorted({at * self.results % self.lanes for at in range(self.sets)}))

    @property
    def sources(self) -> np.ndarray:
        """The element of a period in each place of its loose beats; an idle place stands for the one before it."""
        at, place = np.divmod(np.arange(self.rounds * self.lanes), self.loose * self.lanes)
        return np.minimum(at * self.results + np.minimum(place, self.results - 1), self.period - 1)

    def logic(self, width: int) -> Logic:
        """Counted bits of a :class:`Packer` of elements of ``width`` bits, and of what tells dense beats ahead."""
        if not self.partial:
            return Logic()
        word, bits = self.lanes * width, self.lanes.bit_length()
        left_over = adder_register(bits) + adder(bits) + Logic(logic=bits)
        words = Logic(mux=2 * len(self.fills) * word, register=2 * word + 1)
        return words + counter(self.loose) + counter(self.sets) + 2 * left_over


class Packed:
    """The base of plans of what takes ``results`` of ``channels`` in turn and gives beats of ``lanes``; sets start anew
    after every ``period`` channels."""

    results: int
    lanes: int
    channels: int
    period: int

    @property
    def packing(self) -> Packing:
        """How the channels of a period lie in beats."""
        return Packing(self.results, self.lanes, self.period)

    @property
    def rounds(self) -> int:
        """Beats in which all channels pass once."""
        return self.channels // self.period * self.packing.rounds

    @property
    def slots(self) -> np.ndarray:
        """The channel of each lane of each of these beats."""
        starts = np.arange(0, self.channels, self.period, dtype=np.int64)
        return (starts[:, None] + self.packing.sources).ravel()


class Packer(wiring.Component):
    """Takes the loose beats of ``packing`` with ``take`` and gives dense ones with ``push``, both in order and without
    end. A dense beat follows the loose one that completes it by :attr:`LATENCY` cycles."""

    LATENCY = 1

    def __init__(self, layout: data.ArrayLayout, packing: Packing):
        self.packing = packing
        super().__init__({"take": In(1), "i": In(layout), "push": Out(1), "o": Out(layout)})

    def elaborate(self, platform):
        m = Module()
        ends, final = self._count(m)
        fill, completes = left_over(m, self.packing, self.take & ends, final, "fill")
        full = final | completes | ~ends
        m.d.sync += self.push.eq(self.take & full)
        width = self.i.shape().elem_shape.width
        word, left = self.i.as_value(), Signal(len(self.i.as_value()), reset_less=True)
        with m.If(self.take), m.Switch(fill):
            for few in self.packing.fills:
                turned, at = word.rotate_left(few * width), few * width
                with m.Case(few):
                    m.d.sync += [self.o.as_value().eq(Cat(left[:at], turned[at:])), left[at:].eq(turned[at:])]
                    with m.If(full):
                        m.d.sync += left[:at].eq(turned[:at])
        return m

    def _count(self, m: Module) -> tuple[Value, Value]:
        """Whether this beat is the last of its set, and whether its set is the last of a period."""
        packing = self.packing
        beat, set_ = Signal(range(max(packing.loose, 2))), Signal(range(max(packing.sets, 2)))
        final = set_ == packing.sets - 1
        ends = (beat == packing.loose - 1) | (final & (beat == packing.last_loose - 1))
        with m.If(self.take):
            m.d.sync += beat.eq(Mux(ends, 0, beat + 1))
            with m.If(ends):
                m.d.sync += set_.eq(wrapping_increment(set_, packing.sets))
        return ends, final


def left_over(m: Module, packing: Packing, step: Value, final: Value, name: str) -> tuple[Signal, Value]:
    """How many elements the sets before have left over, and whether this set, not the last of a period, completes one
    more beat with its last. With ``step`` the next set comes; ``final`` says that this one ends the period."""
    fill = Signal(range(packing.lanes), name=name)
    total = fill + packing.partial
    completes = total >= packing.lanes
    with m.If(step):
        m.d.sync += fill.eq(Mux(final, 0, Mux(completes, total - packing.lanes, total)))
    return fill, completes
