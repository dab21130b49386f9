"""Read-only memories for weights and constants, in block RAM or in LUTs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hwgen.cost.needs import MemoryNeed
from hwgen.hdl.contents import Contents
from hwgen.hdl.elements import Library

#: Up to this many words, what one LUT4 holds, a ROM is made of LUTs. A deeper one is so only where that is asked for:
#: it loads its address with thousands of them.
LOGIC_DEPTH = 16
#: The most words of a ROM of LUTs: eight LUTs of six inputs for each bit, and four levels of multiplexers; and as many
#: as are worth their LUTs only where no other memory is left.
MOST_LOGIC_DEPTH, LAST_LOGIC_DEPTH = 512, 1024
#: How a ROM of LUTs is spelled for synthesis tools: the first is Yosys', the second Vivado's. The address register is
#: to be replicated.
LUT_ROM = {"ram_style": "registers", "rom_style": "distributed"}
FANOUT = {"max_fanout": 256}


def rom_style(depth: int) -> str:
    """Where a ROM of ``depth`` words goes unless said otherwise: ``"logic"`` or ``"block"``."""
    return "logic" if depth <= LOGIC_DEPTH else "block"


def rom_latency(depth: int, held: bool = True) -> int:
    """Cycles from address to data, wherever it is. A deep one has a register for its address, which a block RAM has in
    itself; all have one for data that is ``held``, as where the reader has none of its own: a block RAM is slow."""
    return (depth > LOGIC_DEPTH) + held


def pack(values: Sequence[int], width: int) -> int:
    """One word from two's-complement ``values`` of ``width`` bits, the first lowest."""
    mask = (1 << width) - 1
    return sum((int(value) & mask) << (width * at) for at, value in enumerate(values))


@dataclass(frozen=True)
class Columns:
    """Bits of a ROM's words: ``changing`` ones, ``different`` ones among these, of which ``wired`` are bits of the
    address; ``set_`` where some are always 1.

    Of bits that are always 0, and of two that are the same in every word, synthesis makes nothing. One that is always 1
    costs a flip-flop, which starts as 0.
    """

    changing: int
    different: int
    wired: int
    set_: bool

    @staticmethod
    def of(values: np.ndarray, widths: int | Sequence[int]) -> "Columns":
        """Of words that hold ``values`` int64 [words, fields] in two's complement, with the fields' ``widths``, or all
        with the same."""
        kinds, counts = _columns(values, widths)
        low, high = (_among(kinds, np.packbits(np.full(len(values), bit), bitorder="little")) for bit in (0, 1))
        changing = ~(low | high)
        wired = sum(bool((changing & _among(kinds, each)).any()) for each in _address(len(values)).T)
        return Columns(int(counts[changing].sum()), int(changing.sum()), wired, bool(high.any()))

    @staticmethod
    def joined(parts: "Sequence[Columns]") -> "Columns":
        """Of words that have ``parts`` side by side."""
        changing, different, wired = (
            sum(getattr(part, name) for part in parts) for name in ("changing", "different", "wired")
        )
        return Columns(changing, different, wired, any(part.set_ for part in parts))

    @property
    def registers(self) -> int:
        """Flip-flops behind a ROM in logic."""
        return self.different + self.set_


