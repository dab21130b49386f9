"""A window buffer in one RAM: the newest words of the map in a ring, read one word per cycle in any order.

The cheapest structure, for any window, stride and dilation: it holds only the words between the oldest that a
later window needs and the newest that has come. One word per cycle is what it can deliver.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Out

from hwgen.cost.actor import Take
from hwgen.cost.logic import Logic, adder_register, counter, index_bits, loop, running, total
from hwgen.cost.needs import MemoryNeed
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import FeatureMap
from hwgen.memory.ram import ram_ports

from .loops import LoopNest, lookup, lookup_2d
from .queue import wrapping_increment
from .ram import ram_need, read_register
from .raster import SHARED, Raster
from .rom import pack
from .window import WindowBuffer, window_ports


@dataclass(frozen=True)
class RingTap:
    """Words that leave a ring a second time, in raster order, as they are read: one pixel for each position.

    They are those at the tap in column ``column`` of the window, from the positions of row ``first_row`` on. Each pass
    gives its share of a pixel's words: those up to ``ends[pass]``.
    """

    column: int
    first_row: int
    ends: tuple[int, ...]

    @staticmethod
    def of(column: int, first_row: int, words: int, passes: int) -> "RingTap":
        """Shares as equal as can be."""
        return RingTap(column, first_row, tuple((n + 1) * words // passes for n in range(passes)))

    @property
    def begins(self) -> tuple[int, ...]:
        """Where each share begins: where the one before ends."""
        return (0, *self.ends[:-1])

    @property
    def shares(self) -> tuple[int, ...]:
        """Words of each pass."""
        return tuple(end - begin for begin, end in zip(self.begins, self.ends, strict=True))


class RingWindow(wiring.Component):
    """Reads a stream of words and issues them window by window.

    The words of a pixel are cut into ``packs`` of equal length, and the window of each pack is read ``passes`` times:
    one pack where all channels are summed up, as many as there are words where none are. A *step* is one such pass, a
    run without a pause over words, columns and rows, the rows outermost. It starts when ``permit`` is 1 and its words
    are there; ``go`` is 1 in the cycle in which that is decided (with ``go_final`` for the last pass of a pack), the
    first word's ``strobe`` follows :attr:`LATENCY` cycles later. ``outside`` marks padding, for which ``data`` means
    nothing.

    With ``tap``, ``tapped`` marks the words that leave a second time, and ``tap_share`` says how many the step to be
    started next will give; ``packs`` is 1 then.

    Sized by ``capacity`` words. Timing: see :class:`hwgen.cost.timing.Actor` with ``start_delay`` 2.
    """

    #: cycles from the start of a step (the cycle after ``go``) to its first ``strobe``
    LATENCY = 1

    def __init__(self, layout: data.ArrayLayout, buffer: "Ring"):
        self.layout, self.buffer = layout, buffer
        self.raster, self.capacity, self.tap = buffer.ring, buffer.capacity, buffer.tap
        self.packs, self.passes, self.kernel = buffer.cut.packs, buffer.cut.passes, buffer.turns
        if self.raster.words % self.packs:
            raise ValueError(f"{self.packs} packs do not divide the {self.raster.words} words of a pixel")
        taps = {"tapped": Out(1), "tap_share": Out(range(max(self.tap.shares) + 1))} if self.tap else {}
        super().__init__({**taps, **window_ports(layout), "outside": Out(1), "data": Out(self._issued)})

    @property
    def _issued(self) -> data.ArrayLayout:
        """What comes in a cycle."""
        return self.layout

    def elaborate(self, platform):
        m = Module()
        raster = self.raster
        write, read = self._memory(m)
        stored = self.i.valid & self.i.ready
        run, step_end, position_end = Signal(), Signal(), Signal()
        nest = self._nest(m, run)
        m.d.comb += [
            step_end.eq(nest.last("ky")),
            position_end.eq(nest.last("pack")),
            self.go.eq(self.permit & (~run | step_end) & self._enough(m, stored)),
            read.addr.eq(self._address(nest)),
        ]
        m.d.sync += run.eq(self.go | (run & ~step_end))
        # Words that a stride skips are set free before they come, so there may be more places than capacity.
        skipped = max(int((raster.release - raster.need).max()), 0)
        # Minus the free places: its sign says that there is one, and waits for no comparison.
        full = Signal(range(-self.capacity - skipped, 1), init=-self.capacity)
        freed = lookup_2d(m, nest.index["y"], nest.index["x"], raster.release_steps, -1, "freed")
        m.d.sync += full.eq(Mux(run & position_end, full + stored - freed, full + stored))
        m.d.comb += [
            self.i.ready.eq(full[-1]),
            write.en.eq(stored),
            self.data.as_value().eq(read.data),
        ]
        m.d.sync += [
            self.strobe.eq(run),
            self.first.eq(nest.first("ky")),
            self.last.eq(step_end),
            self.outside.eq(self._outside(nest)),
        ]
        if self.tap:
            m.d.sync += self.tapped.eq(run & self._tapped(m, nest, self.tap))
        return m

    def _tapped(self, m: Module, nest: LoopNest, tap: RingTap) -> Value:
        """The word that is read now leaves a second time."""
        index = nest.index
        begin = lookup(m, index["pass"], tap.begins, "tap_begin")
        end = lookup(m, index["pass"], tap.ends, "tap_end")
        word = (index["word"] >= begin) & (index["word"] < end)
        return word & (index["kx"] == tap.column) & (index["ky"] == 0) & (index["y"] >= tap.first_row)

    def _memory(self, m: Module):
        """The ring itself; the write address runs round it."""
        write, read = ram_ports(m, "ring", self.layout.size, self.capacity)
        m.d.comb += write.data.eq(self.i.payload.as_value())
        with m.If(write.en):
            m.d.sync += write.addr.eq(wrapping_increment(write.addr, self.capacity))
        return write, read

    def _nest(self, m: Module, run) -> LoopNest:
        (high, wide), (rows, columns) = self.kernel, self.raster.outputs
        step = [("word", self.raster.words // self.packs), ("kx", wide), ("ky", high)]
        return LoopNest(m, [*step, ("pass", self.passes), ("pack", self.packs), ("x", columns), ("y", rows)], run)

    def _enough(self, m: Module, stored):
        """The words of the window to be started next have arrived."""
        raster = self.raster
        rows, columns = raster.outputs
        position = [("ahead_pass", self.passes), ("ahead_pack", self.packs)]
        steps = LoopNest(m, [*position, ("ahead_x", columns), ("ahead_y", rows)], self.go)
        m.d.comb += self.go_final.eq(steps.last("ahead_pass"))
        if self.tap:
            share = lookup(m, steps.index["ahead_pass"], self.tap.shares, "share")
            m.d.comb += self.tap_share.eq(Mux(steps.index["ahead_y"] >= self.tap.first_row, share, 0))
        # Words more than that window needs: the sign is the answer, so that no step waits for a comparison.
        following = np.roll(raster.need_steps, -1)
        least, most = max(following.max(), raster.need[0, 0]), self.capacity + raster.frame_words
        spare = Signal(range(-int(least), most + 1), init=-int(raster.need[0, 0]))
        more = lookup_2d(m, steps.index["ahead_y"], steps.index["ahead_x"], following, -1, "more")
        advance = self.go & steps.last("ahead_pack")
        m.d.sync += spare.eq(Mux(advance, spare + stored - more, spare + stored))
        return ~spare[-1]

    def _address(self, nest: LoopNest) -> Value:
        """Where the word lies in the ring; windows at the edge start at addresses that padding would have."""
        raster, window = self.raster, self.raster.window
        steps = _tap_steps(raster, raster.width * raster.words, raster.words)
        steps |= {"word": 1, "pack": raster.words // self.packs, "frame": raster.frame_words}
        origin = -(window.pads[0] * raster.width + window.pads[1]) * raster.words
        return nest.affine("address", steps, origin, self.capacity)

    def _outside(self, nest: LoopNest):
        """The tap lies in the padding."""
        raster, window = self.raster, self.raster.window
        if not any(window.pads):
            return 0
        row = nest.affine("row", _tap_steps(raster, 1, 0), -window.pads[0])
        column = nest.affine("column", _tap_steps(raster, 0, 1), -window.pads[1])
        inside = (row >= 0) & (row < raster.height) & (column >= 0) & (column < raster.width)
        return ~inside


def _tap_steps(raster: Raster, row: int, column: int) -> dict[str, int]:
    """What each loop adds to a quantity that grows by ``row`` a row and ``column`` a column."""
    window = raster.window
    return {
        "kx": window.dilations[1] * column,
        "ky": window.dilations[0] * row,
        "x": window.strides[1] * column,
        "y": window.strides[0] * row,
    }


@lru_cache(SHARED)
def _counted(raster: Raster, packs: int, passes: int) -> Logic:
    """Counters, addresses and bookkeeping of a window buffer."""
    capacity = ring_capacity(raster)
    step = [raster.words // packs, *raster.window.kernel, passes, packs, *raster.outputs]
    levels = sum(count > 1 for count in step)
    address = running(index_bits(capacity), levels, modulus=True) + counter(capacity)
    return bookkeeping(raster, capacity, step, passes, packs) + address + _outside_logic(raster, levels)


def bookkeeping(raster: Raster, capacity: int, loops: Sequence[int], passes: int, packs: int) -> Logic:
    """What counts ``loops``, those ahead of them, the words that have arrived and the places that are free."""
    skipped = max(int((raster.release - raster.need).max()), 0)
    arrived, free = (capacity + raster.frame_words).bit_length(), (capacity + skipped).bit_length()
    book = adder_register(arrived) + Logic(step=arrived) + adder_register(free)
    lookups = Logic(logic=sum(map(index_bits, raster.outputs)) + arrived + free // 2)
    counters = total(map(loop, [*loops, passes, packs, *raster.outputs]))
    return counters + book + lookups + Logic(logic=4, register=4)


def _outside_logic(raster: Raster, levels: int) -> Logic:
    """Where the tap lies, and whether that is in the padding."""
    window = raster.window
    if not any(window.pads):
        return Logic()
    ends = zip((raster.height, raster.width), window.pads[:2], window.pads[2:], strict=True)
    widths = [max(size + after - 1, before).bit_length() + (before > 0) for size, before, after in ends]
    return total(running(width, levels) + Logic(constant=width) for width in widths) + Logic(logic=2, register=1)


@lru_cache(SHARED)
def ring_capacity(raster: Raster) -> int:
    """Words for a window and for what comes in while it is worked on: rows skipped by the stride, or a whole pixel.

    A map of one pixel is buffered twice, so that a frame comes in while the one before is worked on.
    """
    if raster.height * raster.width == 1:
        return 2 * raster.words
    rows, columns = raster.window.strides
    return raster.span + ((rows - 1) * raster.width + columns) * raster.words + 4


@dataclass(frozen=True)
class Ring(WindowBuffer):
    """All in one RAM; with ``tap`` words leave a second time, see :class:`RingTap`."""

    tap: RingTap | None = None

    @classmethod
    def pixels(cls, map_: FeatureMap, window: Window) -> int:
        return map_.height * map_.width

    @property
    def ring(self) -> Raster:
        """The raster that the ring sees."""
        return self.raster

    @property
    def capacity(self) -> int:
        """Words in the ring: a window's span, and what comes while one is worked on."""
        return ring_capacity(self.ring)

    @property
    def turns(self) -> tuple[int, int]:
        """Rows and columns of taps that come one after the other."""
        return self.ring.window.kernel

    @property
    def width(self) -> int:
        """Bits that come in every cycle."""
        return self.words(self.window) * self.word

    @property
    def _padded(self) -> bool:
        """Whether it puts padding in."""
        return self.pad is not None and any(self.ring.window.pads)

    @property
    def logic(self) -> Logic:
        padding = Logic(mux=self.width if self._padded else 0)
        return _counted(self.ring, self.cut.packs, self.cut.passes) + padding + read_register(self.width, self.capacity)

    @property
    def memories(self) -> tuple[MemoryNeed, ...]:
        return (ram_need("window", self.width, self.capacity),)

    @property
    def take(self) -> Take:
        steps, raster = self.cut.packs * self.cut.passes, self.ring
        need = np.repeat(raster.need.ravel(), steps)
        release = np.repeat(np.append(0, raster.release.ravel()[:-1]), steps)
        release[steps - 1 :: steps] = raster.release.ravel()
        return Take(need, release, self.capacity)

    def parts(self, layout: data.ArrayLayout) -> list[tuple[str, wiring.Component]]:
        return [("window", self.reader(layout))]

    def reader(self, layout: data.ArrayLayout) -> RingWindow:
        """What reads the ring, of words of ``layout``."""
        return RingWindow(layout, self)

    def elements(self, last: RingWindow) -> Value:
        width, parallel, words = self.map.type.width, self.cut.parallel, self.words(self.window)
        word = last.data.as_value()
        if self.pad is not None and self._padded:
            word = Mux(last.outside, Const(pack([self.pad] * words * self.lanes, width), len(word)), word)
        share = self.lanes // parallel * width
        return Cat(*(word.word_select(n * parallel + group, share) for group in range(parallel) for n in range(words)))
