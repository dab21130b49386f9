"""Memories whose words come over a chain of byte-wide buses, from one store to the next.

Each store takes as many bytes as it holds and passes the others on, so nothing decodes an address across the chip. It
is cut into columns of up to :data:`COLUMN` bits, each a RAM with a write enable of its own; a word of a column
is collected in a register that all columns of a store share.
"""

import builtins
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hwgen.cost.logic import Logic, index_bits, stepper
from hwgen.cost.needs import HUGE, ULTRA, MemoryNeed
from hwgen.hdl.contents import Contents
from hwgen.hdl.elements import LOADED, Library

from .ram import RAM_ATTRIBUTES, ram_need, ram_style
from .rom import rom_latency

#: Bits of a column: the widest word of most block RAMs, of which their narrower ones are parts.
COLUMN = 36
#: The same of large RAM, by its style.
LARGE_COLUMNS = {HUGE: 16, ULTRA: 72}
#: Words up to which two columns share an UltraRAM, of which each has half of the words and a port to read.
PAIRED_DEPTH = 2048

#: One byte in every cycle with ``strobe``; ``start``, a cycle or more before the first, makes stores begin anew.
LOAD_BUS = wiring.Signature({"start": Out(1), "strobe": Out(1), "data": Out(8)})

#: What a block has through which the chain of buses leads.
LOAD_PORTS = {"load": In(LOAD_BUS), "loaded": Out(LOAD_BUS)}


