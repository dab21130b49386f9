"""A loop as hardware: frame buffer, products, sums, and the phases of a frame: in, computed, out."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, memory, wiring

from hwgen.blocks.arith.arithmetic import delay, register
from hwgen.blocks.array.tree import DotProduct
from hwgen.blocks.loop.drain import Drain
from hwgen.blocks.loop.loader import Loader
from hwgen.blocks.loop.programme import Programme, words
from hwgen.blocks.loop.walk import Fields, Walk
from hwgen.blocks.unit import Unit, UnitBlock
from hwgen.graph.types import FeatureMap
from hwgen.memory.queue import Outlet, wrapping_increment
from hwgen.memory.ram import RAM_ATTRIBUTES, ram_ports, ram_style


class Beats:
    """Beats of ``lanes`` of a map in words of ``portion``: the ``word`` that each belongs to, and which ``part`` of it;
    ``over`` with the last beat of all. They go on with ``moves``."""

    def __init__(self, m: Module, name: str, map_: FeatureMap, lanes: int, portion: int, start: int, moves):
        whole = lanes == map_.channels
        self.parts = 1 if whole else portion // lanes
        of_pixel, count = map_.channels // lanes, map_.elements // lanes
        size = map_.height * map_.width * words(map_, portion)
        self.word = Signal(range(max(start + size, 2)), name=f"{name}_word", init=start)
        self.part = Signal(range(max(self.parts, 2)), name=f"{name}_part")
        beat = Signal(range(max(of_pixel, 2)), name=f"{name}_beat")
        at = Signal(range(max(count, 2)), name=f"{name}_count")
        pixel_ends, self.over = beat == of_pixel - 1, Signal(name=f"{name}_over")
        m.d.comb += self.over.eq(moves & (at == count - 1))
        word_ends = pixel_ends | (self.part == self.parts - 1)
        with m.If(moves):
            m.d.sync += [
                at.eq(wrapping_increment(at, count)),
                beat.eq(wrapping_increment(beat, of_pixel)),
                self.part.eq(Mux(word_ends, 0, self.part + 1)),
            ]
            with m.If(word_ends):
                m.d.sync += self.word.eq(Mux(at == count - 1, start, self.word + 1))


class LoopBlock(UnitBlock):
    """Hardware of a loop, which reads weights over ``w`` as :attr:`Programme.image` has them. Results wait in a queue
    of so many places."""

    def __init__(self, unit: Unit, programme: Programme, queue: int):
        self.programme, self.queue = programme, queue
        super().__init__(unit)

    def elaborate(self, platform):
        m, programme = Module(), self.programme
        m.submodules.loader = loader = Loader(programme)
        m.submodules.walk = walk = Walk(programme)
        m.submodules.drain = drain = Drain(programme)
        wiring.connect(m, wiring.flipped(self.w), loader.w)
        takes, gives = Signal(init=1), Signal()
        taken = Beats(m, "in", programme.op.input, programme.folding.lanes_in, programme.folding.portion,
                      programme.starts[0], self.i.valid & takes)  # fmt: skip
        given = self._give(m, gives)
        m.d.comb += [
            self.i.ready.eq(takes),
            walk.start.eq(taken.over),
            walk.full.eq(loader.full),
            loader.swap.eq(walk.swap),
            loader.address.eq(drain.round),
            drain.constants.eq(loader.constants),
            drain.entry.eq(walk.entry),
        ]
        with m.If(taken.over | given.over):
            m.d.sync += takes.eq(given.over)
        with m.If(walk.done | given.over):
            m.d.sync += gives.eq(walk.done)
        write, word = self._buffer(m, Mux(gives, given.word, walk.address))
        self._result(m, word, given)
        field = Fields(m, walk.entry, programme.layers)
        flip, pooled = field("flip", lambda g: int(bool(g.conv.flip))), field("pooled", lambda g: int(g.pooled), 1)
        x = self._activations(m, word, walk, flip, field("pad", lambda g: g.conv.pad, programme.op.bits))
        self._sums(m, x, walk.strobe & ~pooled, walk, loader, drain)
        maxima = self._maxima(m, x, walk.strobe & pooled, walk, field, flip) if programme.pools else None
        self._put(m, write, taken, drain, maxima)
        return m

    def _buffer(self, m: Module, address):
        """The frame buffer: its port to write, and what is at ``address``, a cycle later."""
        programme, bits = self.programme, self.programme.op.bits
        depth = programme.depth
        attributes = RAM_ATTRIBUTES[ram_style(depth)]
        m.submodules.frames = store = memory.Memory(
            shape=unsigned(programme.folding.portion * bits), depth=depth, init=[], attrs=attributes
        )
        write, read = store.write_port(granularity=programme.grain * bits), store.read_port()
        m.d.comb += read.addr.eq(address)
        return write, read.data

    def _put(self, m: Module, write, taken: Beats, drain: Drain, maxima: tuple | None) -> None:
        """A beat of the frame, or results, into its part of a word, through a register."""
        programme = self.programme
        folding, bits, grain = programme.folding, programme.op.bits, programme.grain
        type_, moves = programme.op.input.type, self.i.valid & self.i.ready
        beat = Cat(_widened(self.i.payload[n], type_.width, bits, type_.signed) for n in range(folding.lanes_in))
        count = folding.portion // grain
        whole = Const(-1, count)
        if taken.parts > 1:
            beat, here = beat.replicate(taken.parts), _part(taken.part, taken.parts, folding.lanes_in // grain)
        else:
            here = whole
        results, there = drain.results.as_value().replicate(drain.parts), whole
        if drain.parts > 1:
            there = _part(drain.part, drain.parts, folding.lanes // grain)
        m.d.sync += [
            write.addr.eq(Mux(drain.write, drain.place, taken.word)),
            write.data.eq(Mux(drain.write, results, beat)),
            write.en.eq(Mux(drain.write, there, Mux(moves, here, 0))),
        ]
        if maxima is not None:
            there, place, value = maxima
            with m.If(there):
                m.d.sync += [write.addr.eq(place), write.data.eq(value), write.en.eq(whole)]

    def _give(self, m: Module, gives: Signal) -> Beats:
        """Beats of the result, as the outlet has room for them."""
        programme, folding = self.programme, self.programme.folding
        m.submodules.outlet = outlet = Outlet(self.o.payload.shape(), self.queue)
        wiring.connect(m, outlet.o, wiring.flipped(self.o))
        m.d.comb += outlet.debit.eq(gives & outlet.permit)
        self._outlet = outlet
        return Beats(
            m, "out", programme.op.output, folding.lanes_out, folding.portion, programme.starts[-1], outlet.debit
        )

    def _result(self, m: Module, word, given: Beats) -> None:
        """Part of a word of the result into the outlet: memory, its register, the part."""
        programme, outlet = self.programme, self._outlet
        bits, type_ = programme.op.bits, programme.op.output.type
        width = programme.folding.lanes_out * bits
        word, part = register(m, word, "result_word"), delay(m, given.part, 2, "result_part")
        chosen = register(m, word.word_select(part, width) if given.parts > 1 else word[:width], "result_part_of")
        m.d.comb += outlet.push.eq(delay(m, outlet.debit, 3, "result_push", reset_less=False))
        m.d.comb += [
            outlet.payload[n].eq(chosen.word_select(n, bits)[: type_.width]) for n in range(programme.folding.lanes_out)
        ]

    def _activations(self, m: Module, word, walk: Walk, flip, pad):
        """A word of the frame buffer as signed integers; what lies around a map instead where it is outside."""
        inside = register(m, walk.inside, "inside")
        return register(m, Mux(inside, self._flipped(word, flip), pad.replicate(self.programme.folding.portion)), "x")

    def _flipped(self, word, flip):
        """``word`` with the highest bit of each integer turned where ``flip`` is 1: with a sign or without."""
        integers = [word.word_select(n, self.programme.op.bits) for n in range(self.programme.folding.portion)]
        return Cat(Cat(each[:-1], each[-1] ^ flip) for each in integers)

    def _maxima(self, m: Module, x, strobe, walk: Walk, field: Fields, flip) -> tuple:
        """The greatest of each channel over the holds, position by position; whether one is done, its place and the
        word."""
        programme, portion, bits = self.programme, self.programme.folding.portion, self.programme.op.bits
        flags = Cat(strobe, walk.first, walk.last & strobe, walk.fresh & (walk.position == 0), walk.position)
        now = delay(m, flags, 2, "max_flags", reset_less=False)
        later = register(m, now, "max_flags_later", reset_less=False)
        write, read = ram_ports(m, "maxima", portion * bits, programme.folding.positions)
        before, best = register(m, read.data, "max_before"), Signal(portion * bits, name="best", reset_less=True)
        for n in range(portion):
            one, other = (value.word_select(n, bits).as_signed() for value in (x, before))
            m.d.sync += best.word_select(n, bits).eq(Mux(now[1] | (one > other), one, other))
        place, at = (Signal(range(max(programme.depth, 2)), name=name) for name in ("max_place", "max_at"))
        base = register(m, field("target", lambda g: g.target) + delay(m, walk.set, 2, "max_set"), "max_base")
        m.d.comb += [
            read.addr.eq(walk.position),
            write.addr.eq(later[4:]),
            write.data.eq(best),
            write.en.eq(later[0]),
            place.eq(Mux(later[3], base, at)),
        ]
        words_out = field("words_out", lambda g: g.words_out)
        with m.If(later[2]):
            m.d.sync += at.eq(place + words_out)
        return later[2], place, self._flipped(best, flip)

    def _sums(self, m: Module, x, strobe, walk: Walk, loader: Loader, drain: Drain) -> None:
        """Products added up, and these over the holds, position by position; the last of them for the drain."""
        programme, folding, timing = self.programme, self.programme.folding, self.programme.timing
        m.submodules.dot = dot = DotProduct(programme.multiplier, folding.portion, folding.outputs, programme.dot, 0)
        m.d.comb += [
            dot.x.as_value().eq(x),
            dot.weights.as_value().eq(loader.active),
            dot.strobe.eq(1),
            dot.first.eq(1),
            dot.last.eq(1),
        ]
        bits = programme.op.sums.width
        flags = Cat(strobe, walk.first, walk.last, walk.position)
        ahead = delay(m, flags, timing.dot, "flags", reset_less=False)
        now = delay(m, ahead, 2, "flags_now", reset_less=False)
        later = register(m, now, "flags_later", reset_less=False)
        write, read = ram_ports(m, "partial", bits * folding.outputs, folding.positions)
        m.d.comb += read.addr.eq(ahead[3:])
        before = data.View(drain.sums.shape(), register(m, read.data, "before"))
        total = Signal(drain.sums.shape(), name="total", reset_less=True)
        m.d.sync += [total[n].eq(Mux(now[1], 0, before[n]) + dot.sums[n]) for n in range(folding.outputs)]
        m.d.comb += [write.addr.eq(later[3:]), write.data.eq(total), write.en.eq(later[0])]
        put, get = ram_ports(m, "whole", bits * folding.outputs, folding.positions)
        m.d.comb += [
            put.addr.eq(later[3:]),
            put.data.eq(total),
            put.en.eq(later[0] & later[2]),
            get.addr.eq(drain.read),
            drain.sums.as_value().eq(register(m, get.data, "sums")),
            drain.begin.eq(later[0] & later[2] & (later[3:] == 0)),
        ]


def _widened(value, width: int, bits: int, signed: bool):
    """``value`` of ``width`` bits as so many."""
    value = value.as_value() if hasattr(value, "as_value") else value
    top = value[width - 1] if signed else Const(0, 1)
    return Cat(value[:width], top.replicate(bits - width)) if bits > width else value[:width]


def _part(part: Signal, parts: int, grains: int):
    """What of a word is written where a ``part`` of it is."""
    return Cat((part == n).replicate(grains) for n in range(parts))
