"""Line memories: turns a raster of words into a raster of columns, padding included."""

from math import prod

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.cost.actor import Actor, Give, Take, ones
from hwgen.cost.logic import Logic, index_bits, loop, total
from hwgen.cost.needs import MemoryNeed
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import FeatureMap

from .delay import in_turn, in_turn_logic
from .loops import LoopNest, lookup
from .queue import Outlet, queue_logic
from .ram import ram_need
from .raster import Raster, map_raster
from .rom import pack


def slide_raster(raster: Raster) -> tuple[int, int]:
    """Rows and columns that slide in: padding above needs no time, that on the other sides does."""
    _, left, bottom, right = raster.window.pads
    return raster.height + bottom, raster.width + left + right


def slid_pixels(map_: FeatureMap, window: Window) -> int:
    """Pixels that slide in."""
    return prod(slide_raster(map_raster(map_, window, map_.channels)))


def completing_rows(raster: Raster) -> list[bool]:
    """For each row that slides in, whether windows are complete with it; the columns of others are of no use."""
    last = set((raster.corners[0] + raster.window.extent[0] - 1).tolist())
    return [row in last for row in range(slide_raster(raster)[0])]


def lines_fit(map_: FeatureMap, window: Window, lanes: int) -> bool:
    """Whether line memories can be built: padding within the window, rows of two words at least."""
    within = window.pads[0] < window.extent[0]
    return within and (window.kernel[0] == 1 or map_.width * map_.channels // lanes >= 2)


class ColumnBuffer(wiring.Component):
    """For every word of the padded raster in rows that complete windows, the words above it in the kernel's rows, the
    oldest row first.

    The rows before the newest live in one RAM, a column of them in each word; they move down by a row as a word comes
    in. Accepts a word, or puts in padding, in every cycle in which the queue has room.
    """

    #: places in the queue of columns unless said otherwise
    QUEUE = 16
    #: cycles from a step to its column being offered (and one for the step)
    LATENCY = Outlet.LATENCY

    def __init__(self, layout: data.ArrayLayout, raster: Raster, pad: int, queue: int = QUEUE):
        self.layout, self.raster, self.pad, self.queue = layout, raster, pad, queue
        self.lines = raster.window.extent[0] - 1
        if self.lines and raster.width * raster.words < 2:
            raise ValueError("line memories need rows of at least two words")
        column = data.ArrayLayout(unsigned(layout.size), raster.window.kernel[0])
        super().__init__({"i": In(stream.Signature(layout)), "o": Out(stream.Signature(column))})

    def elaborate(self, platform):
        m = Module()
        rows, columns = slide_raster(self.raster)
        m.submodules.outlet = outlet = Outlet(self.o.payload.shape(), self.queue)
        step = Signal()
        nest = LoopNest(m, [("word", self.raster.words), ("column", columns), ("row", rows)], step)
        in_columns, in_rows = self._inside(nest)
        inside = in_columns & in_rows
        useful = lookup(m, nest.index["row"], completing_rows(self.raster), "useful")
        free = outlet.permit | ~useful
        m.d.comb += [
            step.eq(free & (self.i.valid | ~inside)),
            self.i.ready.eq(free & inside),
            outlet.debit.eq(step & useful),
        ]
        pad = Const(pack([self.pad] * self.layout.length, self.layout.elem_shape.width), self.layout.size)
        newest = Signal(self.layout.size, reset_less=True)
        m.d.sync += [outlet.push.eq(outlet.debit), newest.eq(Mux(inside, self.i.payload.as_value(), pad))]
        column = [*self._older(m, nest, step, in_columns, newest, pad), newest] if self.lines else [newest]
        for ky in range(self.raster.window.kernel[0]):
            m.d.comb += outlet.payload[ky].eq(column[ky * self.raster.window.dilations[0]])
        m.d.comb += [
            self.o.payload.eq(outlet.o.payload),
            self.o.valid.eq(outlet.o.valid),
            outlet.o.ready.eq(self.o.ready),
        ]
        return m

    def _inside(self, nest: LoopNest):
        left = self.raster.window.pads[1]
        column, row = nest.index["column"], nest.index["row"]
        return (column >= left) & (column < left + self.raster.width), row < self.raster.height

    def _older(self, m: Module, nest: LoopNest, step, in_columns, newest: Signal, pad: Const) -> list:
        """The words above the newest, a cycle after its step; written back a row further down in that cycle."""
        width, depth = self.layout.size, self.raster.width * self.raster.words
        write, words = in_turn(m, "lines", self.lines * width, depth, step & in_columns)
        valid, masked = self._row_valid(m, nest, step), Signal(self.lines, reset_less=True)
        m.d.sync += [masked.eq(Mux(in_columns, valid, 0)), write.en.eq(step & in_columns)]
        stored = [words[line * width : (line + 1) * width] for line in range(self.lines)]
        older = [Mux(masked[line], word, pad) for line, word in enumerate(stored)]
        m.d.comb += write.data.eq(Cat(*older[1:], newest))
        return older

    def _row_valid(self, m: Module, nest: LoopNest, step) -> Signal:
        """Bit ``n``: the n-th oldest of the stored rows belongs to this frame."""
        valid = Signal(self.lines)
        with m.If(step & nest.last("column")):
            m.d.sync += valid.eq(Mux(nest.last("row"), 0, Cat(valid[1:], 1)))
        return valid


def line_actor(raster: Raster, queue: int = ColumnBuffer.QUEUE) -> Actor:
    """The timing of a :class:`ColumnBuffer`: a word of the padded raster per cycle, of which only rows that complete
    windows leave it."""
    rows, columns = slide_raster(raster)
    left = raster.window.pads[1]
    inside = np.zeros((rows, columns, raster.words), np.int64)
    inside[: raster.height, left : left + raster.width] = 1
    given = np.cumsum(np.repeat(completing_rows(raster), columns * raster.words))
    give = Give(given, ColumnBuffer.LATENCY, queue)
    return Actor("columns", ones(inside.size), (Take(np.cumsum(inside.ravel())),), (give,))


def line_memories(raster: Raster, word: int, queue: int = ColumnBuffer.QUEUE) -> tuple[MemoryNeed, ...]:
    """The rows before the newest, in words of ``word`` bits, and the queue of columns."""
    lines = raster.window.extent[0] - 1
    columns = ram_need("columns", raster.window.kernel[0] * word, queue)
    return (ram_need("lines", word * lines, raster.width * raster.words), columns) if lines else (columns,)


def line_logic(raster: Raster, word: int, queue: int = ColumnBuffer.QUEUE) -> Logic:
    """Padding and the oldest rows moved up, counters."""
    lines, depth = raster.window.extent[0] - 1, raster.width * raster.words
    columns = queue_logic(queue, raster.window.kernel[0] * word)
    counters = total(map(loop, (*slide_raster(raster), raster.words)))
    padding = Logic(fixed=word, register=word + 1, logic=8, constant=2 * index_bits(slide_raster(raster)[1]))
    if not lines:
        return columns + counters + padding
    rows = Logic(logic=3 * lines, register=2 * lines + 1, mux=lines * word) + in_turn_logic(lines * word, depth)
    return columns + counters + padding + rows
