"""A window buffer in registers, behind line memories: every tap at once, in any portions.

Every column that comes from the line memories is pushed into the window registers, with delay lines between the taps
of a row where words of no interest lie between. A complete window is copied to a holding register and issued from
there in portions of any size, dividing the window or not, while the next one slides in. What is decided in one cycle
is done in the next, so that each decision drives registers only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Out

from hwgen.cost.actor import Actor, Give, Take, counting, ones
from hwgen.cost.logic import Logic, loop, total
from hwgen.cost.needs import MemoryNeed
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import FeatureMap
from hwgen.memory.columns import slid_pixels

from .columns import ColumnBuffer, completing_rows, line_actor, line_logic, line_memories, lines_fit, slide_raster
from .delay import DelayLine, in_turn_logic
from .loops import LoopNest, lookup
from .ram import ram_need
from .window import WindowBuffer, window_ports


class SlidingWindow(wiring.Component):
    """Reads a stream of words and issues the windows as ``cut`` says.

    The elements of a group's window come in the order row, column, channel; the last portion is filled up with
    whatever is there. ``pad`` is the integer that stands for padding. A step is one pass over the portions; it
    starts when ``permit`` is 1 and the window is complete; ``go`` is 1 in the cycle in which that is decided
    (with ``go_final`` for the last pass over a window), and the first ``strobe`` follows two cycles later.
    """

    def __init__(self, layout: data.ArrayLayout, buffer: "Sliding"):
        self.layout, self.pad, self.portions = layout, buffer.padding, buffer.portions
        self.raster, self.cut = raster, cut = buffer.raster, buffer.cut
        self.pack = raster.words // cut.packs  # words
        self.group_channels = cut.channels(self.pack * layout.length)
        if self.pack * cut.packs != raster.words or self.pack * layout.length % cut.parallel:
            raise ValueError(f"{cut} does not divide a pixel of {raster.words} words of {layout.length}")
        issued = data.ArrayLayout(layout.elem_shape, cut.parallel * cut.portion)
        super().__init__(window_ports(layout) | {"data": Out(issued)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.columns = columns = ColumnBuffer(self.layout, self.raster, self.pad)
        wiring.connect(m, wiring.flipped(self.i), columns.i)
        complete, load = Signal(), Signal()
        window = self._slide(m, columns.o, complete, load)
        self._issue(m, window, complete, load)
        return m

    def _slide(self, m: Module, columns, complete: Signal, load: Signal) -> list[list]:
        """Push columns into the window registers; gives the elements of each group's window in issue order."""
        slide, late = Signal(), Signal()
        columns_in = slide_raster(self.raster)[1]
        nest = LoopNest(m, [("word", self.pack), ("pack", self.cut.packs), ("column", columns_in)], slide)
        m.d.comb += [columns.ready.eq(~complete | load), slide.eq(columns.valid & columns.ready)]
        with m.If(slide):
            m.d.sync += complete.eq(self._completes(m, nest))
        with m.Elif(load):
            m.d.sync += complete.eq(0)
        column = Signal(columns.payload.shape(), reset_less=True)
        m.d.sync += [late.eq(slide), column.eq(columns.payload)]
        rows = self._taps(self._registers(m, slide, late, column))
        groups, size = self.cut.parallel // len(self.columns), self.group_channels
        return [
            [element for row in rows for at in taps for element in row[at][group * size : (group + 1) * size]]
            for taps in self.columns
            for group in range(groups)
        ]

    def _completes(self, m: Module, nest: LoopNest):
        """The word that slides in now completes a window."""
        columns, (_, left, _, _) = slide_raster(self.raster)[1], self.raster.window.pads
        last = set((self.raster.corners[1] + self.raster.window.extent[1] - 1 + left).tolist())
        column = lookup(m, nest.index["column"], [at in last for at in range(columns)], "completes_column")
        return column & nest.last("word")

    def _registers(self, m: Module, slide: Signal, late: Signal, column: data.View) -> list[list]:
        """For each column of taps, the newest first, the words of a pack, the newest first: columns of words.

        ``late`` follows ``slide`` by a cycle and pushes ``column``.
        """
        shape, across = column.shape(), self.raster.window.kernel[1]
        apart = self.raster.window.dilations[1] * self.raster.words
        names = [[f"tap{tap}_{word}" for word in range(self.pack)] for tap in range(across)]
        chains = [[Signal(shape, name=name, reset_less=True) for name in row] for row in names]
        entries = [column.as_value()]
        if across > 1:
            m.submodules.delays = delays = DelayLine((across - 1) * shape.size, apart - self.pack)
            m.d.comb += [delays.soon.eq(slide), delays.i.eq(Cat(*(chain[-1] for chain in chains[:-1])))]
            entries += [delays.o.word_select(tap, shape.size) for tap in range(across - 1)]
        with m.If(late):
            for entry, chain in zip(entries, chains, strict=True):
                m.d.sync += chain[0].as_value().eq(entry)
                m.d.sync += [newer.eq(older) for newer, older in zip(chain[1:], chain, strict=False)]
        return chains

    @property
    def columns(self) -> Sequence[Sequence[int]]:
        """The pixels of a row that each of the windows side by side takes: one window all of them, unless some are
        abreast."""
        side = self.cut.abreast
        return side.columns if side else [range(self.raster.window.kernel[1])]

    def _taps(self, chains: list[list]) -> list[list[list]]:
        """For each row of the window the channels of a pack of each pixel."""
        pixels = self.cut.abreast.pixels if self.cut.abreast else 1
        size = self.pack * self.layout.length // pixels
        rows = []
        for ky in range(self.raster.window.kernel[0]):
            words = [word[ky] for chain in reversed(chains) for word in reversed(chain)]
            row = [element for word in words for element in _elements(self.layout, word)]
            rows.append([row[at : at + size] for at in range(0, len(row), size)])
        return rows

    def _issue(self, m: Module, window: list[list], complete: Signal, load: Signal) -> None:
        """Copy complete windows to the holding register and issue them from there; it goes round."""
        run, late_load, late_run = Signal(), Signal(), Signal()
        nest = LoopNest(m, [("portion", self.portions), ("pass", self.cut.passes)], run)
        ahead = LoopNest(m, [("ahead_pass", self.cut.passes)], self.go)
        at_start = ahead.first("ahead_pass")
        m.d.comb += [
            self.go.eq(self.permit & (~run | nest.last("portion")) & (complete | ~at_start)),
            self.go_final.eq(ahead.last("ahead_pass")),
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

    def _hold(self, m: Module, window: list[list], load: Signal, turn: Signal) -> Signal:
        """The portions at the head of the holding register."""
        layout, portion = self.data.shape(), self.cut.portion
        hold = [Signal(layout, name=f"hold_{n}", reset_less=True) for n in range(self.portions)]
        for n, part in enumerate(hold):
            parts = [elements[n * portion : (n + 1) * portion] for elements in window]
            with m.If(load):
                for group, elements in enumerate(parts):
                    m.d.sync += [part[group * portion + at].eq(value) for at, value in enumerate(elements)]
            if self.portions > 1:
                with m.Elif(turn):
                    m.d.sync += part.eq(hold[(n + 1) % self.portions])
        return hold[0]


def _elements(layout: data.ArrayLayout, word: Signal) -> list:
    width = layout.elem_shape.width
    return [word[lane * width : (lane + 1) * width] for lane in range(layout.length)]


@dataclass(frozen=True)
class Sliding(WindowBuffer):
    """All in registers, behind line memories."""

    @classmethod
    def words(cls, window: Window) -> int:
        return 0

    @classmethod
    def fits(cls, map_: FeatureMap, window: Window, lanes: int) -> bool:
        return lines_fit(map_, window, lanes) and window.pads[1] < window.extent[1]

    @classmethod
    def pixels(cls, map_: FeatureMap, window: Window) -> int:
        return slid_pixels(map_, window)

    @property
    def _gap(self) -> int:
        """Words between those of neighbouring taps of a row."""
        raster = self.raster
        return raster.window.dilations[1] * raster.words - raster.words // self.cut.packs

    @property
    def _delays(self) -> int:
        """Bits of all delay lines side by side."""
        rows, columns = self.window.kernel
        return rows * (columns - 1) * self.word

    @property
    def _in_memory(self) -> bool:
        """Whether delay lines are RAM."""
        return self._delays > 0 and DelayLine.in_memory(self._gap)

    @property
    def logic(self) -> Logic:
        """Window registers, delay lines, a holding register, counters; and the line memories'."""
        raster, cut, gap, delays, portions = self.raster, self.cut, self._gap, self._delays, self.portions
        (rows, columns), pack = self.window.kernel, raster.words // cut.packs
        held = self._held * self.map.type.width
        delay = Logic(register=delays * gap)
        if self._in_memory:
            delay = in_turn_logic(delays, gap)
        pixels = columns if cut.abreast is None else cut.abreast.held(columns)
        window = rows * pixels * pack * self.word // (cut.abreast.pixels if cut.abreast else 1)
        registers = Logic(mux=held if portions > 1 else 0, register=window + held + rows * self.word)
        loops = [pack, cut.packs, slide_raster(raster)[1], portions, cut.passes, cut.passes]
        control = Logic(logic=10 + raster.outputs[1].bit_length(), register=7)
        return line_logic(raster, self.word) + registers + delay + total(map(loop, loops)) + control

    @property
    def _held(self) -> int:
        """Elements of the holding register; what windows side by side share is there once, unless it goes round."""
        cut = self.cut
        if cut.abreast is None or self.portions > 1:
            return self.portions * cut.parallel * cut.portion
        pixels = len({column for columns in cut.abreast.columns for column in columns})
        return self.window.kernel[0] * pixels * self.map.channels // cut.abreast.pixels

    @property
    def memories(self) -> tuple[MemoryNeed, ...]:
        delays = (ram_need("delays", self._delays, self._gap),) if self._in_memory else ()
        return (*line_memories(self.raster, self.word), *delays)

    @property
    def front(self) -> tuple[Actor, ...]:
        """What the line memories do, and what slides in up to complete windows."""
        raster, extent, left = self.raster, self.window.extent, self.window.pads[1]
        rows, columns = sum(completing_rows(raster)), slide_raster(raster)[1]
        pack = raster.words // self.cut.packs
        ends = np.zeros((rows, columns, raster.words), np.int64)
        ends[:, raster.corners[1] + extent[1] - 1 + left, pack - 1 :: pack] = 1
        given = np.cumsum(ends.ravel())
        give = Give(given, latency=0, queue=1, reserve=np.append(0, given[:-1]) + 1, credit_delay=0)
        return line_actor(raster), Actor("window", ones(ends.size), (Take(counting(ends.size)),), (give,))

    @property
    def take(self) -> Take:
        return Take(np.repeat(np.arange(1, self.windows + 1), self.cut.passes), lead=1)

    def parts(self, layout: data.ArrayLayout) -> list[tuple[str, wiring.Component]]:
        return [("window", SlidingWindow(layout, self))]

    def elements(self, last: SlidingWindow) -> data.View:
        return last.data
