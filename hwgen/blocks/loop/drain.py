"""Sums of a set, requantised while the next ones are made: a few lanes for all outputs, position by position."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.blocks.arith.arithmetic import delay
from hwgen.blocks.loop.programme import SLOTS, Programme
from hwgen.blocks.loop.walk import Fields
from hwgen.blocks.requantize.requantizer_lane import RequantizerLane
from hwgen.blocks.stream import element_shape
from hwgen.memory.queue import wrapping_increment


class Drain(wiring.Component):
    """``begin`` comes a cycle before the first sum can be read: ``read`` asks for the sums of a position, which come as
    ``sums`` two cycles later; ``round`` for the constants of its lanes, which come as ``constants`` a cycle later. Then
    ``write`` says that ``results`` belong into ``place`` ``part`` of the frame buffer, lanes by lanes."""

    def __init__(self, programme: Programme):
        self.programme = programme
        folding = programme.folding
        self.rounds, self.parts = folding.outputs // folding.lanes, folding.portion // folding.lanes
        #: Of the strip that begins next: whether it is the last of its set, and whether the first.
        self._last_strip, self._new = Signal(), Signal()
        super().__init__(
            {
                "entry": In(range(max(len(programme.layers), 2))),
                "begin": In(1),
                "read": Out(range(max(folding.positions, 2))),
                "round": Out(range(SLOTS * self.rounds)),
                "sums": In(data.ArrayLayout(element_shape(programme.op.sums), folding.outputs)),
                "constants": In(programme.constant_bits),
                "write": Out(1),
                "place": Out(range(max(programme.depth, 2))),
                "part": Out(range(max(self.parts, 2))),
                "results": Out(data.ArrayLayout(programme.op.bits, folding.lanes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        layers = self.programme.layers
        field = Fields(m, self.entry, layers)
        busy, of_round, channel = self._count(m, field)
        at, later = Signal.like(self.place), 3 + self.programme.timing.lane
        self._place(m, field, at)
        shift = (self.parts - 1).bit_length()
        limit = field("results", lambda g: -(-g.conv.output.channels // self.programme.folding.lanes))
        part = channel[:shift] if shift else Cat()
        flags = Cat(busy & (channel < limit), part, (at + (channel >> shift))[: len(self.place)])
        flags = delay(m, flags, later, "result", reset_less=False)
        m.d.comb += [self.write.eq(flags[0]), self.part.eq(flags[1 : 1 + shift]), self.place.eq(flags[1 + shift :])]
        self._requantize(m, field, delay(m, of_round, 2, "of_lanes"))
        return m

    def _count(self, m: Module, field: Fields) -> tuple[Signal, Signal, Signal]:
        """Rounds of positions of strips of sets: whether there is one, its number, and that of its first channel in
        lanes, from the first of the layer."""
        rounds, layers = self.rounds, self.programme.layers
        busy, of_round, left = Signal(), Signal(range(max(rounds, 2))), Signal.like(self.read)
        group, slot = self._sets(m, field)
        counts = [field("full", lambda g: g.full - 1), field("rest", lambda g: g.last - 1)]
        round_ends = of_round == rounds - 1
        with m.If(self.begin):
            m.d.sync += [left.eq(Mux(self._last_strip, counts[1], counts[0])), self.read.eq(0), of_round.eq(0)]
        with m.Elif(busy):
            m.d.sync += of_round.eq(wrapping_increment(of_round, rounds))
            with m.If(round_ends):
                m.d.sync += [left.eq(left - 1), self.read.eq(self.read + 1)]
        with m.If(self.begin | (round_ends & (left == 0))):
            m.d.sync += busy.eq(self.begin)
        channel = Signal(range(max(*(g.sets * rounds for g in layers), 2)))
        m.d.comb += [channel.eq(group + of_round), self.round.eq(slot + of_round)]
        self._pixel_ends = busy & round_ends
        return busy, of_round, channel

    def _sets(self, m: Module, field: Fields) -> tuple[Signal, Signal]:
        """Of the strip that is read: the first round of its set, and of where its constants are."""
        rounds, layers = self.rounds, self.programme.layers
        strip = Signal(range(max(*(g.strips for g in layers), 2)))  # the one that begins next
        m.d.comb += [self._last_strip.eq(strip == field("strips", lambda g: g.strips - 1)), self._new.eq(strip == 0)]
        with m.If(self.begin):
            m.d.sync += strip.eq(Mux(self._last_strip, 0, strip + 1))
        ends = field("sets", lambda g: (g.sets - 1) * rounds), (SLOTS - 1) * rounds
        sizes = max(g.sets for g in layers) * rounds, SLOTS * rounds
        found = []
        for name, end, size in zip(("group", "slot"), ends, sizes, strict=True):
            now, later = Signal(range(max(size, 2)), name=name), Signal(range(max(size, 2)), name=f"next_{name}")
            with m.If(self.begin & self._new):
                m.d.sync += [now.eq(later), later.eq(Mux(later == end, 0, later + rounds))]
            found.append(now)
        return found[0], found[1]

    def _place(self, m: Module, field: Fields, at: Signal) -> None:
        """The first word of each position's pixel."""
        target = field("target", lambda g: g.target)
        words = field("words_out", lambda g: g.words_out)
        with m.If(self.begin & self._new):
            m.d.sync += at.eq(target)
        with m.Elif(self._pixel_ends):
            m.d.sync += at.eq(at + words)

    def _requantize(self, m: Module, field: Fields, of_round) -> None:
        """The lanes of a round."""
        folding, programme = self.programme.folding, self.programme
        width = folding.lanes * programme.op.sums.width
        chosen = Signal(width, name="chosen", reset_less=True)
        m.d.sync += chosen.eq(self.sums.as_value().word_select(of_round, width))
        constants = delay(m, self.constants, 2, "constants")
        settings = {
            "zero": field("zero", lambda g: g.form.zero_point if g.form else 0),
            "low": field("low", lambda g: g.form.clamp[0] if g.form else 0),
            "high": field("high", lambda g: g.form.clamp[1] if g.form else 0),
        }
        size = sum(programme.lane.constant_bits)
        for n in range(folding.lanes):
            m.submodules[f"lane_{n}"] = lane = RequantizerLane(programme.lane)
            m.d.comb += [
                lane.sum.eq(chosen.word_select(n, programme.op.sums.width)),
                lane.constants.as_value().eq(constants.word_select(n, size)),
                self.results[n].eq(lane.o),
            ]
            m.d.comb += [lane.settings[name].eq(value) for name, value in settings.items()]
