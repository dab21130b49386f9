"""Weights as they come: constants into a memory, a word of weights into registers behind those that are in use."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.blocks.loop.programme import SLOTS, Programme
from hwgen.memory.loops import lookup
from hwgen.memory.queue import wrapping_increment
from hwgen.memory.ram import ram_ports


class Loader(wiring.Component):
    """Takes beats ``w`` of ``programme.image``, frame after frame.

    ``full``: a word of weights is there. ``swap`` takes it, in whatever cycle; two cycles later it is in use, and is
    ``active`` from the third on. ``constants`` follow the ``address`` by a cycle: those of a round of one of
    :data:`SLOTS` sets, which come round and round.
    """

    def __init__(self, programme: Programme):
        self.programme = programme
        bus = programme.folding.bus
        bits = programme.folding.portion * programme.folding.outputs * programme.op.weight.width
        self.rounds = programme.folding.outputs // programme.folding.lanes
        super().__init__(
            {
                "w": In(stream.Signature(data.ArrayLayout(unsigned(8), bus))),
                "swap": In(1),
                "full": Out(1),
                "active": Out(bits),
                "address": In(range(SLOTS * self.rounds)),
                "constants": Out(programme.constant_bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        of_weights, room = Signal(), Signal(init=1)
        moves, weights, constants = Signal(), Signal(), Signal()
        m.d.comb += [
            self.w.ready.eq(~of_weights | room),
            moves.eq(self.w.valid & self.w.ready),
            weights.eq(moves & of_weights),
            constants.eq(moves & ~of_weights),
        ]
        ended = self._word(m, weights, room)
        whole = self._constants(m, constants)
        self._sequence(m, of_weights, ended, whole)
        return m

    def _word(self, m: Module, weights: Signal, room: Signal) -> Signal:
        """A word of weights; returns when it is complete. Each beat has a place of its own, through a register."""
        beats, width = self.programme.word_beats, 8 * self.programme.folding.bus
        at, ended, swapped = Signal(range(max(beats, 2))), Signal(), Signal()
        beat = Signal(width, reset_less=True)
        m.d.comb += ended.eq(weights & (at == beats - 1))
        m.d.sync += [beat.eq(self.w.payload.as_value()), swapped.eq(self.swap)]
        with m.If(weights):
            m.d.sync += at.eq(wrapping_increment(at, beats))
        with m.If(ended):
            m.d.sync += [room.eq(0), self.full.eq(1)]
        with m.Elif(self.swap):
            m.d.sync += [room.eq(1), self.full.eq(0)]
        shadow = []
        for n in range(beats):
            place, here = Signal(width, name=f"shadow_{n}", reset_less=True), Signal(name=f"to_{n}")
            m.d.sync += here.eq(weights & (at == n))
            with m.If(here):
                m.d.sync += place.eq(beat)
            shadow.append(place)
        taken = Signal()
        m.d.sync += taken.eq(swapped)
        with m.If(taken):
            m.d.sync += self.active.eq(Cat(shadow))
        return ended

    def _constants(self, m: Module, constants: Signal) -> Signal:
        """The constants of a set; returns when they are complete."""
        programme = self.programme
        beats, width = programme.constant_beats, 8 * programme.folding.bus
        write, read = ram_ports(m, "constants", programme.constant_bits, SLOTS * self.rounds)
        at, of_round, whole, set_ends = (
            Signal(range(max(beats, 2))),
            Signal(range(max(self.rounds, 2))),
            Signal(),
            Signal(),
        )
        kept = Signal(beats * width, reset_less=True)
        m.d.comb += [
            whole.eq(constants & (at == beats - 1)),
            set_ends.eq(whole & (of_round == self.rounds - 1)),
            write.data.eq(kept),
            read.addr.eq(self.address),
            self.constants.eq(read.data),
        ]
        m.d.sync += write.en.eq(whole)
        with m.If(constants):
            m.d.sync += [kept.eq(Cat(kept, self.w.payload.as_value())[width:]), at.eq(wrapping_increment(at, beats))]
        with m.If(whole):
            m.d.sync += of_round.eq(wrapping_increment(of_round, self.rounds))
        with m.If(write.en):
            m.d.sync += write.addr.eq(wrapping_increment(write.addr, SLOTS * self.rounds))
        return set_ends

    def _sequence(self, m: Module, of_weights: Signal, ended: Signal, whole: Signal) -> None:
        """Constants and words in turn, set after set, layer after layer."""
        layers = self.programme.weighted
        entry = Signal(range(max(len(layers), 2)))
        of_set = [layer.strips * layer.steps for layer in layers]
        counts = lookup(m, entry, [count - 1 for count in of_set], "words_of_set")
        sets = lookup(m, entry, [layer.sets - 1 for layer in layers], "sets")
        word, of_sets = Signal(range(max(*of_set, 2))), Signal(range(max(*(layer.sets for layer in layers), 2)))
        with m.If(whole):
            m.d.sync += of_weights.eq(1)
        with m.If(ended):
            m.d.sync += word.eq(Mux(word == counts, 0, word + 1))
            with m.If(word == counts):
                m.d.sync += [of_weights.eq(0), of_sets.eq(Mux(of_sets == sets, 0, of_sets + 1))]
                with m.If(of_sets == sets):
                    m.d.sync += entry.eq(wrapping_increment(entry, len(layers)))
