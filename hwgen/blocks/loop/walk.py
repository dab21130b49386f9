"""The holds of a frame: when each begins, and the word of the frame buffer for each of its positions."""

from collections.abc import Callable

from amaranth.hdl import Const, Module, Mux, Shape, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.blocks.loop.programme import Geometry, Programme
from hwgen.memory.queue import wrapping_increment


class Fields:
    """Numbers of the layer in turn, a cycle after ``entry``: a register for each that is not the same for all."""

    def __init__(self, m: Module, entry: Signal, layers: tuple[Geometry, ...]):
        # A module of its own: what is asked for under a condition is kept up all the same.
        m.submodules.fields = self._m = Module()
        self._entry, self._layers = entry, layers

    def __call__(self, name: str, of: Callable[[Geometry], int], bits: int | None = None) -> Value:
        """What ``of`` says of the layer; modulo ``2^bits`` where these are given."""
        values = [of(layer) % (1 << bits) if bits else of(layer) for layer in self._layers]
        shape = Shape(bits, False) if bits else Shape.cast(range(min(*values, 0), max(*values, 0) + 1))
        if len(set(values)) == 1:
            return Const(values[0], shape)
        field = Signal(shape, name=name, init=values[0])
        with self._m.Switch(self._entry):
            for n, value in enumerate(values):
                with self._m.Case(n):
                    self._m.d.sync += field.eq(value)
        return field