@dataclass(frozen=True)
class StoreShape:
    """A store of ``depth`` words of ``width`` bits; ``large``: in RAM of this large kind, one of
    :data:`LARGE_COLUMNS`, which has nothing in it at power-up; ``held``: as of a :class:`hwgen.memory.rom.Rom`."""

    width: int
    depth: int
    large: str | None = None
    held: bool = True

    @property
    def style(self) -> str:
        """``"registers"`` for a single word, else where its columns go (:func:`hwgen.memory.rom.ram_style`)."""
        if self.large:
            return self.large
        return "registers" if self.depth == 1 else ram_style(self.depth)

    @property
    def latency(self) -> int:
        """Cycles from address to data, as of a :class:`hwgen.memory.rom.Rom`; a single word is there all the time."""
        return rom_latency(self.depth, self.held)

    @cached_property
    def columns(self) -> tuple[int, ...]:
        """Bits of each column."""
        most = LARGE_COLUMNS[self.large] if self.large else COLUMN
        whole, rest = divmod(self.width, most)
        return (most,) * whole + ((rest,) if rest else ())

    @cached_property
    def column_bytes(self) -> tuple[int, ...]:
        """Bytes in which a word of each column comes, the lowest first."""
        return tuple(-(-width // 8) for width in self.columns)

    @property
    def bytes(self) -> int:
        """All that it takes."""
        return self.depth * sum(self.column_bytes)

    @property
    def collected(self) -> int:
        """Bytes of the register in which a word is collected."""
        return self.column_bytes[0]

    @property
    def paired(self) -> bool:
        """Whether two columns share a RAM: one is in its even words, the other in its odd ones."""
        return self.large == ULTRA and self.depth <= PAIRED_DEPTH and len(self.columns) > 1

    @cached_property
    def rams(self) -> tuple[tuple[int, ...], ...]:
        """Numbers of the columns in each RAM."""
        numbers, each = tuple(range(len(self.columns))), 2 if self.paired else 1
        return tuple(numbers[n : n + each] for n in numbers[::each])

    def needs(self, name: str) -> tuple[MemoryNeed, ...]:
        """The RAMs of its columns; a single word is in registers."""
        if self.style == "registers":
            return ()
        sizes = ((self.columns[some[0]], self.depth * len(some)) for some in self.rams)
        return tuple(ram_need(f"{name}{n}", *size, self.style) for n, size in enumerate(sizes))

    @property
    def logic(self) -> Logic:
        """Counted bits beside the memory: the word being collected, where it goes, the bus, and registers behind."""
        columns, place = len(self.columns), index_bits(self.depth)
        behind = {"registers": 1, "lutram": self.latency}.get(self.style, self.held)
        shared = Logic(mux=place, logic=1) if self.large == HUGE or self.paired else Logic()  # a port for both
        count = stepper(place) + stepper(index_bits(self.collected)) + Logic(register=place, logic=place)
        turns = Logic(register=columns * (2 if columns > 1 else 1), logic=columns)
        bus = Logic(register=10 + 1, logic=6)  # start, strobe, data; and whether it is full
        return count + turns + bus + shared + Logic(register=8 * self.collected + behind * self.width)

    def cut(self, contents: Contents) -> list[Contents]:
        """What each column holds of ``contents``."""
        bits = np.unpackbits(contents.rows, axis=1, count=self.width, bitorder="little")
        ends = [0, *np.cumsum(self.columns).tolist()]
        return [
            Contents(np.packbits(bits[:, low:high], axis=1, bitorder="little"), high - low)
            for low, high in pairwise(ends)
        ]

    def image(self, contents: Contents) -> builtins.bytes:
        """``contents`` as the bytes that load them: word by word, column by column."""
        return np.concatenate([column.rows for column in self.cut(contents)], axis=1).tobytes()


def images(*contents: Contents) -> bytes:
    """What loads stores with ``contents``, one after the other."""
    return b"".join(StoreShape(words.width, len(words)).image(words) for words in contents)


class Store(wiring.Component):
    """``data`` follows ``address`` by :attr:`latency` cycles, like that of a ROM; ``contents`` are there at power-up,
    unless it is in ``large`` RAM.

    ``load`` brings other contents, in the order of :meth:`StoreShape.image`; what it does not take leaves by
    ``loaded``, a cycle later. The last byte is in its place three cycles after it came.
    """

    #: Cycles by which a store delays what it passes on.
    PASSING = 1

    def __init__(self, contents: Contents, large: str | None = None, held: bool = True):
        self.contents, self.shape = contents, StoreShape(contents.width, len(contents), large, held)
        self.latency = self.shape.latency
        ports = {"address": In(range(max(self.shape.depth, 2))), "data": Out(unsigned(contents.width))}
        super().__init__(ports | LOAD_PORTS)

    def elaborate(self, platform):
        m = Module()
        enables, address, word = self._collect(m)
        if self.shape.paired:
            m.d.comb += self.data.eq(Cat(*self._pairs(m, enables, address, word)))
            return m
        column = {"registers": self._registers, HUGE: self._large}.get(self.shape.style, self._memory)
        if self.shape.style == HUGE:
            address = self._shared(m, enables, address)
        parts = []
        for n, contents in enumerate(self.shape.cut(self.contents)):
            given = word[self._bits(n)]
            parts.append(column(m, n, contents, enables[n], address, given, platform))
        m.d.comb += self.data.eq(Cat(*parts))
        return m

    def _bits(self, column: int) -> slice:
        """Where a column's word is in the register that collects it: what comes last is highest."""
        start = 8 * (self.shape.collected - self.shape.column_bytes[column])
        return slice(start, start + self.shape.columns[column])

    def _collect(self, m: Module) -> tuple[Signal, Signal, Signal]:
        """Columns to be written in this cycle, where, and what: the highest bytes of a word."""
        shape, load = self.shape, self.load
        count, most = len(shape.columns), shape.collected
        full, take, ends = Signal(), Signal(), Signal()
        word = Signal(8 * most, reset_less=True)
        place, byte = Signal(range(max(shape.depth, 2))), Signal(range(max(most, 2)), name="byte_index")
        address = Signal(range(max(shape.depth, 2)), reset_less=True)
        turn, enables = Signal(count, init=1), Signal(count)
        last_byte = Mux(turn[-1], shape.column_bytes[-1] - 1, most - 1)
        m.d.comb += [take.eq(load.strobe & ~full), ends.eq(take & (byte == last_byte))]
        m.d.sync += [
            self.loaded.start.eq(load.start),
            self.loaded.strobe.eq(load.strobe & full),
            self.loaded.data.eq(load.data),
            enables.eq(Mux(ends, turn, 0)),
            address.eq(place),
        ]
        with m.If(take):
            m.d.sync += [word.eq(Cat(word[8:], load.data)), byte.eq(Mux(ends, 0, byte + 1))]
        with m.If(ends):
            m.d.sync += turn.eq(turn.rotate_left(1))
            with m.If(turn[-1]):
                m.d.sync += [place.eq(place + 1), full.eq(place == shape.depth - 1)]
        with m.If(load.start):
            m.d.sync += [full.eq(0), place.eq(0), byte.eq(0), turn.eq(1)]
        return enables, address, word

    def _registers(self, m: Module, n: int, contents: Contents, enable, address, given, platform) -> Signal:
        held = Signal(contents.width, name=f"word_{n}", init=contents[0], reset_less=True)
        with m.If(enable):
            m.d.sync += held.eq(given)
        return held

    def _memory(self, m: Module, n: int, contents: Contents, enable, address, given, platform) -> Signal:
        """A RAM with the registers of a ROM."""
        data = Signal(contents.width, name=f"data_{n}")
        if isinstance(platform, Library) and self.shape.style == "block":
            ports = {"address": self.address, "data": data, "enable": enable, "place": address, "given": given}
            ports["held"] = self.shape.held
            m.submodules[f"column_{n}"] = platform.ram(contents, **ports)
            return data
        m.submodules[f"column_{n}"] = store = memory.Memory(
            shape=unsigned(contents.width),
            depth=len(contents),
            init=[] if self.shape.large else list(contents),
            attrs={**({} if self.shape.large else {LOADED: 1}), **RAM_ATTRIBUTES[self.shape.style]},
        )
        read, write = store.read_port(domain="sync" if self.latency else "comb"), store.write_port()
        m.d.comb += [
            read.addr.eq(self.address),
            write.addr.eq(address),
            write.data.eq(given),
            write.en.eq(enable),
        ]
        m.d.comb += data.eq(self._behind(m, n, read.data))
        return data

    def _behind(self, m: Module, n: int, read: Value) -> Value:
        """What is ``read`` in a column, and the register of a ROM behind it."""
        if self.latency <= 1:
            return read
        held = Signal(len(read), name=f"held_{n}", reset_less=True)
        m.d.sync += held.eq(read)
        return held

    def _pairs(self, m: Module, enables: Signal, written: Signal, word: Signal) -> list[Value]:
        """The columns, two in each RAM: the first in its even words, read where words are written, and the second in
        its odd ones. Nothing is read while it is loaded; a column that is left over has a RAM for itself."""
        place = Signal(len(written) + 1)
        odd = Cat(*(enables[n] for n in range(1, len(enables), 2))).any()
        m.d.comb += place.eq(Mux(enables.any(), Cat(odd, written), Cat(Const(0, 1), self.address)))
        parts = []
        for n, some in enumerate(self.shape.rams):
            m.submodules[f"columns_{n}"] = store = memory.Memory(
                shape=unsigned(8 * self.shape.collected),
                depth=2 * self.shape.depth,
                init=[],
                attrs=RAM_ATTRIBUTES[ULTRA],
            )
            write, enable = store.write_port(), Cat(*(enables[column] for column in some)).any()
            m.d.comb += [write.addr.eq(place), write.data.eq(word), write.en.eq(enable)]
            for column, address in zip(some, (place, Cat(Const(1, 1), self.address)), strict=False):
                read = store.read_port()
                m.d.comb += read.addr.eq(address)
                if column == some[0]:
                    m.d.comb += read.en.eq(~enable)
                parts.append(self._behind(m, column, read.data[self._bits(column)]))
        return parts

    def _shared(self, m: Module, enables: Signal, written: Signal) -> Signal:
        """The address of large RAM, which has one port: nothing is read while it is loaded."""
        place = Signal.like(written)
        m.d.comb += place.eq(Mux(enables.any(), written, self.address))
        return place

    def _large(self, m: Module, n: int, contents: Contents, enable, address, given, platform) -> Signal:
        """A RAM with one port, and the registers of a ROM."""
        data = Signal(contents.width, name=f"data_{n}", reset_less=True)
        if isinstance(platform, Library):
            ports = {"address": address, "enable": enable, "given": given, "data": data}
            m.submodules[f"column_{n}"] = platform.large_ram(contents.width, len(contents), **ports)
            return data
        m.submodules[f"column_{n}"] = store = memory.Memory(
            shape=unsigned(contents.width), depth=len(contents), init=[], attrs=RAM_ATTRIBUTES[HUGE]
        )
        read, write = store.read_port(), store.write_port()
        m.d.comb += [read.addr.eq(address), read.en.eq(~enable)]
        m.d.comb += [write.addr.eq(address), write.en.eq(enable), write.data.eq(given)]
        m.d.sync += data.eq(read.data)
        return data


def bus(m: Module, source, sink) -> None:
    """Join two load buses."""
    m.d.comb += [getattr(sink, name).eq(getattr(source, name)) for name in LOAD_BUS.members]


def pass_on(m: Module, block: wiring.Component, *inside: wiring.Component) -> None:
    """Lead the chain of ``block`` through all that is ``inside`` it, in this order."""
    source = block.load
    for part in inside:
        bus(m, source, part.load)
        source = part.loaded
    bus(m, source, block.loaded)
