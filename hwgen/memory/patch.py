"""A window buffer of line memories and small RAMs behind them: a word of every tap of the window a cycle.

Columns of words go round as many RAMs as a window has columns, and at least one more. The columns of a window are then
in RAMs of their own, which are all read at the same address; which of them is which turns with the window. So a window
that is read again and again takes no registers, and no multiplexer wider than what comes in a cycle.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.cost.logic import Logic, chosen, index_bits, loop, running, total
from hwgen.cost.needs import MemoryNeed
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import FeatureMap

from .column_ring import ColumnRing
from .columns import ColumnBuffer, line_logic, line_memories
from .loops import LoopNest, lookup
from .ram import LUTRAM_DEPTH, ram_need, ram_ports, read_register
from .ring import RingWindow, bookkeeping
from .rom import pack


class Banks(wiring.Component):
    """A RAM for each of the ``slots`` of ``buffer``, with the ports of a single one.

    Columns are written to one after the other, word by word. What is read, a cycle after its address, are the words of
    all taps of a window, row by row, with padding put in: the ``word`` of the columns from slot ``first`` on, of which
    some are ``outside``.
    """

    def __init__(self, buffer: "Patch"):
        self.buffer = buffer
        columns = buffer.window.kernel[1]
        address = {"word": range(buffer.ring.words), "first": range(buffer.slots), "outside": columns}
        write = wiring.Signature({"en": In(1), "data": In(buffer.column)})
        read = wiring.Signature({"addr": In(data.StructLayout(address)), "data": Out(buffer.column * columns)})
        super().__init__({"write": Out(write), "read": Out(read)})

    def elaborate(self, platform):
        m, word, column = Module(), self.buffer.word, self.buffer.column
        banks, outside = self._banks(m), Signal.like(self.read.addr.outside)
        m.d.sync += outside.eq(self.read.addr.outside)
        taps = []
        for n, windows in enumerate(self.buffer.outside):
            tap = Signal(column, name=f"column_{n}")
            m.d.comb += tap.eq(self._chosen(m, f"slot_{n}", banks, n * self.buffer.window.dilations[1]))
            taps.append(Mux(outside[n], self._padding, tap) if windows.any() else tap)
        m.d.comb += self.read.data.eq(Cat(tap[at : at + word] for at in range(0, column, word) for tap in taps))
        return m

    @property
    def _padding(self) -> Const:
        """A column of it."""
        width, column = self.buffer.map.type.width, self.buffer.column
        return Const(pack([self.buffer.padding] * (column // width), width), column)

    def _banks(self, m: Module) -> list[Value]:
        """What is in each slot."""
        banks, slots, words = [], self.buffer.slots, self.buffer.ring.words
        coming = LoopNest(m, [("word_in", words), ("slot_in", slots)], self.write.en)
        for n in range(slots):
            write, read = ram_ports(m, f"bank_{n}", self.buffer.column, words)
            m.d.comb += [
                write.addr.eq(coming.index["word_in"]),
                write.data.eq(self.write.data),
                write.en.eq(self.write.en & (coming.index["slot_in"] == n)),
                read.addr.eq(self.read.addr.word),
            ]
            banks.append(read.data)
        return banks

    def _chosen(self, m: Module, name: str, banks: Sequence[Value], offset: int) -> Value:
        """The bank that is so many slots behind the first."""
        at, count = Signal(range(len(banks)), name=name), len(banks)
        slots = [(n + offset) % count for n in range(count)]
        m.d.sync += at.eq(lookup(m, self.read.addr.first, slots, f"{name}_next"))
        values = list(banks)
        for bit in at:
            pairs = [values[n : n + 2] for n in range(0, len(values), 2)]
            values = [Mux(bit, pair[1], pair[0]) if len(pair) == 2 else pair[0] for pair in pairs]
        return values[0]


class PatchWindow(RingWindow):
    """A :class:`RingWindow` of columns whose windows come a word of every tap at a time, with padding put in."""

    buffer: "Patch"

    @property
    def _issued(self) -> data.ArrayLayout:
        return data.ArrayLayout(unsigned(self.buffer.word), self.buffer.window.taps)

    def _memory(self, m: Module):
        m.submodules.banks = banks = Banks(self.buffer)
        m.d.comb += banks.write.data.eq(self.i.payload.as_value())
        return banks.write, banks.read

    def _address(self, nest: LoopNest) -> Value:
        raster = self.raster
        steps = {"x": raster.window.strides[1], "y": raster.width, "frame": raster.height * raster.width}
        first = nest.affine("first_slot", steps, -raster.window.pads[1], self.buffer.slots)
        word = nest.affine("address", {"word": 1, "pack": raster.words // self.packs})
        outside = (1 << np.arange(raster.window.kernel[1])) @ self.buffer.outside
        return Cat(word, first, lookup(nest.m, nest.index["x"], outside, "padded"))

    def _outside(self, nest: LoopNest) -> Value:
        return Const(0, 1)


@dataclass(frozen=True)
class Patch(ColumnRing):
    """A :class:`ColumnRing` of which all taps of a window are read at once."""

    @classmethod
    def words(cls, window: Window) -> int:
        return window.taps

    @classmethod
    def fits(cls, map_: FeatureMap, window: Window, lanes: int) -> bool:
        return super().fits(map_, window, lanes) and map_.channels // lanes > 1

    @classmethod
    def suits(cls, map_: FeatureMap, window: Window, lanes: int) -> bool:
        return window.kernel[1] > 1 and cls.fits(map_, window, lanes)

    @property
    def column(self) -> int:
        """Bits of a column of words."""
        return self.window.kernel[0] * self.word

    @cached_property
    def slots(self) -> int:
        """Columns that it holds: those of a window and of the next one, and one more where there is no time between."""
        ring = self.ring
        need, release = (np.append(each.ravel(), each.ravel() + ring.frame_words) for each in (ring.need, ring.release))
        held = (need[2:] - release[:-2]).max(initial=ring.span)
        return -(-int(held) // ring.words) + (self.cut.passes == 1)

    @property
    def queue(self) -> int:
        """As many as let rows pass that complete no window while windows are worked on, if LUT RAM can hold them."""
        raster, (rows, columns) = self.ring, self.window.strides
        top, _, bottom, _ = self.window.pads
        extent = self.window.extent[0]
        unused = (self.map.height + top + bottom - extent) % rows
        pause = max(unused + extent - 1 - top, rows - 1) * raster.width * raster.words
        windows = -(-pause // (self.cut.packs * self.cut.passes * self.portions))
        wanted = 16 * -(-windows * columns * raster.words // 16)
        return min(max(wanted, ColumnBuffer.QUEUE), LUTRAM_DEPTH)

    @cached_property
    def outside(self) -> np.ndarray:
        """Whether a column of taps is in the padding, bool [columns, windows of a row]."""
        ring = self.ring
        at = np.arange(ring.window.kernel[1])[:, None] * ring.window.dilations[1] + ring.corners[1]
        return (at < 0) | (at >= ring.width)

    @property
    def capacity(self) -> int:
        return self.slots * self.ring.words

    @property
    def turns(self) -> tuple[int, int]:
        return 1, 1

    @property
    def _padded(self) -> bool:
        return False

    def issued(self, weights: np.ndarray) -> np.ndarray:
        lanes = self.lanes // self.cut.parallel
        return weights.reshape(*weights.shape[:3], -1, lanes).transpose(0, 3, 1, 2, 4)

    @property
    def logic(self) -> Logic:
        cut, ring, slots = self.cut, self.ring, self.slots
        loops = [ring.words // cut.packs, cut.passes, cut.packs, *ring.outputs]
        levels = sum(count > 1 for count in loops)
        book = bookkeeping(ring, self.capacity, loops, cut.passes, cut.packs)
        slot = running(index_bits(slots), levels, modulus=True) + running(index_bits(ring.words), levels)
        turned = self.window.kernel[1] * Logic(logic=index_bits(slots), register=index_bits(slots))
        padded = int(self.outside.any(axis=1).sum()) * Logic(mux=self.column, logic=1, register=1)
        coming = total(map(loop, (ring.words, slots))) + Logic(logic=slots)
        banks = slots * read_register(self.column, ring.words) + chosen(slots, self.width)
        return line_logic(self.lines, self.word, self.queue) + book + slot + turned + padded + coming + banks

    @property
    def memories(self) -> tuple[MemoryNeed, ...]:
        banks = (ram_need(f"bank_{n}", self.column, self.ring.words) for n in range(self.slots))
        return (*line_memories(self.lines, self.word, self.queue), *banks)

    def reader(self, layout: data.ArrayLayout) -> RingWindow:
        return PatchWindow(layout, self)