class Walk(wiring.Component):
    """``start`` begins a frame; ``swap`` is 1 where a hold begins that takes weights, for which ``full`` must be;
    ``done`` is 1 in the cycle before that in which the result is in the frame buffer.

    From the next cycle on, with ``strobe``: ``address`` of the word of each position, whether it is ``inside`` the map,
    its number ``position`` in the strip, which is ``fresh`` where it is the first of its ``set``; and whether the hold
    is the ``first`` or the ``last`` of its sums. ``entry`` is the number of the layer, whose fields others keep, too.
    """

    def __init__(self, programme: Programme):
        self.programme = programme
        #: Whether a hold begins, with weights or without.
        self._begins = Signal()
        #: The words of a pixel before that of the set, where it takes these in turn.
        self._of_set = Signal(range(max(*(layer.sets for layer in programme.layers), 2)))
        self.address_bits = max(programme.depth - 1, 1).bit_length()
        super().__init__(
            {
                "start": In(1),
                "full": In(1),
                "swap": Out(1),
                "done": Out(1),
                "strobe": Out(1),
                "first": Out(1),
                "last": Out(1),
                "inside": Out(1),
                "fresh": Out(1),
                "set": Out(range(max(*(layer.sets for layer in programme.layers), 2))),
                "position": Out(range(max(programme.folding.positions, 2))),
                "address": Out(self.address_bits),
                "entry": Out(range(max(len(programme.layers), 2))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        layers = self.programme.layers
        field = Fields(m, self.entry, layers)
        first, last, last_strip, last_set, tap = self._nest(m, field)
        self._time(m, field, first, last, last_strip, last_set)
        self._positions(m, field, first, last_strip, tap)
        return m

    def _nest(self, m: Module, field: Fields):
        """Counters of the hold that comes next, which move on with ``swap``; and how far its tap is from the first."""
        finals, carry = [], self._begins
        loops: list[tuple[str, Callable[[Geometry], int]]] = [
            ("group", lambda g: g.groups),
            ("column", lambda g: g.conv.window.kernel[1]),
            ("row", lambda g: g.conv.window.kernel[0]),
            ("strip", lambda g: g.strips),
            ("set", lambda g: g.sets),
        ]
        counters = []
        for name, count in loops:
            final = Signal(name=f"{name}_final")
            counter = Signal(range(max(*map(count, self.programme.layers), 2)), name=f"{name}_index")
            m.d.comb += final.eq(counter == field(f"{name}s_less_one", _less_one(count)))
            with m.If(carry):
                m.d.sync += counter.eq(Mux(final, 0, counter + 1))
            finals.append(final)
            counters.append(counter)
            carry = carry & final
        group, column, row, strip, set_ = finals
        tap = self._tap(m, field, finals)
        with m.If(self._begins):
            m.d.sync += [self.set.eq(counters[4]), self.fresh.eq(~counters[3].any())]
        first = ~(counters[0].any() | counters[1].any() | counters[2].any())
        self._first_strip = ~counters[3].any()
        return first, group & column & row, strip, set_, tap

    def _tap(self, m: Module, field: Fields, finals):
        """Rows and columns of the map, and words of it, between the window's first word and that of the hold."""
        size, bits = _reach(self.programme), self.address_bits
        group, column, row, strip, set_ = finals
        down, right, words = Signal(size), Signal(size), Signal(bits)
        next_set = field("next_set", lambda g: int(g.pooled))
        dilation = [field(f"dilation_{n}", _of_window("dilations", n)) for n in range(2)]
        along = field("next_column", lambda g: g.conv.window.dilations[1] * g.words - (g.groups - 1), bits)
        below = field("next_row", _next_row, bits)
        with m.If(self._begins):
            with m.If(~group):
                m.d.sync += words.eq(words + 1)
            with m.Elif(~column):
                m.d.sync += [words.eq(words + along), right.eq(right + dilation[1])]
            with m.Elif(~row):
                m.d.sync += [words.eq(words + below), right.eq(0), down.eq(down + dilation[0])]
            with m.Else():
                m.d.sync += [words.eq(0), right.eq(0), down.eq(0)]
                with m.If(strip):
                    m.d.sync += self._of_set.eq(Mux(set_, 0, self._of_set + next_set))
        return down, right, words

    def _time(self, m: Module, field: Fields, first, last, last_strip, last_set) -> None:
        """When holds begin, and which follows which."""
        most = max(int(layer.holds.max()) for layer in self.programme.layers)
        left, running, closes, last_entry = Signal(range(most)), Signal(), Signal(), Signal()
        lengths = {
            (strip, ends): field(f"held_{strip}_{ends}", _held(strip, ends)) for strip in (0, 1) for ends in (0, 1)
        }
        tail, pooled = field("tail", lambda g: g.tail - 1), field("pooled", lambda g: int(g.pooled), 1)
        held = [Mux(last, lengths[strip, 1], lengths[strip, 0]) for strip in (0, 1)]
        closing, count = last & last_strip & last_set, len(self.programme.layers)
        m.d.comb += [
            self._begins.eq(running & (self.full | pooled) & (left == 0)),
            self.swap.eq(self._begins & ~pooled),
            last_entry.eq(self.entry == count - 1),
        ]
        with m.If(self._begins):
            m.d.sync += [
                left.eq(Mux(closing, tail, Mux(last_strip, held[1], held[0]))),
                closes.eq(closing),
                self.first.eq(first),
                self.last.eq(last),
            ]
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        ends = closes & (left == 3)
        with m.If(ends):
            m.d.sync += self.entry.eq(wrapping_increment(self.entry, count))
        over = Signal()
        with m.If(ends):
            m.d.sync += over.eq(last_entry)
        m.d.comb += self.done.eq(over & (left == 1))
        with m.If(self.done):
            m.d.sync += [running.eq(0), over.eq(0)]
        with m.If(self.start):
            m.d.sync += running.eq(1)

    def _positions(self, m: Module, field: Fields, first, last_strip, tap) -> None:
        """Row, column and word of each position, kept up by additions."""
        size, bits, swap = _reach(self.programme), self.address_bits, self._begins
        down, right, words = tap
        names = ("y", "x", "at", "columns")
        shapes = (size, size, bits, range(max(*(g.conv.output.width for g in self.programme.layers), 2)))
        now, base, kept, begin = (
            [Signal(s, name=f"{k}_{n}") for n, s in zip(names, shapes, strict=True)]
            for k in ("now", "base", "kept", "begin")
        )
        initial = [
            field("first_y", lambda g: -g.conv.window.pads[0], size),
            field("first_x", lambda g: -g.conv.window.pads[1], size),
            (field("first_at", _first_word, bits) + self._of_set)[:bits],
            field("last_column", lambda g: g.conv.output.width - 1),
        ]
        for new, start, old, later in zip(begin, initial, base, kept, strict=True):
            m.d.comb += new.eq(Mux(first, Mux(self._first_strip, start, later), old))
        moved = self._moved(m, field, now)
        row_x, left = Signal(size), Signal(range(self.programme.folding.positions))
        counts = [field("full", lambda g: g.full - 1), field("rest", lambda g: g.last - 1)]
        with m.If(swap):
            m.d.sync += [old.eq(new) for old, new in zip(base, begin, strict=True)]
            m.d.sync += [
                now[0].eq(begin[0] + down), now[1].eq(begin[1] + right), now[2].eq(begin[2] + words),
                now[3].eq(begin[3]), row_x.eq(initial[1] + right), self.position.eq(0), self.strobe.eq(1),
                left.eq(Mux(last_strip, counts[1], counts[0])),
            ]  # fmt: skip
        with m.Elif(self.strobe):
            m.d.sync += [self.position.eq(self.position + 1), left.eq(left - 1), self.strobe.eq(left != 0)]
            m.d.sync += [value.eq(new) for value, new in zip(now, moved(row_x), strict=True)]
        with m.If(self.strobe & self.first & (left == 0)):
            m.d.sync += [value.eq(new) for value, new in zip(kept, moved(row_x), strict=True)]
        height = field("height", lambda g: g.conv.input.height)
        width = field("width", lambda g: g.conv.input.width)
        m.d.comb += [self.inside.eq((now[0] < height) & (now[1] < width)), self.address.eq(now[2])]

    def _moved(self, m: Module, field: Fields, now):
        """The position after that of ``now``."""
        bits = self.address_bits
        strides = [field(f"stride_{n}", _of_window("strides", n)) for n in range(2)]
        along = field("along", lambda g: g.conv.window.strides[1] * g.words, bits)
        below = field("below", _row_after, bits)
        columns = field("columns", lambda g: g.conv.output.width - 1)
        y, x, at, left = now
        wraps = Signal()
        m.d.comb += wraps.eq(left == 0)

        def moved(row_x):
            return (
                Mux(wraps, y + strides[0], y),
                Mux(wraps, row_x, x + strides[1]),
                at + Mux(wraps, below, along),
                Mux(wraps, columns, left - 1),
            )

        return moved


def _less_one(count: Callable[[Geometry], int]) -> Callable[[Geometry], int]:
    return lambda layer: count(layer) - 1


def _of_window(name: str, axis: int) -> Callable[[Geometry], int]:
    """Of rows (0) or of columns (1)."""
    return lambda layer: getattr(layer.conv.window, name)[axis]


def _held(last_strip: int, ends: int) -> Callable[[Geometry], int]:
    """The cycles left when such a hold has begun."""
    return lambda layer: layer.held(layer.last if last_strip else layer.full, bool(ends)) - 1


def _reach(programme: Programme) -> int:
    """Bits of a row or a column, which may be left of the map or beyond it, modulo a power of 2 that tells these
    apart."""
    return max(max(_ends(layer)) for layer in programme.layers).bit_length() + 1


def _ends(layer: Geometry) -> tuple[int, ...]:
    """How far rows and columns go either way."""
    window, map_ = layer.conv.window, layer.conv.input
    sizes, counts = (map_.height, map_.width), (layer.conv.output.height, layer.conv.output.width)
    ends = []
    for n in range(2):
        last = counts[n] * window.strides[n] + (window.kernel[n] - 1) * window.dilations[n]
        ends += [last, sizes[n], window.pads[n]]
    return tuple(ends)


def _first_word(layer: Geometry) -> int:
    """Where the first window's first word would be, which may be outside the map."""
    top, left = layer.conv.window.pads[:2]
    return layer.base - (top * layer.conv.input.width + left) * layer.words


def _next_row(layer: Geometry) -> int:
    """Words from the last of a row of the window to the first of its next one."""
    window = layer.conv.window
    back = (window.kernel[1] - 1) * window.dilations[1] * layer.words + layer.groups - 1
    return window.dilations[0] * layer.conv.input.width * layer.words - back


def _row_after(layer: Geometry) -> int:
    """Words from the last window of a row to the first of the next."""
    window, width = layer.conv.window, layer.conv.output.width
    return (window.strides[0] * layer.conv.input.width - (width - 1) * window.strides[1]) * layer.words