def _columns(values: np.ndarray, widths: int | Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The different columns of bits, uint8 [bytes, columns] with the first word lowest, and how many there are of
    each."""
    size = next(size for size in (1, 2, 4, 8) if 8 * size >= np.max(widths))
    columns = _turned(np.ascontiguousarray(values.astype(f"<i{size}")).view(np.uint8))
    if isinstance(widths, int):
        columns = columns.reshape(len(columns), -1, 8 * size)[:, :, :widths].reshape(len(columns), -1)
    else:
        columns = columns[:, (np.arange(8 * size) < np.array(widths)[:, None]).ravel()]
    if len(columns) > 2:
        some = Counter(column.tobytes() for column in columns.T)
        return np.array([list(each) for each in some], np.uint8).T, np.array(list(some.values()))
    counts = np.bincount(columns[0] if len(columns) == 1 else columns[0] | columns[1].astype(np.uint16) << 8)
    kinds = np.flatnonzero(counts)
    return np.stack([kinds & 255, kinds >> 8])[: len(columns)], counts[kinds]


#: How bits of 8 by 8 are turned in a 64-bit integer: those of a mask and those so many places higher change places,
#: which turns blocks of 1, of 2 and of 4 (H. S. Warren, Hacker's Delight, 7-3).
_TURNS = ((7, 0x00AA00AA00AA00AA), (14, 0x0000CCCC0000CCCC), (28, 0x00000000F0F0F0F0))


def _turned(rows: np.ndarray) -> np.ndarray:
    """Columns of bits, uint8 [bytes, 8 * n] with the first row lowest, of ``rows`` of bytes, uint8 [rows, n]."""
    padded = np.zeros((-(-len(rows) // 8) * 8, rows.shape[1]), np.uint8)
    padded[: len(rows)] = rows
    blocks = np.ascontiguousarray(padded.reshape(-1, 8, rows.shape[1]).transpose(0, 2, 1)).view("<u8")
    for places, mask in _TURNS:
        apart = (blocks ^ (blocks >> np.uint64(places))) & np.uint64(mask)
        blocks = blocks ^ apart ^ (apart << np.uint64(places))
    return blocks.view(np.uint8).reshape(len(blocks), -1)


@lru_cache(64)
def _address(words: int) -> np.ndarray:
    """The columns of the bits of the address."""
    return _columns(np.arange(words)[:, None], max(words - 1, 1).bit_length())[0]


def _among(columns: np.ndarray, one: np.ndarray) -> np.ndarray:
    """Which of ``columns`` are ``one``."""
    return (columns == one[:, None]).all(axis=0)


def rom_need(name: str, width: int, depth: int, columns: Columns | None = None, style: str | None = None) -> MemoryNeed:
    """A :class:`Rom`; ``columns`` say which of its bits synthesis keeps, all unless given."""
    style, kept = style or rom_style(depth), width
    if columns:
        kept = columns.changing if style == "block" else columns.different - columns.wired
    return MemoryNeed(name, "rom", style, width, depth, kept)


class Rom(wiring.Component):
    """``data`` follows ``address`` by :attr:`latency` cycles. ``words`` are unsigned integers of ``width`` bits. Its
    last register is left out unless it is ``held``: where the reader has one of its own. ``style`` says where it goes,
    by its depth unless given."""

    def __init__(self, words: Sequence[int], width: int, held: bool = True, style: str | None = None):
        self.words = words if isinstance(words, Contents) else Contents.of(words, width)
        self.width, self.held, self.style = width, held, style or rom_style(len(self.words))
        self.latency = rom_latency(len(self.words), held)
        super().__init__({"address": In(range(max(len(self.words), 2))), "data": Out(unsigned(width))})

    def elaborate(self, platform):
        if self.style == "logic":
            return self._logic() if len(self.words) <= LOGIC_DEPTH else self._deep_logic()
        if isinstance(platform, Library) and platform.whole is not self:
            return platform.rom(self.words, self.address, self.data, self.held)
        return self._block()

    def _logic(self) -> Module:
        m, words = Module(), list(self.words)
        word = Signal(self.width)
        with m.Switch(self.address):
            for at, value in enumerate(words[:-1]):
                with m.Case(at):
                    m.d.comb += word.eq(value)
            with m.Default():
                m.d.comb += word.eq(words[-1])
        self._register(m, word)
        return m

    def _deep_logic(self) -> Module:
        m = Module()
        m.submodules.store = store = self._store(LUT_ROM)
        place, read = Signal.like(self.address, attrs=FANOUT), store.read_port(domain="comb")
        m.d.sync += place.eq(self.address)
        m.d.comb += read.addr.eq(place)
        self._register(m, read.data)
        return m

    def _block(self) -> Module:
        m = Module()
        m.submodules.store = store = self._store({"rom_block": 1, "ram_style": "block", "rom_style": "block"})
        read = store.read_port()
        m.d.comb += read.addr.eq(self.address)
        self._register(m, read.data)
        return m

    def _store(self, attributes: Mapping[str, Any]) -> memory.Memory:
        words = list(self.words)
        return memory.Memory(shape=unsigned(self.width), depth=len(words), init=words, attrs=attributes)

    def _register(self, m: Module, word) -> None:
        if not self.held:
            m.d.comb += self.data.eq(word)
            return
        held = Signal(self.width, reset_less=True)
        m.d.sync += held.eq(word)
        m.d.comb += self.data.eq(held)
