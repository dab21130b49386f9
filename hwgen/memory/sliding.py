"""A window buffer in registers, behind line memories: every tap at once, in any portions.

Every column that comes from the line memories is pushed into the window registers. A complete window is copied
to a holding register and issued from there in portions of any size, dividing the window or not, while the next one
slides in. What is decided in one cycle is done in the next, so that each decision drives registers only.
"""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .columns import ColumnBuffer, slide_raster
from .loops import LoopNest, lookup
from .raster import Raster


class SlidingWindow(wiring.Component):
    """Reads a stream of words and issues each window ``groups`` times in portions of ``portion`` elements.

    The elements of a window come in the order row, column, channel; the last portion is filled up with
    whatever is there. ``pad`` is the integer that stands for padding. A step is one pass over the portions; it
    starts when ``permit`` is 1 and the window is complete; ``go`` is 1 in the cycle in which that is decided
    (with ``go_final`` for the last step of a window), and the first ``strobe`` follows two cycles later.
    """

    #: cycles from the start of a step (the cycle after ``go``) to its first ``strobe``
    LATENCY = 1

    def __init__(self, layout: data.ArrayLayout, raster: Raster, portion: int, groups: int, pad: int):
        self.layout, self.raster, self.pad = layout, raster, pad
        self.portion, self.groups = portion, groups
        self.elements = raster.window.taps * raster.words * layout.length
        self.portions = -(-self.elements // portion)
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
        m.submodules.columns = columns = ColumnBuffer(self.layout, self.raster, self.pad)
        wiring.connect(m, wiring.flipped(self.i), columns.i)
        complete, load = Signal(), Signal()
        window = self._slide(m, columns.o, complete, load)
        self._issue(m, window, complete, load)
        return m

    def _slide(self, m: Module, columns, complete: Signal, load: Signal) -> list:
        """Push columns into the window registers; returns the elements of the window in issue order."""
        slide, late = Signal(), Signal()
        nest = LoopNest(m, [("word", self.raster.words), ("column", slide_raster(self.raster)[1])], slide)
        m.d.comb += [columns.ready.eq(~complete | load), slide.eq(columns.valid & columns.ready)]
        with m.If(slide):
            m.d.sync += complete.eq(self._completes(m, nest))
        with m.Elif(load):
            m.d.sync += complete.eq(0)
        column = Signal(columns.payload.shape(), reset_less=True)
        m.d.sync += [late.eq(slide), column.eq(columns.payload)]
        return self._registers(m, late, column)

    def _completes(self, m: Module, nest: LoopNest):
        """The word that slides in now completes a window."""
        columns, (_, left, _, _) = slide_raster(self.raster)[1], self.raster.window.pads
        last = set((self.raster.corners[1] + self.raster.window.extent[1] - 1 + left).tolist())
        column = lookup(m, nest.index["column"], [at in last for at in range(columns)], "completes_column")
        return column & nest.last("word")

    def _registers(self, m: Module, slide: Signal, column: data.View) -> list:
        raster, window = self.raster, self.raster.window
        length = window.extent[1] * raster.words
        taps = []
        for ky in range(window.kernel[0]):
            # newest first: chain[n] came n words ago
            chain = [Signal(self.layout.size, name=f"row{ky}_{n}", reset_less=True) for n in range(length)]
            with m.If(slide):
                m.d.sync += chain[0].eq(column[ky])
                m.d.sync += [chain[n].eq(chain[n - 1]) for n in range(1, length)]
            for kx in range(window.kernel[1]):
                newest_word = (window.kernel[1] - 1 - kx) * window.dilations[1] * raster.words
                for word in reversed(range(raster.words)):
                    taps.extend(_elements(self.layout, chain[newest_word + word]))
        return taps

    def _issue(self, m: Module, window: list, complete: Signal, load: Signal) -> None:
        """Copy complete windows to the holding register and issue them from there; it goes round."""
        run, late_load, late_run = Signal(), Signal(), Signal()
        nest = LoopNest(m, [("portion", self.portions), ("group", self.groups)], run)
        ahead = LoopNest(m, [("ahead_group", self.groups)], self.go)
        at_start = ahead.first("ahead_group")
        m.d.comb += [
            self.go.eq(self.permit & (~run | nest.last("portion")) & (complete | ~at_start)),
            self.go_final.eq(ahead.last("ahead_group")),
            load.eq(self.go & at_start),
        ]
        m.d.sync += [
            run.eq(self.go | (run & ~nest.last("portion"))),
            late_load.eq(load),
            late_run.eq(run),
            self.first.eq(nest.first("portion")),
            self.last.eq(nest.last("portion")),
        ]
        m.d.comb += [self.strobe.eq(late_run), self.data.eq(self._hold(m, window, late_load, late_run))]

    def _hold(self, m: Module, window: list, load: Signal, turn: Signal) -> Signal:
        """The portion at the head of the holding register."""
        layout = data.ArrayLayout(self.layout.elem_shape, self.portion)
        hold = [Signal(layout, name=f"hold_{n}", reset_less=True) for n in range(self.portions)]
        for n, part in enumerate(hold):
            elements = window[n * self.portion : (n + 1) * self.portion]
            fill = [hold[n][lane] for lane in range(len(elements), self.portion)]
            with m.If(load):
                m.d.sync += part.as_value().eq(Cat(*elements, *fill))
            if self.portions > 1:
                with m.Elif(turn):
                    m.d.sync += part.eq(hold[(n + 1) % self.portions])
        return hold[0]


def _elements(layout: data.ArrayLayout, word: Signal) -> list:
    width = layout.elem_shape.width
    return [word[lane * width : (lane + 1) * width] for lane in range(layout.length)]
