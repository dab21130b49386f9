"""A window buffer in registers, with line memories behind it: every tap at once, in any portions.

Rows before the newest live in one RAM, a column of them in each word. Every word that comes in pushes one column
into the window registers. A complete window is copied to a holding register and issued from there in portions
of any size, dividing the window or not, while the next one slides in.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .loops import LoopNest, lookup
from .raster import Raster
from .rom import RAM_ATTRIBUTES, pack, ram_style


class SlidingWindow(wiring.Component):
    """Reads a stream of words and issues each window ``groups`` times in portions of ``portion`` elements.

    The elements of a window come in the order row, column, channel; the last portion is filled up with
    whatever is there. ``pad`` is the integer that stands for padding. A step is one pass over the portions; it
    starts when ``permit`` is 1 and the window is complete; ``go`` is 1 in the cycle in which that is decided,
    and the first ``strobe`` follows one cycle later.
    """

    LATENCY = 0

    def __init__(self, layout: data.ArrayLayout, raster: Raster, portion: int, groups: int, pad: int):
        self.layout, self.raster, self.pad = layout, raster, pad
        self.portion, self.groups = portion, groups
        self.elements = raster.window.taps * raster.words * layout.length
        self.portions = -(-self.elements // portion)
        if raster.window.kernel[0] > 1 and raster.width * raster.words < 2:
            raise ValueError("line memories need rows of at least two words")
        super().__init__(
            {
                "i": In(stream.Signature(layout)),
                "permit": In(1),
                "go": Out(1),
                "go_final": Out(1),
                "strobe": Out(1),
                "first": Out(1),
                "last": Out(1),
                "data": Out(data.ArrayLayout(layout.elem_shape, portion)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        complete, load, slide = Signal(), Signal(), Signal()
        window = self._slide(m, slide, complete, load)
        self._issue(m, window, complete, load)
        return m

    # Sliding in: one word of the padded raster per cycle.

    def _slide(self, m: Module, slide: Signal, complete: Signal, load: Signal) -> list:
        """Push columns into the window registers; returns the elements of the window in issue order."""
        raster, slides = self.raster, slide_raster(self.raster)
        rows, columns = slides
        nest = LoopNest(m, [("word", raster.words), ("column", columns), ("row", rows)], slide)
        inside, row_inside = self._inside(m, nest)
        m.d.comb += [
            slide.eq((~complete | load) & (self.i.valid | ~inside)),
            self.i.ready.eq((~complete | load) & inside),
        ]
        ends = self._completes(m, nest)
        with m.If(slide):
            m.d.sync += complete.eq(ends)
        with m.Elif(load):
            m.d.sync += complete.eq(0)
        column = self._column(m, nest, slide, inside, row_inside)
        return self._registers(m, slide, column)

    def _inside(self, m: Module, nest: LoopNest):
        left = self.raster.window.pads[1]
        column, row = nest.index["column"], nest.index["row"]
        column_inside = (column >= left) & (column < left + self.raster.width)
        row_inside = row < self.raster.height
        return column_inside & row_inside, row_inside

    def _completes(self, m: Module, nest: LoopNest):
        """The word that slides in now completes a window."""
        rows, columns = slide_raster(self.raster)
        y, x = self.raster.corners
        extent, left = self.raster.window.extent, self.raster.window.pads[1]
        last_rows = set((y + extent[0] - 1).tolist())
        last_columns = set((x + extent[1] - 1 + left).tolist())
        row = lookup(m, nest.index["row"], [at in last_rows for at in range(rows)], "completes_row")
        column = lookup(m, nest.index["column"], [at in last_columns for at in range(columns)], "completes_column")
        return row & column & nest.last("word")

    def _column(self, m: Module, nest: LoopNest, slide, inside, row_inside) -> list:
        """Elements that come in with this word, [row][lane], oldest row first."""
        lines, width, lanes = self.raster.window.extent[0] - 1, self.layout.size, self.layout.length
        pad = Const(pack([self.pad] * lanes, self.layout.elem_shape.width), width)
        newest = Mux(inside, self.i.payload.as_value(), pad)
        if not lines:
            return [newest]
        depth = self.raster.width * self.raster.words
        m.submodules.lines = store = memory.Memory(
            shape=unsigned(lines * width), depth=depth, init=[], attrs=RAM_ATTRIBUTES[ram_style(depth)]
        )
        write, read = store.write_port(), store.read_port()
        address, next_address = Signal(range(depth)), Signal(range(depth))
        left, columns = self.raster.window.pads[1], self.raster.width
        in_columns = (nest.index["column"] >= left) & (nest.index["column"] < left + columns)
        step = slide & in_columns
        m.d.comb += next_address.eq(Mux(step, Mux(address == depth - 1, 0, address + 1), address))
        m.d.sync += address.eq(next_address)
        valid = self._row_valid(m, nest, slide, lines)
        older = []
        for line in range(lines):
            stored = read.data[line * width : (line + 1) * width]
            older.append(Mux(in_columns & valid[line], stored, pad))
        m.d.comb += [
            read.addr.eq(next_address),
            write.addr.eq(address),
            write.en.eq(step),
            write.data.eq(Cat(*older[1:], newest)),
        ]
        return [*older, newest]

    def _row_valid(self, m: Module, nest: LoopNest, slide, lines: int) -> Signal:
        """Bit ``n``: the n-th oldest of the stored rows belongs to this frame."""
        valid = Signal(lines)
        with m.If(slide & nest.last("column")):
            m.d.sync += valid.eq(Mux(nest.last("row"), 0, Cat(valid[1:], 1)))
        return valid

    def _registers(self, m: Module, slide, column: list) -> list:
        raster, window, lanes = self.raster, self.raster.window, self.layout.length
        length = window.extent[1] * raster.words
        taps = []
        for ky in range(window.kernel[0]):
            # newest first: chain[n] came n words ago
            chain = [Signal(self.layout.size, name=f"row{ky}_{n}") for n in range(length)]
            with m.If(slide):
                m.d.sync += chain[0].eq(column[ky * window.dilations[0]])
                m.d.sync += [chain[n].eq(chain[n - 1]) for n in range(1, length)]
            for kx in range(window.kernel[1]):
                newest_word = (window.kernel[1] - 1 - kx) * window.dilations[1] * raster.words
                for word in reversed(range(raster.words)):
                    taps.extend(_elements(self.layout, chain[newest_word + word], lanes))
        return taps

    # Issuing: portions from the holding register, which goes round.

    def _issue(self, m: Module, window: list, complete: Signal, load: Signal) -> None:
        nest_advance = Signal()
        nest = LoopNest(m, [("portion", self.portions), ("group", self.groups)], nest_advance)
        ahead = LoopNest(m, [("ahead_group", self.groups)], self.go)
        run = Signal()
        at_start = ahead.first("ahead_group")
        m.d.comb += [
            nest_advance.eq(run),
            self.go.eq(self.permit & (~run | nest.last("portion")) & (complete | ~at_start)),
            self.go_final.eq(ahead.last("ahead_group")),
            load.eq(self.go & at_start),
        ]
        m.d.sync += run.eq(self.go | (run & ~nest.last("portion")))
        layout = data.ArrayLayout(self.layout.elem_shape, self.portion)
        hold = [Signal(layout, name=f"hold_{n}") for n in range(self.portions)]
        for n, part in enumerate(hold):
            elements = window[n * self.portion : (n + 1) * self.portion]
            fill = [hold[n][lane] for lane in range(len(elements), self.portion)]
            with m.If(load):
                m.d.sync += part.as_value().eq(Cat(*elements, *fill))
            if self.portions > 1:
                with m.Elif(run):
                    m.d.sync += part.eq(hold[(n + 1) % self.portions])
        m.d.comb += [
            self.strobe.eq(run),
            self.first.eq(nest.first("portion")),
            self.last.eq(nest.last("portion")),
            self.data.eq(hold[0]),
        ]


def slide_raster(raster: Raster) -> tuple[int, int]:
    """Rows and columns that slide in: padding above needs no time, that on the other sides does."""
    _, left, bottom, right = raster.window.pads
    return raster.height + bottom, raster.width + left + right


def _elements(layout: data.ArrayLayout, word: Signal, lanes: int) -> list:
    width = layout.elem_shape.width
    return [word[lane * width : (lane + 1) * width] for lane in range(lanes)]
